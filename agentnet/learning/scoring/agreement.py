"""How far a judge agrees with gold labels, per agent and in all."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentnet.learning.scoring.correct import Estimate, GroupValue, corrected_values
from agentnet.learning.scoring.rates import Z95, Rates, fit_rates
from agentnet.learning.scoring.table import Floats, Judgements


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentAgreement:
    """A judge against gold on one agent's answers; None where no label says anything.

    Rates are those of all judged answers, not of the labelled ones: labels that were picked by verdict are
    weighted back. Measured intervals are Wilson's, at the effective number of labels; the shrunk rates
    and the quality come from `agentnet.learning.scoring.rates`, which borrows from the other agents.
    """

    agent: str
    judged: int
    labelled: int
    accept: float
    """The judge's accept rate."""
    accuracy: Estimate | None
    kappa: float | None
    """Cohen's kappa: agreement beyond what chance would give."""
    false_accept: Estimate | None
    """Of wrong answers, the share that the judge accepts, measured on this agent alone."""
    false_reject: Estimate | None
    """Of right answers, the share that the judge rejects, measured on this agent alone."""
    shrunk_false_accept: Estimate
    shrunk_false_reject: Estimate
    quality: Estimate
    """Share of right answers, corrected."""
    worth: float
    """Gold labels that one judgement is worth, for this agent's quality."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """A judge against a gold standard."""

    judge: str
    gold: str
    judged: int
    labelled: int
    accuracy: Estimate | None
    kappa: float | None
    agents: tuple[AgentAgreement, ...]
    groups: tuple[GroupValue, ...]
    """Values of the groups (routers), raw and corrected."""

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON values."""
        return asdict(self)


def agreement(
    table: Judgements, *, judge: str = "judge", gold: str = "gold", rates: Rates | None = None
) -> Agreement:
    """Returns how far a judge agrees with gold labels.

    Args:
        table: Judgements, some with gold labels.
        judge: The judge's name, for reports.
        gold: What gold stands for, for reports.
        rates: The judge's error rates; None: fitted on this table.

    Raises:
        NotEnoughEvidence: there are fewer than 10 gold labels.

    >>> judged, gold = [1, 1, 1, 0, 0, 0, 1, 0, 1, 0], [1, 1, 1, 0, 0, 0, 1, 0, 0, 1]
    >>> found = agreement(Judgements.of(agent=["a"] * 10, judge=judged, gold=gold))
    >>> found.accuracy.value, round(found.kappa, 2)
    (0.8, 0.6)
    """
    rates = fit_rates(table) if rates is None else rates
    counts, labels = table.counts().sum(0), table.labels()
    joint, weight = _joint(counts, labels)
    mass = counts.sum(1) / max(len(table), 1)
    seen = ~np.isnan(joint).any(axis=(1, 2))
    everyone = np.einsum("a,aij->ij", mass[seen], joint[seen]) / max(mass[seen].sum(), 1e-12)
    return Agreement(
        judge=judge,
        gold=gold,
        judged=len(table),
        labelled=int(table.labelled.sum()),
        accuracy=_accuracy(everyone, _effective(labels[seen], weight[seen] * counts[seen, :, None])),
        kappa=_kappa(everyone),
        agents=tuple(_of_agent(a, rates, joint[a], labels[a], weight[a]) for a in range(len(table.agents))),
        groups=tuple(corrected_values(table, rates)),
    )


def wilson(rate: float, n: float) -> Estimate:
    """Returns Wilson's 95% interval of a share (Wilson 1927).

    Args:
        rate: The share that was seen.
        n: Of how many; may be an effective number.

    >>> found = wilson(0.5, 100)
    >>> round(found.low, 3), round(found.high, 3)
    (0.404, 0.596)
    """
    z = Z95**2 / max(n, 1e-9)
    middle = (rate + z / 2) / (1 + z)
    half = (Z95 / (1 + z)) * (rate * (1 - rate) / max(n, 1e-9) + z / (4 * max(n, 1e-9))) ** 0.5
    return Estimate(rate, float(max(middle - half, 0.0)), float(min(middle + half, 1.0)))


def _joint(counts: NDArray[np.intp], labels: NDArray[np.intp]) -> tuple[Floats, Floats]:
    """[A, 2, 2] shares of (verdict, truth) among all judged answers, and the weight of a label of each.

    NaN where a verdict that was given has no label.
    """
    picked = labels.sum(2)
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    per = np.where(counts > 0, share / np.where(picked > 0, picked, np.nan), 0.0)[:, :, None]
    joint: Floats = labels.astype(np.float64) * per
    return joint, np.broadcast_to(per, labels.shape).astype(np.float64)


def _effective(labels: NDArray[np.intp], weight: Floats) -> float:
    """Kish's effective number of labels of unequal weight."""
    total = float((labels * weight).sum())
    squares = float((labels * weight**2).sum())
    return total**2 / squares if squares > 0 else 0.0


def _accuracy(joint: Floats, n: float) -> Estimate | None:
    if not np.isfinite(joint).all() or n == 0:
        return None
    return wilson(float(np.clip(joint[0, 0] + joint[1, 1], 0, 1)), n)


def _kappa(joint: Floats) -> float | None:
    if not np.isfinite(joint).all():
        return None
    verdict, truth = joint.sum(1), joint.sum(0)
    chance = float(verdict @ truth)
    return None if chance >= 1 - 1e-12 else float((joint[0, 0] + joint[1, 1] - chance) / (1 - chance))


def _rate(joint: Floats, labels: NDArray[np.intp], weight: Floats, *, right: int) -> Estimate | None:
    """False rejects among right answers, false accepts among wrong ones."""
    column = joint[:, right]
    if not np.isfinite(column).all() or column.sum() <= 0:
        return None
    n = _effective(labels[:, right], weight[:, right])
    return wilson(float(column[0 if right else 1] / column.sum()), n)


def _of_agent(
    a: int, rates: Rates, joint: Floats, labels: NDArray[np.intp], weight: Floats
) -> AgentAgreement:
    def shrunk(values: Floats, interval: Floats) -> Estimate:
        return Estimate(float(values[a]), float(interval[a, 0]), float(interval[a, 1]))

    return AgentAgreement(
        agent=rates.agents[a],
        judged=int(rates.judged[a]),
        labelled=int(rates.labelled[a]),
        accept=float(rates.accept[a]),
        accuracy=_accuracy(joint, _effective(labels, weight)),
        kappa=_kappa(joint),
        false_accept=_rate(joint, labels, weight, right=0),
        false_reject=_rate(joint, labels, weight, right=1),
        shrunk_false_accept=shrunk(rates.false_accept, rates.false_accept_ci),
        shrunk_false_reject=shrunk(rates.false_reject, rates.false_reject_ci),
        quality=shrunk(rates.quality, rates.quality_ci),
        worth=float(rates.worth[a]),
    )
