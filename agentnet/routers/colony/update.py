"""`update`: what the colony learns from judged paths."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from agentnet.errors import InvalidInput
from agentnet.routers.colony.pheromones import Colony

Floats = NDArray[np.float64]
_LEAST = 1e-30
"""An edge that nobody walks evaporates for ever; below this, single precision would lose it."""
Evaporation = Literal["attributed", "classic", "visited", "edges"]


@dataclass(frozen=True, slots=True)
class Trajectory:
    """One path that was walked, and what became of it.

    Attributes:
        weights: [T] task types of the query: to whom the credit goes.
        edges: (row, column) of each step, in order.
        cost: f_sys, the system's cost of the path; at least 0.
        accepted: The gate g: whether the judge accepted the answer.
    """

    weights: tuple[float, ...]
    edges: tuple[tuple[int, int], ...]
    cost: float
    accepted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """How a colony is updated.

    Attributes:
        rho: Evaporation per update of full attribution, in [0, 1] (0.05: default, not in paper).
        q: Deposit constant Q.
        eps: Added to f_sys, above 0 (0.1: default, not in paper).
        bounds: Least and most pheromone of an edge (MAX-MIN); None leaves it free, as the paper does
            [quoted].
        evaporation: ``"attributed"``: all edges of specialist t by rho_t = 1 - (1 - rho)^(sum of w_t over
            the batch's accepted paths). This departs from the classical rule so that a type without
            traffic does not forget (default, not in paper). ``"classic"``: all edges by rho, once a batch.
            ``"visited"`` (ours): only the rows on which judged ants stood evaporate, and deposits are means
            instead of sums, as in the hyper-cube framework (Blum and Dorigo 2004): pheromone stays
            between 0 and the largest deposit, and what nobody tried is not forgotten.
            ``"edges"`` (ours): only edges that judged ants walked move, towards the mean deposit (0 for a
            rejected path): pheromone is what an edge was worth lately, not how often it was taken, so that
            early luck locks nothing in. It wants a high exponent alpha.
        regain: With ``"edges"``: share of rho by which the other edges of a row that was stood on move
            towards the row's best, so that what was given up is tried again now and then.
        gate: False deposits for rejected paths too: the ablation "without the gate".
    """

    rho: float = 0.05
    q: float = 1.0
    eps: float = 0.1
    bounds: tuple[float, float] | None = None
    evaporation: Evaporation = "attributed"
    regain: float = 0.0
    gate: bool = True

    def __post_init__(self) -> None:
        if not (0 <= self.rho <= 1 and 0 <= self.regain <= 1):
            raise InvalidInput(f"rho and regain are from 0 to 1; got {self.rho!r}, {self.regain!r}.")
        if not self.eps > 0 or not self.q > 0:
            raise InvalidInput(f"q and eps must be above 0; got q={self.q!r}, eps={self.eps!r}.")
        if self.bounds is not None and not 0 < self.bounds[0] < self.bounds[1]:
            raise InvalidInput(f"bounds are 0 < least < most; got {self.bounds!r}.")

    def deposit(self, cost: Floats) -> Floats:
        """Returns Q / (f_sys + eps): reward graded by cheapness [quoted]."""
        graded: Floats = self.q / (cost + self.eps)
        return graded


def update(colony: Colony, batch: Sequence[Trajectory], rules: Rules) -> Colony:
    r"""Returns the next snapshot: evaporation, then the deposits of the paths that passed the gate.

    .. math:: \tau^t_{ij} \leftarrow (1 - \rho)\,\tau^t_{ij} + \Delta\tau^t_{ij}, \qquad
              \Delta\tau^t_{ij} = \frac{w_t(q)\,Q}{f_{sys}(P) + \epsilon}
              \text{ if } (i,j) \in P \text{ and } g = 1 \text{, else } 0

    AMRO-S, update rule [quoted]. A rejected path deposits nothing; there is no negative deposit. All of a
    batch is added up, so that its order does not matter.

    >>> from agentnet.routers.colony.space import PathSpace
    >>> colony = Colony.start(PathSpace(("a", "b"), layers=1), ("math", "code"))
    >>> path = Trajectory(weights=(1.0, 0.0), edges=((0, 1),), cost=0.4, accepted=True)
    >>> update(colony, [path], Rules()).tau[:, 0].round(2).tolist()
    [[0.95, 2.95], [1.0, 1.0]]
    """
    paths = [path for path in batch if path.edges]
    if not paths:
        return colony
    tau = colony.tau.copy()
    if rules.evaporation in ("visited", "edges"):
        _averaged(tau, colony.space.allowed, paths, rules)
    else:
        _summed(tau, [path for path in paths if path.accepted or not rules.gate], rules)
    low, high = rules.bounds or (_LEAST, np.inf)
    tau = np.where(colony.tau > 0, np.clip(tau, low, high), 0.0)
    return replace(colony, tau=tau, number=colony.number + 1)


def _summed(tau: Floats, paths: Sequence[Trajectory], rules: Rules) -> None:
    if rules.evaporation == "classic":
        tau *= 1 - rules.rho
    if not paths:
        return
    weights = np.array([path.weights for path in paths])
    if rules.evaporation == "attributed":
        kept = (1 - rules.rho) ** weights.sum(0)
        # A type without attribution stays as it is, to the last bit.
        tau[kept < 1] *= kept[kept < 1, None, None]
    graded = rules.deposit(np.array([path.cost for path in paths]))[:, None] * weights
    owner, rows, columns = _edges(paths)
    for t in range(tau.shape[0]):
        np.add.at(tau[t], (rows, columns), graded[owner, t])


def _averaged(tau: Floats, allowed: NDArray[np.bool_], paths: Sequence[Trajectory], rules: Rules) -> None:
    weights = np.array([path.weights for path in paths])
    passed = np.array([path.accepted or not rules.gate for path in paths])
    graded = (rules.deposit(np.array([path.cost for path in paths])) * passed)[:, None] * weights
    owner, rows, columns = _edges(paths)
    for t in range(tau.shape[0]):
        sums, mass = np.zeros_like(tau[t]), np.zeros_like(tau[t])
        np.add.at(sums, (rows, columns), graded[owner, t])
        np.add.at(mass, (rows, columns), weights[owner, t])
        stood = np.flatnonzero(mass.sum(1) > 0)
        if rules.evaporation == "visited":
            whole = mass[stood].sum(1, keepdims=True)
            tau[t, stood] += (1 - (1 - rules.rho) ** whole) * (sums[stood] / whole - tau[t, stood])
        else:
            tau[t, stood] = _moved(tau[t, stood], sums[stood], mass[stood], allowed[stood], rules)


def _moved(tau: Floats, sums: Floats, mass: Floats, allowed: NDArray[np.bool_], rules: Rules) -> Floats:
    """[R', C] rows of which some edges were walked: these move to their mean deposit, the others up."""
    walked = mass > 0
    mean = np.divide(sums, mass, out=np.zeros_like(sums), where=walked)
    moved = tau + (1 - (1 - rules.rho) ** mass) * (mean - tau)
    if not rules.regain:
        return moved
    pull = 1 - (1 - rules.rho * rules.regain) ** mass.sum(1, keepdims=True)
    best = moved.max(1, keepdims=True)
    result: Floats = np.where(walked | ~allowed, moved, tau + pull * (best - tau))
    return result


def _edges(paths: Sequence[Trajectory]) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """Path, row and column of every step of a batch."""
    steps = [(i, row, column) for i, path in enumerate(paths) for row, column in path.edges]
    owner, rows, columns = np.array(steps, np.intp).T
    return owner, rows, columns
