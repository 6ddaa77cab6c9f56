"""Warm starts: what recorded outcomes teach a colony before it serves.

The paper has an offline warm start on labelled data; its details are not known. `walk_in` is the
specification's guess (200 labelled queries a task type through the same update); `settle` is ours.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from agentnet.routers.colony.pheromones import Colony
from agentnet.routers.colony.recorded import TreeSums, vote_of
from agentnet.routers.colony.trees import Utilities, shrunk
from agentnet.routers.colony.update import Rules, Trajectory, update
from agentnet.routers.colony.walk import walk
from agentnet.routers.plans import AnswerTable
from agentnet.routers.selection import exchange_rate

Floats = NDArray[np.float64]
QUERIES = 200
"""Labelled queries a task type (default, not in paper)."""
BATCH = 32
LEAST = 1e-4
"""Least pheromone that `settle` leaves on an edge."""
_SECOND = 0.999


@dataclass(frozen=True, slots=True)
class Settled:
    """What `settle` made for one setting of the dial."""

    colony: Colony
    score: tuple[float, ...]
    """[T] mean training score of each specialist's best tree."""


def settle(
    colony: Colony, sums: TreeSums, dial: float, unit_cost: float, *, pooling: float, theta: float
) -> Settled:
    r"""Returns the colony in which every edge has the pheromone of the best tree through it.

    .. math:: \tau^t_{ij} = V^t \exp\left(-\frac{\max_l U^t_{il} - U^t_{ij}}{\theta}\right)

    (ours) with U^t_ij the highest mean utility, over the recorded queries of type t, of any tree that goes
    from i to j, and V^t the deposit that the best tree earns at its mean cost. It is what a very large
    number of ants would leave: all trees of up to four layers are looked at, exactly, so nothing depends
    on luck. U^t is drawn to the mean over all types, which counts for ``pooling`` queries.

    Args:
        colony: Gives space (with stops, at most four layers) and types.
        sums: Groups are the types.
        dial: w of the utility (1 - w) * score - w * cost / c.
        unit_cost: c.
        pooling: Queries that the mean over all types counts for.
        theta: Temperature, in utility: an edge this much worse has 1/e of the pheromone.
    """
    space = colony.space
    layers, size = space.layers, len(space.agents)
    tau = np.zeros_like(colony.tau)
    value = Utilities.of(shrunk(sums, pooling), dial, unit_cost, layers)
    if layers == 1:
        tau[:, 0, :size] = _soft(value.one, theta)
    else:
        pair = value.pair
        tau[:, 0, :size] = _soft(np.maximum(value.one, pair.max(2)), theta)
        tau[:, 1 : 1 + size] = _soft(np.concatenate([pair, value.one[:, :, None]], 2), theta)
    for agreed in (True, False) if layers > 2 else ():
        base = space.base(2, agreed)
        tau[:, base : base + size] = _soft(value.after_two(agreed), theta)
    if layers > 3:
        # After an agreement of three nothing more is worth its price: only the stop has pheromone.
        base = space.base(3, agreed=True)
        tau[:, base : base + size, size] = 1.0
        base = space.base(3, agreed=False)
        tau[:, base : base + size] = _soft(value.after_three(), theta)
    means = np.array([value.best(t).total(sums, t) for t in range(len(colony.types))])
    score, cost = means.T / np.maximum(sums.count, 1e-12)
    worth = score / (1 + exchange_rate(dial) * np.nan_to_num(cost) / (unit_cost or 1.0))
    tau = np.where(space.allowed, np.maximum(tau * worth[:, None, None], LEAST), 0.0)
    return Settled(replace(colony, tau=tau), tuple(score.tolist()))


def walk_in(
    colony: Colony,
    table: AnswerTable,
    weights: Floats,
    types: NDArray[np.intp],
    eta: Floats,
    cost_scale: float,
    rules: Rules,
    *,
    alpha: float,
    beta: float,
    rng: np.random.Generator,
    queries: int = QUERIES,
) -> Colony:
    """Lets ants walk over labelled queries, through the same update with a correctness gate.

    Args:
        colony: Where to start.
        table: Recorded answers of n queries.
        weights: [n, T] predicted task types.
        types: [n] labelled type of each, by which the queries are taken.
        eta: [n, A] heuristic.
        cost_scale: f_sys per USD.
        rules: Of the update.
        alpha: Exponent of the pheromone.
        beta: Exponent of the heuristic.
        rng: Draws queries and paths.
        queries: Labelled queries a type.
    """
    taken = [rng.permutation(np.flatnonzero(types == t))[:queries] for t in range(len(colony.types))]
    rows = rng.permutation(np.concatenate(taken))
    slots = len(colony.space.slots)
    for start in range(0, len(rows), BATCH):
        part = rows[start : start + BATCH]
        draws = rng.random((len(part), slots))
        found = walk(colony.tau, weights[part], eta[part], colony.space, draws, alpha=alpha, beta=beta)
        columns = found.columns.numpy()
        score, cost = vote_of(table, part, columns)
        batch = [
            Trajectory(
                weights=tuple(weights[row]),
                edges=edges_of(colony, columns[k]),
                cost=float(np.nan_to_num(cost[k])) * cost_scale,
                accepted=bool(score[k] >= 0.5),
            )
            for k, row in enumerate(part)
        ]
        colony = update(colony, batch, rules)
    return replace(colony, number=0)


def edges_of(colony: Colony, columns: NDArray[np.int64]) -> tuple[tuple[int, int], ...]:
    """Returns the edges of a path without stops."""
    space = colony.space
    before = [0, *columns[:-1].tolist()]
    return tuple(
        (space.row(layer, before[layer]), int(column)) for layer, column in enumerate(columns) if column >= 0
    )


def _soft(utility: Floats, theta: float) -> Floats:
    """exp(-(row's best - utility) / theta); 0 for steps there are not.

    A hair of difference is made wide enough for single precision to see: the best is 1, no other is.
    """
    best = utility.max(-1, keepdims=True)
    regret = np.where(np.isfinite(best), best - utility, 0.0)
    with np.errstate(over="ignore"):
        graded: Floats = np.exp(-regret / theta)
    first = np.arange(utility.shape[-1]) == utility.argmax(-1)[..., None]
    return np.where(first, 1.0, np.minimum(graded, _SECOND))
