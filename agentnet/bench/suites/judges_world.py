"""Suite ``judges``: policies by a rule, their logs, and a judge that errs differently on every agent."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from agentnet.errors import DataError
from agentnet.learning.judges import ACCEPT
from agentnet.learning.scoring.pick import pick
from agentnet.learning.scoring.table import Judgements
from agentnet.outcomes.choices import draw_log
from agentnet.outcomes.table import Outcomes

Floats = NDArray[np.float64]

POLICIES = 12
DECISIONS = 2_000
LABELS = 200
GAP = 0.03
"""Least difference of neighbouring policies' true values."""
CANDIDATES = 250
SHARES = 0.5
"""Concentration of the Dirichlet distribution from which a candidate's shares of agents come."""
TEMPERATURES = (0.03, 0.1, 0.3)
ERRORS = (0.1, 0.3)
SPACINGS = {
    "spread": "12 policies at equal distance over all that the candidates reach",
    "tight": "12 policies in steps of three points, the smallest allowed",
    "difficulty": "as spread, by a judge who errs up to three times as often on hard queries as on easy ones",
}
"""Ways in which policies are chosen and the judge errs."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Draw:
    """One draw: policies, their judged logs, 200 gold labels, and the truth that is compared with.

    Attributes:
        table: Judgements of all policies' logs; gold for the labelled ones.
        true: [P] true values of the policies.
        false_accept: [A] the judge's true error rates.
        false_reject: [A] likewise.
        favoured: The agent whose style the judge likes.
        policies: Each policy in words.
    """

    table: Judgements
    true: Floats
    false_accept: Floats
    false_reject: Floats
    favoured: int
    policies: tuple[str, ...]


def candidates(scores: Floats, rng: np.random.Generator) -> list[tuple[str, Floats]]:
    """Returns policies [m, A] with names, truth unseen.

    Each takes some of the agents with shares from a Dirichlet distribution. Every second one is a router: the
    shares are tilted, query by query, by what a kNN router expects of each agent (softmax at one of three
    temperatures; one in three times against what it expects, a bad router).
    """
    m, agents = scores.shape
    found = []
    for _ in range(CANDIDATES):
        some = rng.choice(agents, int(rng.integers(2, agents + 1)), replace=False)
        share = np.zeros(agents)
        share[some] = rng.dirichlet(np.full(len(some), SHARES))
        if rng.random() < 0.5:
            sign = 1 if rng.random() < 2 / 3 else -1
            heat = float(rng.choice(TEMPERATURES))
            logit = sign * scores / heat + np.log(share + 1e-3)
            logit -= logit.max(axis=1, keepdims=True)
            chance = np.exp(logit)
            name = f"kNN {'for' if sign > 0 else 'against'}, temperature {heat:g}, {len(some)} agents"
        else:
            chance = np.broadcast_to(share, (m, agents)).copy()
            name = f"mixture of {len(some)} agents"
        found.append((name, chance / chance.sum(axis=1, keepdims=True)))
    return found


def choose(values: Floats, spacing: str, rng: np.random.Generator) -> list[int] | None:
    """Returns the places of the policies, worst first; None where the candidates do not allow it."""
    order = np.argsort(values).tolist()
    if spacing != "tight":
        aims = np.linspace(values[order[0]], values[order[-1]], POLICIES)
        taken = [int(np.abs(values - aim).argmin()) for aim in aims]
        return taken if np.diff(values[taken]).min() >= GAP else None
    for start in rng.permutation(len(order)).tolist():
        taken = [order[start]]
        for at in order[start:]:
            if values[at] >= values[taken[-1]] + GAP and len(taken) < POLICIES:
                taken.append(at)
        if len(taken) == POLICIES:
            return taken
    return None


def draw(outcomes: Outcomes, scores: Floats, spacing: str, rng: np.random.Generator) -> Draw:
    """Draws policies, logs, the judge and the labels.

    Args:
        outcomes: The full matrix of the rows that logs are drawn from.
        scores: [m, A] what a router fitted on other rows expects of each agent.
        spacing: One of `SPACINGS`.
        rng: Draws everything.

    Raises:
        DataError: no candidates of ten rounds are far enough apart.
    """
    right = np.asarray(outcomes.score) >= ACCEPT
    for _ in range(10):
        made = candidates(scores, rng)
        values = np.array([(chance * right).sum(1).mean() for _, chance in made])
        taken = choose(values, spacing, rng)
        if taken is not None:
            break
    else:
        raise DataError(f"no {POLICIES} policies {GAP:.0%} apart: the pack's agents are too much alike.")
    agents = len(outcomes.pool)
    false_accept, false_reject = rng.uniform(*ERRORS, agents), rng.uniform(*ERRORS, agents)
    favoured = int(rng.integers(agents))
    false_accept[favoured], false_reject[favoured] = ERRORS[1], ERRORS[0]
    logs = [draw_log(outcomes, made[at][1], DECISIONS, rng) for at in taken]
    query = np.concatenate([log.query for log in logs])
    agent = np.concatenate([log.agent for log in logs])
    truth = right[query, agent]
    rate = np.where(truth, false_reject[agent], false_accept[agent])
    if spacing == "difficulty":
        rate = rate * _hardness(right)[query]
    errs = rng.random(len(truth)) < rate
    judged = (truth ^ errs).astype(np.float64)
    empty = np.full(len(truth), np.nan)
    names = tuple(f"policy {i + 1}" for i in range(POLICIES))
    table = Judgements(
        agents=outcomes.agents,
        groups=names,
        agent=agent,
        group=np.repeat(np.arange(POLICIES, dtype=np.intp), DECISIONS),
        judge=judged,
        gold=empty,
    )
    return Draw(
        table=labelled(table, truth, pick(table, LABELS, rng)),
        true=values[taken],
        false_accept=false_accept,
        false_reject=false_reject,
        favoured=favoured,
        policies=tuple(made[at][0] for at in taken),
    )


def _hardness(right: NDArray[np.bool_]) -> Floats:
    """[m] from 0.5 for the query that most agents answer to 1.5 for the one that fewest do; 1 on average.

    The corrections of `agentnet.learning.scoring.rates` assume that there is no such thing.
    """
    ease = right.mean(axis=1)
    order = np.argsort(np.argsort(-ease, kind="stable"), kind="stable")
    found: Floats = 0.5 + order / max(len(order) - 1, 1)
    return found


def labelled(table: Judgements, truth: NDArray[np.bool_], rows: NDArray[np.intp]) -> Judgements:
    """Returns the table with gold labels on some rows: the only place where truth is shown."""
    gold = np.full(len(table), np.nan)
    gold[rows] = truth[rows]
    return Judgements(
        agents=table.agents,
        groups=table.groups,
        agent=table.agent,
        group=table.group,
        judge=table.judge,
        gold=gold,
    )


def kendall(first: ArrayLike, second: ArrayLike) -> float:
    """Returns Kendall's tau-a of two rankings.

    >>> round(kendall([1, 2, 3, 4], [1, 2, 4, 3]), 3)
    0.667
    """
    a, b = np.asarray(first), np.asarray(second)
    i, j = np.triu_indices(len(a), 1)
    return float((np.sign(a[i] - a[j]) * np.sign(b[i] - b[j])).mean())
