"""`Colony`: one immutable snapshot of what the ants have learned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentnet.errors import InvalidInput
from agentnet.routers.colony.space import PathSpace
from agentnet.routers.selection import BELOW_BEST

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Colony:
    """Pheromone specialists: one matrix per task type over the same path space.

    Serving reads a colony, learning makes a new one: whoever holds a colony never sees it change.

    Attributes:
        space: Where paths may go.
        types: The T task types.
        tau: [T, R, C] pheromone, above 0 on edges that exist and 0 elsewhere; not to be written to.
        number: How many updates made it.

    >>> colony = Colony.start(PathSpace(("a", "b"), layers=2), ("math", "code"))
    >>> colony.fused(np.array([[0.5, 0.5]])).shape, colony.number
    ((1, 3, 2), 0)
    """

    space: PathSpace
    types: tuple[str, ...]
    tau: Floats
    number: int = 0

    def __post_init__(self) -> None:
        shape = (len(self.types), self.space.rows, self.space.columns)
        if self.tau.shape != shape:
            raise InvalidInput(f"pheromones must be {shape}; got {self.tau.shape}.")
        self.tau.flags.writeable = False

    @classmethod
    def start(cls, space: PathSpace, types: Sequence[str], *, tau0: float = 1.0) -> Colony:
        """Returns a colony that knows nothing: ``tau0`` on every edge (default, not in paper)."""
        tau = np.where(space.allowed, tau0, 0.0)
        return cls(space, tuple(types), np.tile(tau, (len(types), 1, 1)))

    def fused(self, weights: Floats) -> Floats:
        r"""Returns [n, R, C] the pheromone that n queries see.

        .. math:: \tau^{(q)}_{ij} = \sum_t w_t(q)\, \tau^t_{ij}

        AMRO-S, semantic fusion [quoted]. The walk computes only the rows it stands on.

        Args:
            weights: [n, T] task types of the queries.
        """
        fused: Floats = np.einsum("nt,trc->nrc", np.asarray(weights, np.float64), self.tau)
        return fused

    def for_agents(self, agents: Sequence[str]) -> Colony:
        """Returns the colony over other agents, known by name; agents it does not know are average.

        To a new agent leads the mean pheromone of the row's agents that are still there, held below the
        best of them; from it leads the mean of the other agents' rows. So it is visited now and then while
        sampling, and never the first choice beside known ones.
        """
        if tuple(agents) == self.space.agents:
            return self
        space = replace(self.space, agents=tuple(agents), layers=self.space.layers)
        return replace(self, space=space, tau=_moved(self, space))

    def table(self) -> list[dict[str, Any]]:
        """Returns every edge as a row: type, layer, source, state, target, pheromone."""
        rows = []
        for t, name in enumerate(self.types):
            for r, c in zip(*np.nonzero(self.space.allowed), strict=True):
                layer, column, agreed = self.space.place(int(r))
                rows.append(
                    {
                        "type": name,
                        "layer": layer + 1,
                        "source": "start" if layer == 0 else self.space.agents[column],
                        "state": None if agreed is None else "agree" if agreed else "disagree",
                        "target": self.space.column_label(int(c)),
                        "pheromone": float(self.tau[t, r, c]),
                    }
                )
        return rows


def _moved(colony: Colony, space: PathSpace) -> Floats:
    """The pheromones on another space of the same layers: by agents' names, averages for new ones."""
    old = colony.space
    size = len(old.agents)
    at = [old.agents.index(name) if name in old.agents else -1 for name in space.agents]
    tau = np.zeros((len(colony.types), space.rows, space.columns))
    allowed = old.allowed
    filled = np.where(allowed, colony.tau, np.nan)
    blocks = [(0, 0, [0])]
    for row in range(1, space.rows, len(space.agents)):
        layer, _, agreed = space.place(row)
        blocks.append((row, old.base(layer, agreed), [-1 if i < 0 else i for i in at]))
    there = [i for i in at if i >= 0] or list(range(size))
    for row, base, places in blocks:
        source = filled[:, base : base + (1 if base == 0 else size)]
        average = _mean(source if base == 0 else source[:, there], 1)
        for k, place in enumerate(places):
            standing = source[:, place] if place >= 0 else average
            known = standing[:, there]
            new = np.minimum(_mean(known, 1), BELOW_BEST * np.nan_to_num(known, nan=0.0).max(1))
            new = np.where(new > 0, new, 1.0)
            columns = [standing[:, i] if i >= 0 else new for i in at]
            if space.stops:
                columns.append(standing[:, size])
            moved = np.stack(columns, 1)
            tau[:, row + k] = np.where(np.isnan(moved), new[:, None], moved)
    return np.where(space.allowed, tau, 0.0)


def _mean(values: Floats, axis: int) -> Floats:
    """Mean of what is not NaN; 1 where nothing is."""
    known = ~np.isnan(values)
    count = known.sum(axis)
    total: Floats = np.where(known, values, 0.0).sum(axis)
    mean: Floats = np.divide(total, count, out=np.ones_like(total), where=count > 0)
    return mean
