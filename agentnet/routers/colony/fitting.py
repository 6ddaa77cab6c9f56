"""From recorded outcomes to task types, abilities and colonies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentnet.outcomes.splits import stratified_folds
from agentnet.outcomes.table import Outcomes
from agentnet.routers.cascade import keep_best
from agentnet.routers.colony.bank import Bank
from agentnet.routers.colony.heuristic import Moment
from agentnet.routers.colony.pheromones import Colony
from agentnet.routers.colony.recipes import Method
from agentnet.routers.colony.recorded import TreeSums
from agentnet.routers.colony.space import PathSpace
from agentnet.routers.colony.trees import Pooling, choose_pooling
from agentnet.routers.colony.warm_start import LEAST, settle, walk_in
from agentnet.routers.intents.base import OneType, TaskTypes
from agentnet.routers.intents.head import EncodedTypes, clustered_types
from agentnet.routers.plans import AnswerTable, complete_rows
from agentnet.routers.selection import DIAL_GRID, exchange_rate

Floats = NDArray[np.float64]

FEWEST = 20
"""Fewest rows of a task label that make a type; rarer ones become one type."""
MOST_TYPES = 24
MOST_CLUSTERS = 16
"""Most types found by clustering; how far they share what they learn is chosen by cross-validation."""
MOST_AGENTS = {1: 200, 2: 100, 3: 24, 4: 14}
"""Most agents whose trees of so many layers are all looked at; the ones best for their price are kept."""
PSEUDO = 20.0
"""Outcomes that an agent's overall mean counts for, in its ability for a type."""
_FOLDS = 5


@dataclass(frozen=True, slots=True, eq=False)
class Abilities:
    """Mean score and cost of A agents by type, drawn to the agents' overall means.

    Attributes:
        agents: The A names.
        score: [T, A] in [0, 1].
        cost: [T, A] USD; NaN unknown.
        count: [T] rows.
    """

    agents: tuple[str, ...]
    score: Floats
    cost: Floats
    count: Floats

    @classmethod
    def of(cls, outcomes: Outcomes, types: NDArray[np.intp], count: int) -> Abilities:
        """Averages outcomes.

        Args:
            outcomes: n rows.
            types: [n] type of each row.
            count: T.
        """
        member = np.zeros((count, len(outcomes)))
        member[types, np.arange(len(outcomes))] = 1.0
        seen = outcomes.observed
        weight = np.where(seen, np.nan_to_num(outcomes.weight, nan=1.0), 0.0).astype(np.float64)
        paid = ~np.isnan(outcomes.cost)
        return cls(
            outcomes.agents,
            _shrunk(member, weight, np.where(seen, outcomes.score, 0.0), fallback=0.5),
            _shrunk(member, paid.astype(np.float64), np.where(paid, outcomes.cost, 0.0), fallback=np.nan),
            member.sum(1),
        )

    def sums(self) -> TreeSums:
        """Returns the sums of paths of one agent: all that can be said where no text was recorded."""
        count = self.count[:, None]
        one = np.stack([self.score * count, self.cost * count])
        size = len(self.agents)
        pairs = np.zeros((2, len(count), size, size))
        none = np.zeros((*pairs.shape, 0))
        return TreeSums(self.count, one, pairs, pairs, none, none, none, None)


def _shrunk(member: Floats, weight: Floats, values: Floats, *, fallback: float) -> Floats:
    """[T, A] weighted means by type, drawn to the mean over all rows."""
    total, mass = weight * values, weight.sum(0)
    overall = np.divide(total.sum(0), mass, out=np.full(len(mass), fallback), where=mass > 0)
    result: Floats = (member @ total + PSEUDO * overall) / (member @ weight + PSEUDO)
    return result


def learn_types(
    outcomes: Outcomes, vectors: NDArray[np.float32], wanted: int | None, *, seed: int
) -> tuple[TaskTypes, NDArray[np.intp]]:
    """Returns the semantic router and the [n] type of each training row.

    The rows' task labels are the types, where there are several; else clusters of their encodings.

    Args:
        outcomes: n rows.
        vectors: [n, d] their encodings.
        wanted: Number of clusters to make instead of using labels; None decides.
        seed: Makes it deterministic.
    """
    counts = Counter(outcomes.queries.task)
    common = [label for label, n in counts.most_common(MOST_TYPES) if label and n >= FEWEST]
    rare = sum(n for label, n in counts.items() if label not in common)
    if wanted is None and outcomes.kind != "label" and len(common) + (rare >= FEWEST) > 1:
        # Too few rows for a type of their own join the most common one.
        rest = "other" if rare >= FEWEST else common[0]
        labels = [label if label in common else rest for label in outcomes.queries.task]
        types: TaskTypes = EncodedTypes.fit(vectors, labels, seed=seed)
        return types, np.array([types.types.index(label) for label in labels], np.intp)
    number = wanted or min(MOST_CLUSTERS, len(outcomes) // FEWEST)
    if number < 2:
        return OneType(), np.zeros(len(outcomes), np.intp)
    types = clustered_types(vectors, min(number, len(outcomes)), seed)
    return types, types.weights([""] * len(outcomes), vectors).argmax(1)


@dataclass(frozen=True, slots=True)
class Trained:
    """A warm-started bank and how it was chosen."""

    bank: Bank
    scores: tuple[tuple[float, ...], ...]
    """[dials, T] training score of each specialist's best path; empty where it is not known."""
    dial: float
    chosen: Mapping[str, Any]
    tried: tuple[Mapping[str, Any], ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Job:
    """What a warm start is made from.

    Attributes:
        outcomes: n training rows.
        types: [n] type of each.
        names: Names of the T types.
        weights: [n, T] predicted types.
        abilities: Means by type.
        method: The recipe.
        unit_cost: c of the quality-cost dial.
        normalise: Name of the normaliser by which answers are compared.
        theta: Temperature of `settle`.
        seed: Makes it deterministic.
    """

    outcomes: Outcomes
    types: NDArray[np.intp]
    names: Sequence[str]
    weights: Floats
    abilities: Abilities
    method: Method
    unit_cost: float
    normalise: str
    theta: float
    seed: int


def train_settled(job: Job) -> Trained:
    """Warm-starts recipe ``agentnet``: every edge gets the pheromone of the best tree through it."""
    outcomes, types, names, abilities = job.outcomes, job.types, job.names, job.abilities
    layers, unit_cost, dial, seed = job.method.layers, job.unit_cost, job.method.dial, job.seed
    agents = tuple(sorted(outcomes.agents))
    table = AnswerTable.of(outcomes, kind=job.normalise)
    priced = bool(np.isfinite(outcomes.cost).all())
    abilities = replace(abilities, cost=filled(abilities.cost))
    pooled: Pooling | None = None
    if table is None:
        layers, kept = 1, agents
        sums = abilities.sums()
        order = [abilities.agents.index(name) for name in kept]
        sums = replace(sums, one=sums.one[:, :, order])
    else:
        kept = tuple(sorted(table.agents[i] for i in keep_best(table, MOST_AGENTS[layers])))
        rows = complete_rows(outcomes)
        table = _columns(table, kept)
        group = types[rows]
        fold = stratified_folds([str(t) for t in group], _FOLDS, seed)
        pooled = choose_pooling(
            table, group, len(names), fold, layers=layers, dials=DIAL_GRID, unit_cost=unit_cost
        )
        sums = pooled.sums
    pooling = pooled.queries if pooled else 0.0
    space = PathSpace(kept, min(layers, len(kept)), stops=True, repeats=False)
    start = Colony.start(space, names)
    settled = [settle(start, sums, d, unit_cost, pooling=pooling, theta=job.theta) for d in DIAL_GRID]
    colonies = tuple(_known(one.colony, agents) for one in settled)
    cost = replace(job.method.cost, usd_ref=unit_cost or None)
    bank = Bank(dials=DIAL_GRID, colonies=colonies, cost=cost)
    if dial is None:
        # The cheapest setting that scores as much as the best single agent, on rows left out.
        known = pooled is not None and priced
        dial = DIAL_GRID[pooled.cheapest(float(np.nanmax(outcomes.mean_score)))] if pooled and known else 0.0
    chosen = {"layers": space.layers, "pooling": pooling, "task_types": len(names), "dial": dial}
    scores = tuple(one.score for one in settled)
    return Trained(bank, scores, dial, chosen, pooled.tried if pooled else (), _notes(job, table))


def _notes(job: Job, table: AnswerTable | None) -> tuple[str, ...]:
    if table is not None or job.method.layers == 1:
        return ()
    if job.method.join == "chain":
        return ("chains cannot be replayed: the pheromone starts from the agents' abilities",)
    return ("no recorded text of all agents: paths of one agent only",)


def _columns(table: AnswerTable, agents: Sequence[str]) -> AnswerTable:
    at = [table.agents.index(name) for name in agents]
    return AnswerTable(tuple(agents), table.key[:, at], table.score[:, at], filled(table.cost[:, at]))


def filled(cost: Floats) -> Floats:
    """Returns [n, A] costs without NaN: an agent's mean, or the dearest agent's where it has none.

    An unknown price must never look cheap. Where no cost is known at all, every one is 0.

    >>> filled(np.array([[1.0, np.nan, 5.0], [3.0, np.nan, np.nan]])).tolist()
    [[1.0, 5.0, 5.0], [3.0, 5.0, 5.0]]
    """
    known = ~np.isnan(cost)
    count = known.sum(0)
    mean = np.divide(np.where(known, cost, 0.0).sum(0), count, out=np.zeros(cost.shape[1]), where=count > 0)
    mean = np.where(count > 0, mean, mean.max(initial=0.0))
    result: Floats = np.where(known, cost, mean)
    return result


def _known(colony: Colony, agents: tuple[str, ...]) -> Colony:
    """The colony over all agents; those not looked at have the least pheromone."""
    if colony.space.agents == agents:
        return colony
    moved = colony.for_agents(agents)
    tau = moved.tau.copy()
    for column, name in enumerate(agents):
        if name not in colony.space.agents:
            tau[:, :, column] = np.where(moved.space.allowed[:, column], LEAST, 0.0)
    return replace(moved, tau=tau)


def train_walked(job: Job) -> Trained:
    """Warm-starts recipe ``paper``: ants walk over labelled queries, for each setting of the dial."""
    outcomes, types, names, abilities = job.outcomes, job.types, job.names, job.abilities
    method, unit_cost, weights, dial = job.method, job.unit_cost, job.weights, job.method.dial
    assert dial is not None  # this recipe has a setting of its own
    layers, repeats = method.layers, method.repeats
    agents = tuple(sorted(outcomes.agents))
    table = AnswerTable.of(outcomes, kind=job.normalise)
    if table is None and method.join == "vote":
        layers = 1
    if method.join == "chain":
        table = None  # what an agent says after reading another is not recorded
    space = PathSpace(agents, layers if repeats else min(layers, len(agents)), repeats=repeats)
    order = [abilities.agents.index(name) for name in agents]
    usd_ref = unit_cost * space.layers
    latency = np.nanmax(outcomes.latency_s) if np.isfinite(outcomes.latency_s).any() else None
    latency_ref = None if latency is None else float(latency)
    cost = replace(method.cost, usd_ref=usd_ref or None, latency_ref=latency_ref)
    start = Colony.start(space, names)
    if table is None:
        # No path can be replayed: the capability prior tau = 1 + A (default, not in paper).
        prior = np.where(space.allowed, 1.0 + abilities.score[:, None, order], 0.0)
        colonies = tuple(replace(start, tau=prior.copy()) for _ in DIAL_GRID)
    else:
        rows = complete_rows(outcomes)
        table = _columns(table, agents)
        idle = Moment.idle(len(agents))
        eta = method.heuristic.eta(weights[rows] @ abilities.score[:, order], idle)
        colonies = tuple(
            walk_in(
                start, table, weights[rows], types[rows], eta,
                exchange_rate(d) / usd_ref if usd_ref else 0.0, method.rules,
                alpha=method.alpha, beta=method.beta, rng=np.random.default_rng(job.seed),
            )
            for d in DIAL_GRID
        )  # fmt: skip
    bank = Bank(dials=DIAL_GRID, colonies=colonies, cost=cost)
    chosen = {"layers": space.layers, "task_types": len(names), "dial": dial}
    return Trained(bank, (), dial, chosen, (), _notes(job, table))
