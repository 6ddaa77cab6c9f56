"""A judge's error rates per agent from few gold labels: a hierarchical model on a grid.

Model: the judge accepts a wrong answer of agent a with probability fa_a and rejects a right one with
fr_a, whatever router chose the agent and whatever else is known of the task. The pairs
(logit fa_a, logit fr_a) of the agents come from one bivariate normal distribution, whose mean and
covariance are estimated too (empirical Bayes, by EM), so that agents with few labels borrow from the
others and an agent that stands out is left to stand out. With the judge's accept rate j_a known from all
judged answers, quality follows as q_a = (j_a - fa_a) / (1 - fa_a - fr_a) (Rogan and Gladen 1978), and a gold
label is right with probability q_a (1 - fr_a) / j_a where the judge accepts and q_a fr_a / (1 - j_a) where it
rejects: the likelihood of each (fa, fr). Labels may have been picked by agent and verdict in any
proportion; within a verdict they must have been picked at random.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentnet.learning.scoring.table import Floats, Judgements

_LOGITS = np.linspace(-4.6, 2.2, 44)
"""Grid of either rate: from 1% to 90%."""
_LEAST = 0.05
"""Least 1 - fa - fr: a judge that accepts wrong answers as often as right ones says nothing."""
_PRIOR_MEAN = float(np.log(0.2 / 0.8))
_PRIOR_SD = 0.7
_PRIOR_AGENTS = 2.0
"""As many agents as the prior on the agents' distribution counts for: 20% errors, 6% to 50%."""
_ROUNDS = 60
_EDGE = 0.02
_NODES = 7
"""Values of an accept rate that are looked at (Gauss-Hermite)."""
Z95 = 1.959963984540054


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rates:
    """What is known of a judge's errors per agent; all arrays are [A] or [A, 2] (95% intervals).

    Attributes:
        agents: Names of the A agents.
        judged: Answers that were judged.
        labelled: Those with a gold label.
        accept: The judge's accept rate.
        false_accept: Probability that a wrong answer is accepted, posterior mean.
        false_accept_ci: Its 95% credible interval.
        false_reject: Probability that a right answer is rejected, posterior mean.
        false_reject_ci: Its 95% credible interval.
        quality: Share of right answers, corrected.
        quality_ci: Its 95% interval.
        right_if: [A, 2] probability that an answer is right where the judge rejects, and where it accepts.
        worth: Share of a gold label's information on an agent's quality that one judgement holds: the
            squared correlation of verdict and truth.
        posterior: [A, K, K] weights on the grid of (fa, fr).
    """

    agents: tuple[str, ...]
    judged: NDArray[np.intp]
    labelled: NDArray[np.intp]
    accept: Floats
    false_accept: Floats
    false_accept_ci: Floats
    false_reject: Floats
    false_reject_ci: Floats
    quality: Floats
    quality_ci: Floats
    right_if: Floats
    worth: Floats
    posterior: Floats

    def moments(self) -> tuple[Floats, Floats, Floats]:
        """Returns [A] mean and variance of quality given the accept rate, and the mean of 1 / (1 - fa - fr).

        The variance is that of not knowing the error rates; the accept rate's own noise comes on top.
        """
        grid = _Grid()
        q = grid.quality(self.accept)
        mean: Floats = (self.posterior * q).sum((1, 2))
        variance: Floats = np.maximum((self.posterior * q**2).sum((1, 2)) - mean**2, 0)
        scale: Floats = (self.posterior * grid.scale).sum((1, 2))
        return mean, variance, scale


class _Grid:
    """All pairs of error rates that are looked at."""

    def __init__(self) -> None:
        rate = 1 / (1 + np.exp(-_LOGITS))
        self.fa, self.fr = np.meshgrid(rate, rate, indexing="ij")
        self.logit = np.stack(np.meshgrid(_LOGITS, _LOGITS, indexing="ij"), axis=-1)
        self.use = 1 - self.fa - self.fr > _LEAST
        self.scale = np.where(self.use, 1 / np.where(self.use, 1 - self.fa - self.fr, 1), 0)

    def quality(self, accept: Floats) -> Floats:
        """[A, K, K] quality that each pair implies; 0 where the pair is not looked at."""
        return (accept[:, None, None] - self.fa) * self.scale

    def log_likelihood(self, accept: Floats, labels: NDArray[np.intp]) -> Floats:
        """[A, K, K] of the gold labels; -inf where quality would leave [0, 1]."""
        q = self.quality(accept)
        fits = self.use & (q > 0) & (q < 1)
        q = np.where(fits, q, 0.5)
        accepted = np.clip(q * (1 - self.fr) / accept[:, None, None], 1e-12, 1 - 1e-12)
        rejected = np.clip(q * self.fr / (1 - accept[:, None, None]), 1e-12, 1 - 1e-12)
        n = labels[:, :, :, None, None]
        found = n[:, 1, 1] * np.log(accepted) + n[:, 1, 0] * np.log(1 - accepted)
        found = found + n[:, 0, 1] * np.log(rejected) + n[:, 0, 0] * np.log(1 - rejected)
        # A flat prior on quality, seen at a given accept rate, weighs a pair by 1 / (1 - fa - fr).
        result: Floats = np.where(fits, found + np.log(np.where(fits, self.scale, 1)), -np.inf)
        return result


def fit_rates(table: Judgements) -> Rates:
    """Returns a judge's error rates per agent, shrunk towards each other as far as the labels say.

    Args:
        table: Judgements, some with gold labels.

    Raises:
        NotEnoughEvidence: there are fewer than 10 gold labels.

    >>> rng = np.random.default_rng(0)
    >>> right = rng.random(4000) < 0.6
    >>> verdict = np.where(right, rng.random(4000) > 0.1, rng.random(4000) < 0.3)
    >>> gold = [float(r) if i < 200 else None for i, r in enumerate(right)]
    >>> rates = fit_rates(Judgements.of(agent=["a"] * 4000, judge=verdict.astype(float), gold=gold))
    >>> bool(rates.quality_ci[0, 0] < 0.6 < rates.quality_ci[0, 1]), round(float(rates.accept[0]), 2)
    (True, 0.66)
    """
    table.check_labels()
    counts = table.counts().sum(0)
    return rates_of(table.agents, counts, table.labels())


def rates_of(agents: tuple[str, ...], counts: NDArray[np.intp], labels: NDArray[np.intp]) -> Rates:
    """Returns the rates from counts: [A, 2] judged by verdict, [A, 2, 2] labelled by verdict and truth."""
    grid = _Grid()
    judged = counts.sum(1)
    accept = np.clip((counts[:, 1] + 0.5) / (judged + 1), _EDGE, 1 - _EDGE)
    # The accept rate is itself seen with noise: its likely values, and how well each fits the labels.
    sd = np.sqrt(accept * (1 - accept) / (judged + 1))
    nodes, chances = np.polynomial.hermite_e.hermegauss(_NODES)
    accepts = np.clip(accept + nodes[:, None] * sd, _EDGE, 1 - _EDGE)
    each = np.stack([grid.log_likelihood(j, labels) for j in accepts])
    each = each + np.log(chances / chances.sum())[:, None, None, None]
    together: Floats = np.logaddexp.reduce(each, axis=0)
    weights = _posterior(grid, together, labels.sum((1, 2)) > 0)
    fits = np.isfinite(together)
    joint = np.where(fits, weights * np.exp(each - np.where(fits, together, 0)), 0)
    q = np.stack([grid.quality(j) for j in accepts])
    wide = accepts[:, :, None, None]
    if_accepted = (joint * q * (1 - grid.fr) / wide).sum((0, 2, 3))
    if_rejected = (joint * q * grid.fr / (1 - wide)).sum((0, 2, 3))
    quality = (joint * q).sum((0, 2, 3))
    half = Z95 * np.sqrt(np.maximum((joint * q**2).sum((0, 2, 3)) - quality**2, 0))
    right_if = np.clip(np.stack([if_rejected, if_accepted], axis=1), 0, 1)
    explained = (right_if[:, 1] - right_if[:, 0]) ** 2 * accept * (1 - accept)
    return Rates(
        agents=agents,
        judged=judged,
        labelled=labels.sum((1, 2)),
        accept=accept,
        false_accept=(weights * grid.fa).sum((1, 2)),
        false_accept_ci=_quantiles(grid.fa, weights),
        false_reject=(weights * grid.fr).sum((1, 2)),
        false_reject_ci=_quantiles(grid.fr, weights),
        quality=np.clip(quality, 0, 1),
        quality_ci=np.clip(np.stack([quality - half, quality + half], axis=1), 0, 1),
        right_if=right_if,
        worth=np.clip(explained / np.maximum(quality * (1 - quality), 1e-6), 0, 1),
        posterior=weights,
    )


def _posterior(grid: _Grid, likelihood: Floats, told: NDArray[np.bool_]) -> Floats:
    """[A, K, K] weights, with the agents' distribution estimated by EM from those that have labels."""
    start = np.full(2, _PRIOR_MEAN)
    wide = np.eye(2) * _PRIOR_SD**2
    mean, covariance = start, wide
    weights = _weights(grid, likelihood, mean, covariance)
    for _ in range(_ROUNDS if told.any() else 0):
        seen = weights[told]
        total = len(seen) + _PRIOR_AGENTS
        new_mean = (np.einsum("akl,kli->i", seen, grid.logit) + _PRIOR_AGENTS * start) / total
        off = grid.logit - new_mean
        scatter = np.einsum("akl,kli,klj->ij", seen, off, off)
        new_covariance = (scatter + _PRIOR_AGENTS * wide) / total
        change = max(np.abs(new_mean - mean).max(), np.abs(new_covariance - covariance).max())
        mean, covariance = new_mean, new_covariance
        weights = _weights(grid, likelihood, mean, covariance)
        if change < 1e-4:
            break
    return weights


def _weights(grid: _Grid, likelihood: Floats, mean: Any, covariance: Any) -> Floats:
    off = grid.logit - mean
    prior = -0.5 * np.einsum("kli,ij,klj->kl", off, np.linalg.inv(covariance), off)
    log = likelihood + prior
    found: Floats = np.exp(log - log.max(axis=(1, 2), keepdims=True))
    found /= found.sum(axis=(1, 2), keepdims=True)
    return found


def _quantiles(values: Floats, weights: Floats) -> Floats:
    """[A, 2] the 2.5% and 97.5% points of a rate; ``values`` is the grid of that rate."""
    order = np.argsort(values, axis=None)
    ahead = np.cumsum(weights.reshape(len(weights), -1)[:, order], axis=1)
    flat = values.ravel()[order]
    last = flat.size - 1
    at = [[min(int(np.searchsorted(row, p)), last) for p in (0.025, 0.975)] for row in ahead]
    found: Floats = flat[np.array(at)]
    return found
