"""What serving keeps between decisions: a pool as the colony sees it, and the numbers paths are drawn by."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agentnet.graphs.pool import Pool
from agentnet.graphs.task import Task
from agentnet.routers.colony.bank import Bank
from agentnet.routers.colony.paths import Join, PathGraphs
from agentnet.routers.colony.pheromones import Colony

Floats = NDArray[np.float64]
_VIEWS = 8


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class View:
    """One pool as the colony sees it: columns are the agents by name, whatever their order in the pool.

    Attributes:
        order: [A] positions in the pool of the columns' agents.
        ability: [T, A] abilities in the columns' order.
        colony: Over the pool's agents.
        graphs: Maker of its graphs.
        source: The colony of the bank that it was made from.
    """

    order: NDArray[np.intp]
    ability: Floats
    colony: Colony
    graphs: PathGraphs
    source: Colony


class Views:
    """The latest few views; made once per pool, snapshot and setting of the dial."""

    def __init__(self, join: Join, normalise: str) -> None:
        self._join: Join = join
        self._normalise = normalise
        self._kept: OrderedDict[tuple[str, int], View] = OrderedDict()

    def of(self, pool: Pool, bank: Bank, at: int, ability: Floats) -> View:
        """Returns a view.

        Args:
            pool: A agents.
            bank: The snapshot.
            at: Position of the dial's setting in the bank.
            ability: [T, A] abilities in the pool's order.
        """
        key, source = (pool.version, at), bank.colonies[at]
        found = self._kept.get(key)
        if found is not None and found.source is source:
            return found
        order = np.argsort(np.array(pool.names), kind="stable")
        colony = source.for_agents([pool.names[i] for i in order])
        same = found is not None and found.colony.space == colony.space
        graphs = found.graphs if found and same else PathGraphs.of(colony.space, self._join, self._normalise)
        # Copies of a router share this cache and may learn apart: a view belongs to the colony it came from.
        made = View(order=order, ability=ability[:, order], colony=colony, graphs=graphs, source=source)
        self._kept[key] = made
        while len(self._kept) > _VIEWS:
            self._kept.popitem(last=False)
        return made


def uniform(
    tasks: Sequence[Task], slots: int, *, seed: int, rng: np.random.Generator | None, needed: bool
) -> Floats:
    """Returns [n, S] numbers in [0, 1) to draw paths by.

    Args:
        tasks: n tasks.
        slots: S.
        seed: Without ``rng``, the numbers are a hash of this and the task's id and text.
        rng: Draws afresh.
        needed: False gives zeros.
    """
    if not needed:
        return np.zeros((len(tasks), slots))
    if rng is not None:
        return rng.random((len(tasks), slots))
    rows = []
    for task in tasks:
        text = f"{task.task_id}\0{task.text}".encode("utf-8", "surrogatepass")
        digest = hashlib.blake2b(text, digest_size=8, key=str(seed).encode()).digest()
        rows.append(np.random.default_rng(int.from_bytes(digest, "big")).random(slots))
    return np.array(rows)
