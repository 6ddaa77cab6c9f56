"""From drawn columns to a task graph, and back from what ran to the edges that were walked."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from agentnet.graphs.task_graph import Aggregation, Edge, Node, StopCondition, TaskGraph
from agentnet.routers.colony.space import PathSpace

Join = Literal["vote", "chain"]
LAYER_WEIGHTS = (1.0, 1.0, 1.5, 2.0)
"""Vote weight by layer: a later agent outvotes any single earlier one, and joins one to outvote the rest."""
_MOST_GRAPHS = 4096


def layer_weight(layer: int) -> float:
    """Returns the vote weight of a layer, from 0."""
    return LAYER_WEIGHTS[min(layer, len(LAYER_WEIGHTS) - 1)]


def node_id(space: PathSpace, slot: int, agent: str) -> str:
    """Returns the id of a path's node: its layer from 1, the cases that lead to it, and its agent.

    >>> space = PathSpace(("x",), layers=4, stops=True)
    >>> node_id(space, 0, "x"), node_id(space, 3, "x"), node_id(space, 6, "x")
    ('1.x', '3-split.x', '4-split-agreed.x')
    """
    layer, cases = space.slots[slot].layer, ""
    while slot >= 0:
        agreed = space.slots[slot].agreed
        cases = ("" if agreed is None else "-agreed" if agreed else "-split") + cases
        slot = space.slots[slot].parent
    return f"{layer + 1}{cases}.{agent}"


def condition(layer: int, agreed: bool) -> StopCondition:
    """Returns when the node drawn for a case is skipped: when the answers are not of that case.

    Two answers agree when they are equal; more, when one answer has over half of the weight.
    """
    threshold = 1.0 if layer == 2 else 0.5 + 1e-6
    return StopCondition("disagreement" if agreed else "agreement", threshold=threshold, min_answers=2)


@dataclass(frozen=True, slots=True)
class PathGraphs:
    """Makes the graphs of one space; the same few recur, so the latest are kept.

    Attributes:
        space: Where paths go.
        join: ``"vote"``: the agents answer independently and the weighted vote is the answer.
            ``"chain"``: each sees what came before, and the last one's answer stands.
        normalise: Name of the normaliser by which answers are compared.
    """

    space: PathSpace
    join: Join
    normalise: str
    _made: OrderedDict[tuple[int, ...], TaskGraph]

    @classmethod
    def of(cls, space: PathSpace, join: Join, normalise: str) -> PathGraphs:
        """Returns an empty cache."""
        return cls(space, join, normalise, OrderedDict())

    def graph(self, columns: Sequence[int]) -> TaskGraph:
        """Returns the graph of one path or tree.

        Args:
            columns: [S] column drawn in each slot of the space; -1 where there was no draw.
        """
        key = tuple(columns)
        found = self._made.get(key)
        if found is None:
            found = self._made[key] = self._make(key)
            if len(self._made) > _MOST_GRAPHS:
                self._made.popitem(last=False)
        return found

    def node_ids(self, columns: Sequence[int]) -> list[str | None]:
        """Returns the node of each slot; None for a stop and where there was no draw."""
        agents = self.space.agents
        return [
            node_id(self.space, s, agents[column]) if 0 <= column < len(agents) else None
            for s, column in enumerate(columns)
        ]

    def _make(self, columns: tuple[int, ...]) -> TaskGraph:
        ids = self.node_ids(columns)
        aggregation = Aggregation("vote" if self.join == "vote" else "last", normalise=self.normalise)
        nodes, edges = [], []
        for slot, column, name in zip(self.space.slots, columns, ids, strict=True):
            if name is None:
                continue
            agent = self.space.agents[column]
            nodes.append(Node(name, agent, weight=layer_weight(slot.layer)))
            if slot.parent >= 0:
                source = ids[slot.parent]
                assert source is not None
                stop = None if slot.agreed is None else condition(slot.layer, slot.agreed)
                edges.append(Edge(source, name, carries=self.join == "chain", stop=stop))
        if len(nodes) == 1:
            return TaskGraph.of([nodes[0].agent])
        outputs = tuple(node.id for node in nodes)
        return TaskGraph(nodes=tuple(nodes), edges=tuple(edges), outputs=outputs, aggregation=aggregation)
