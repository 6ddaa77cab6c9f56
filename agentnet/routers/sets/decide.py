"""From probabilities to sets: beliefs, joined queries, and each agent's own threshold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product

import numpy as np
from numpy.typing import NDArray

from agentnet.routers.sets.choice import Belief, choose_set, expected_reward
from agentnet.routers.sets.evidence import Part
from agentnet.routers.sets.linear import likeliest
from agentnet.routers.sets.parts import Cut, ScoreTexts, Splitter, best_cuts

_TOP = 6
"""Agents of a single request that a belief names."""
_TOP_OF_PART = 2
_RECUT = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Verdict:
    """What was decided for one query.

    Attributes:
        chosen: The set, likeliest agent first; empty when nobody is allowed.
        chances: [A] probability of each agent to be in the right set.
        belief: Of the right set.
        joined: Probability that the query joins several requests; None where nobody looked.
        parts: Its parts, where it was taken apart.
    """

    chosen: tuple[str, ...]
    chances: NDArray[np.float32]
    belief: Belief
    joined: float | None = None
    parts: tuple[Part, ...] = ()

    @property
    def unsure(self) -> float:
        """1 minus the probability that the chosen set is the right one."""
        return 1.0 - float(self.belief.sets.get(frozenset(self.chosen), 0.0))

    @property
    def told(self) -> dict[str, str]:
        """Each chosen agent's part of the query, where it is more likely joined than not."""
        if len(self.chosen) < 2 or (self.joined or 0.0) < _RECUT:
            return {}
        return {part.agent: part.text for part in self.parts if part.agent in self.chosen}

    @property
    def expected(self) -> float:
        """Expected reward of the chosen set."""
        return expected_reward(frozenset(self.chosen), self.belief)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What a choice has to keep to.

    Attributes:
        most: Most agents.
        agent_cost: What each agent after the first costs, in reward.
        least: Least probability by agent; others need none.
    """

    most: int
    agent_cost: float
    least: Mapping[str, float] = field(default_factory=dict)


def decide_all(
    texts: Sequence[str],
    names: Sequence[str],
    chances: NDArray[np.float32],
    splitter: Splitter,
    rules: Bounds,
    *,
    score: ScoreTexts,
    costs: NDArray[np.float64] | None = None,
) -> list[Verdict]:
    """Decides for n queries.

    Args:
        texts: The n queries.
        names: The A agents.
        chances: [n, A] probabilities of single requests.
        splitter: Says which queries to look at, and which are joined.
        rules: What the choice keeps to.
        score: Scores parts of queries.
        costs: [n, A] price of each agent in reward; None for none.
    """
    found: list[Verdict | None] = [None] * len(texts)
    if rules.most > 1:
        looked = np.flatnonzero(splitter.looks_at(texts, chances.max(1)))
        cuts = best_cuts([texts[int(i)] for i in looked], chances[looked], score)
        for i, cut in zip(looked.tolist(), cuts, strict=True):
            if cut is not None:
                found[i] = _joined(texts[i], names, chances[i], cut, splitter, rules, score, _row(costs, i))
    return [verdict or _single(names, chances[i], rules, _row(costs, i)) for i, verdict in enumerate(found)]


def _row(costs: NDArray[np.float64] | None, i: int) -> NDArray[np.float64] | None:
    return None if costs is None else costs[i]


def _single(
    names: Sequence[str], chances: NDArray[np.float32], rules: Bounds, costs: NDArray[np.float64] | None
) -> Verdict:
    """One request."""
    best = int(chances.argmax())
    plain = costs is None and not rules.least
    # Two agents earn at most .65 for one request: a surer single agent needs no sums.
    if plain and chances[best] > 0.65:
        belief = Belief({frozenset({names[best]}): float(chances[best])})
        return Verdict((names[best],), chances, belief)
    belief = Belief(_singles(names, chances, costs))
    return _chosen(names, chances, belief, rules, costs)


def _singles(
    names: Sequence[str], chances: NDArray[np.float32], costs: NDArray[np.float64] | None
) -> dict[frozenset[str], float]:
    """The likeliest agents, and the cheapest one where there are prices."""
    order = likeliest(chances, names, _TOP)
    if costs is not None:
        order.append(min(range(len(names)), key=lambda i: (float(costs[i]), names[i])))
    return {frozenset({names[i]}): float(chances[i]) for i in order}


def _chosen(
    names: Sequence[str],
    chances: NDArray[np.float32],
    belief: Belief,
    rules: Bounds,
    costs: NDArray[np.float64] | None,
    joined: float | None = None,
    parts: tuple[Part, ...] = (),
) -> Verdict:
    members = {name for group in belief.sets for name in group}
    # Against the probability that the decision tells, which the belief's few sets need not add up to.
    told = {name: float(chances[names.index(name)]) for name in members}
    allowed = [name for name in members if told[name] >= rules.least.get(name, 0.0)]
    price = None
    if costs is not None:
        price = {name: float(cost) for name, cost in zip(names, costs, strict=True) if name in members}
    chosen = choose_set(belief, most=rules.most, agent_cost=rules.agent_cost, costs=price, allowed=allowed)
    ordered = tuple(sorted(chosen, key=lambda name: (-belief.of(name), name)))
    return Verdict(ordered, chances, belief, joined, parts)


def _joined(
    text: str,
    names: Sequence[str],
    whole: NDArray[np.float32],
    cut: Cut,
    splitter: Splitter,
    rules: Bounds,
    score: ScoreTexts,
    costs: NDArray[np.float64] | None,
) -> Verdict:
    """A query that may join several requests."""
    chance = splitter.chance(cut)
    pieces = list(zip(cut.parts, cut.chances, strict=True))
    if chance >= _RECUT and rules.most > 2:
        pieces = _recut(pieces, splitter, score, rules.most)
    sets = {group: (1 - chance) * p for group, p in _singles(names, whole, costs).items()}
    for group, p in _together(names, [row for _, row in pieces]).items():
        sets[group] = sets.get(group, 0.0) + chance * p
    marginal = (1 - chance) * whole + chance * np.max([row for _, row in pieces], axis=0)
    parts = tuple(
        Part(text=piece, agent=names[int(row.argmax())], chance=round(float(row.max()), 4))
        for piece, row in pieces
    )
    return _chosen(names, marginal.astype(np.float32), Belief(sets), rules, costs, round(chance, 4), parts)


def _recut(
    pieces: list[tuple[str, NDArray[np.float32]]], splitter: Splitter, score: ScoreTexts, most: int
) -> list[tuple[str, NDArray[np.float32]]]:
    """Cuts the parts of a joined query again, as long as they look joined themselves."""
    done: list[tuple[str, NDArray[np.float32]]] = []
    waiting = list(pieces)
    while waiting:
        text, row = waiting.pop(0)
        room = len(done) + len(waiting) + 2 <= most
        cut = None
        if room and bool(splitter.looks_at([text], row.max(keepdims=True))[0]):
            cut = best_cuts([text], row[None], score)[0]
        if cut is not None and splitter.chance(cut) >= _RECUT:
            waiting = [*zip(cut.parts, cut.chances, strict=True), *waiting]
        else:
            done.append((text, row))
    return done


def _together(names: Sequence[str], rows: Sequence[NDArray[np.float32]]) -> dict[frozenset[str], float]:
    """Sets by probability, the parts being independent; the likeliest agents of each part only."""
    tops = []
    for row in rows:
        best = likeliest(row, names, _TOP_OF_PART)
        tops.append([(names[i], float(row[i])) for i in best])
    sets: dict[frozenset[str], float] = {}
    for picked in product(*tops):
        group = frozenset(name for name, _ in picked)
        sets[group] = sets.get(group, 0.0) + float(np.prod([p for _, p in picked]))
    return sets
