"""`PathSpace`: the layered graph over which paths are drawn, as rows and columns of a matrix."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from agentnet.errors import InvalidInput

STOP = "(stop)"
"""Label of the stop node."""
MOST_LAYERS = 16
MOST_LAYERS_WITH_STOPS = 4
"""A tree over both outcomes of every comparison doubles with each layer."""


@dataclass(frozen=True, slots=True)
class Slot:
    """One draw of a path, or of a tree of paths.

    Attributes:
        layer: From 0.
        parent: The slot whose node comes before; -1 at the start.
        agreed: The draw is for the case that the answers so far agree (True) or do not (False); None
            where there is nothing to compare.
    """

    layer: int
    parent: int
    agreed: bool | None = None


@dataclass(frozen=True, slots=True)
class PathSpace:
    """Layers of the same A nodes; edges join adjacent layers, so every path is acyclic.

    A *row* is where an ant stands, a *column* where it goes next. Row 0 is a virtual source, so that the
    first choice has pheromone too. AMRO-S (section 2 of arXiv 2603.12933 as others quote it) has N layers
    and paths of exactly N nodes. With ``stops``, which is ours, every layer but the first also has a
    node *stop*, and from the third layer on an ant stands on one of two rows of an agent: one for
    "the answers so far agree", one for "they do not".

    Args:
        agents: Names of the nodes of a layer.
        layers: N.
        stops: Whether there are stop nodes.
        repeats: Whether an agent may stand in several layers of a path.

    >>> PathSpace(tuple("abcdefghijklmnop"), layers=3).edges
    528
    >>> space = PathSpace(("a", "b"), layers=3, stops=True)
    >>> space.row_label(space.row(2, 1, agreed=False)), space.column_label(2)
    ('2. b, disagree', '(stop)')
    """

    agents: tuple[str, ...]
    layers: int = 3
    stops: bool = False
    repeats: bool = True
    slots: tuple[Slot, ...] = field(init=False, compare=False, repr=False)
    """The draws of one path (without stops a line, with stops a tree), parents first."""

    def __post_init__(self) -> None:
        if not self.agents or len(set(self.agents)) < len(self.agents):
            raise InvalidInput(f"a path space needs agents of different names; got {self.agents!r}.")
        if STOP in self.agents:
            raise InvalidInput(f"no agent may be called {STOP!r}: that is the stop node's name.")
        most = MOST_LAYERS_WITH_STOPS if self.stops else MOST_LAYERS
        if not 1 <= self.layers <= most:
            raise InvalidInput(f"a path has 1 to {most} layers; got {self.layers!r}.")
        object.__setattr__(self, "slots", _slots(self.layers, self.stops))

    @property
    def rows(self) -> int:
        """R: places where an ant may stand and choose."""
        inner = max(self.layers - 1, 0)
        if self.stops and inner:
            return 1 + len(self.agents) * (1 + 2 * (inner - 1))
        return 1 + len(self.agents) * inner

    @property
    def columns(self) -> int:
        """C: places to go: the agents and, with stops, the stop node."""
        return len(self.agents) + int(self.stops)

    @property
    def stop_column(self) -> int:
        """The stop node's column; -1 where there is none."""
        return len(self.agents) if self.stops else -1

    @property
    def allowed(self) -> NDArray[np.bool_]:
        """[R, C] edges there are: no path is empty, and without ``repeats`` no edge leads to itself."""
        mask = np.ones((self.rows, self.columns), bool)
        if self.stops:
            mask[0, self.stop_column] = False
        if not self.repeats:
            for row in range(1, self.rows):
                mask[row, (row - 1) % len(self.agents)] = False
        return mask

    @property
    def edges(self) -> int:
        """Number of edges: what one specialist's memory grows with."""
        return int(self.allowed.sum())

    def base(self, layer: int, agreed: bool | None = None) -> int:
        """Returns the row of the first agent for the choice of ``layer`` (from 0); row 0 for layer 0."""
        if layer == 0:
            return 0
        size = len(self.agents)
        if not self.stops or layer == 1:
            return 1 + (layer - 1) * size
        return 1 + size + 2 * (layer - 2) * size + (0 if agreed else size)

    def row(self, layer: int, column: int = 0, agreed: bool | None = None) -> int:
        """Returns the row for the choice of ``layer`` of an ant that stands on agent ``column``."""
        return 0 if layer == 0 else self.base(layer, agreed) + column

    def place(self, row: int) -> tuple[int, int, bool | None]:
        """Returns (layer to choose, agent's column, agreed) of a row; the inverse of `row`.

        >>> PathSpace(("a", "b"), layers=4, stops=True).place(6)
        (2, 1, False)
        """
        if row == 0:
            return 0, -1, None
        size = len(self.agents)
        block, column = divmod(row - 1, size)
        if not self.stops or block == 0:
            return block + 1, column, None
        return 2 + (block - 1) // 2, column, (block - 1) % 2 == 0

    def row_label(self, row: int) -> str:
        """Returns a row in words."""
        layer, column, agreed = self.place(row)
        if layer == 0:
            return "start"
        state = "" if agreed is None else ", agree" if agreed else ", disagree"
        return f"{layer}. {self.agents[column]}{state}"

    def column_label(self, column: int) -> str:
        """Returns a column's agent, or `STOP`."""
        return STOP if column == self.stop_column else self.agents[column]

    def column(self, label: str) -> int | None:
        """Returns the column of an agent or of `STOP`; None where there is none."""
        if label == STOP:
            return self.stop_column if self.stops else None
        return self.agents.index(label) if label in self.agents else None


def _slots(layers: int, stops: bool) -> tuple[Slot, ...]:
    slots = [Slot(0, -1)]
    for layer in range(1, layers):
        before = [i for i, slot in enumerate(slots) if slot.layer == layer - 1]
        cases = (True, False) if stops and layer > 1 else (None,)
        slots += [Slot(layer, parent, agreed) for parent in before for agreed in cases]
    return tuple(slots)
