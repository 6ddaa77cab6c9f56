"""`PruningEvidence`: what was kept and cut, how probable that was, and what each cut is expected to cost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agentnet.graphs.draw_page import stack_svgs
from agentnet.graphs.draw_svg import to_svg
from agentnet.graphs.task_graph import TaskGraph
from agentnet.routers.decision import Evidence
from agentnet.routers.topology.graphs import Graphs, Join, Shape
from agentnet.routers.topology.picked import Pruner
from agentnet.routers.topology.sampler import forward_pairs

_SHOWN = 8
"""Edges told to a person."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentPart:
    """An agent and what was decided of it.

    Attributes:
        agent: Its name.
        kept: Whether it takes part.
        probability: That it stands in the graph to run; with ``recipe=paper`` the output of the mask head.
        needed: Calibrated probability that it stands in the graph that is best in hindsight: the cheapest of
            those that turn out right. None where the recipe does not know it.
        loss: Expected score lost by leaving it out: of a kept agent by cutting it, of a cut one by its being
            cut. None where the recipe expects nothing, and of an agent that works alone.
        saved: Expected cost saved by leaving it out, likewise.
    """

    agent: str
    kept: bool
    probability: float
    needed: float | None = None
    loss: float | None = None
    saved: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgePart:
    """An edge that was kept, or was probable and cut; see `AgentPart`."""

    source: str
    target: str
    kept: bool
    probability: float
    loss: float | None = None
    saved: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PruningEvidence(Evidence):
    """Why these agents and these edges.

    Attributes:
        agents: All agents, the likeliest first.
        edges: Edges that were kept, and probable ones that were cut, the likeliest first.
        score: Expected score of the graph; None unknown.
        cost: Expected cost, in ``unit``; None unknown.
        complete_score: Expected score of the complete graph of all agents; None unknown.
        complete_cost: Its expected cost; None unknown.
        unit: ``usd``, ``tokens`` or ``calls``.
        rate: What the unit of cost was worth, in score.
        messages: Whether edges carry answers; where not, they make agents wait.
        graph: The graph, as JSON values; None when the router abstained.
    """

    agents: tuple[AgentPart, ...]
    edges: tuple[EdgePart, ...]
    score: float | None
    cost: float | None
    complete_score: float | None
    complete_cost: float | None
    unit: str
    rate: float
    messages: bool
    graph: dict[str, object] | None

    def lines(self) -> list[str]:
        """Returns the evidence for a person, a line each."""
        lines = [f"expected: score {_told(self.score)}, cost {_money(self.cost, self.unit)}"]
        if self.complete_score is not None:
            cost = _money(self.complete_cost, self.unit)
            lines[0] += f"; complete graph: score {_told(self.complete_score)}, cost {cost}"
        width = max(len(part.agent) for part in self.agents)
        for part in self.agents:
            what = "kept" if part.kept else "cut "
            needed = "" if part.needed is None else f"  needed {part.needed:.3f}"
            lines.append(
                f"{what} {part.agent:<{width}}  p {part.probability:.3f}{needed}{self._change(part)}"
            )
        arrow = "->" if self.messages else "before"
        for edge in self.edges[:_SHOWN]:
            what = "kept" if edge.kept else "cut "
            pair = f"{edge.source} {arrow} {edge.target}"
            lines.append(f"{what} {pair}  p {edge.probability:.3f}{self._change(edge)}")
        if len(self.edges) > _SHOWN:
            lines.append(f"... and {len(self.edges) - _SHOWN} more pairs")
        return lines

    def _change(self, part: AgentPart | EdgePart) -> str:
        if part.loss is None or part.saved is None:
            return ""
        # Adding 0.0 takes the sign off a zero.
        cost = _money(0.0 - part.saved, self.unit, sign=True)
        return f"  without it: score {0.0 - part.loss:+.4f}, cost {cost}"

    def to_svg(self) -> str | None:
        """Returns the complete graph and what was left of it, one above the other; None if it abstained."""
        if self.graph is None:
            return None
        graph = TaskGraph.from_dict(self.graph)
        full = _complete(graph, [part.agent for part in self.agents])
        names = {part.agent: f"{part.agent} p={part.probability:.2f}" for part in self.agents}
        before = to_svg(full, title="before: every agent, every edge", names=names)
        after = to_svg(graph, full=full, title="after: what is run; what was cut is grey", names=names)
        return stack_svgs([before, after], title="pruned topology")


def gather(
    pruner: Pruner,
    shape: Shape,
    task: Tensor,
    graphs: Graphs,
    told: Tensor,
    *,
    graph: TaskGraph | None,
    score: float,
    cost: float,
    unit: str,
    rate: float,
) -> PruningEvidence:
    """Returns the evidence for one task.

    Args:
        pruner: What decided.
        shape: What else the graph needs.
        task: [d] its encoding.
        graphs: The one graph decided for.
        told: What the pruner gave as evidence of this task.
        graph: The graph as it is run; None when the router abstained.
        score: Expected score; NaN unknown.
        cost: Expected cost; NaN unknown.
        unit: ``usd``, ``tokens`` or ``calls``.
        rate: What the unit of cost was worth, in score.
    """
    keep_chance, edge_chance = pruner.probabilities(told)
    names, kept, edges = pruner.names, graphs.keep[0], graphs.edges[0]
    pairs = [
        (i, j)
        for i, j in np.argwhere(edge_chance + edges.numpy() > 0).tolist()
        if edges[i, j] or (edge_chance[i, j] >= 0.05 and kept[i] and kept[j] and not edges[j, i])
    ]
    depth = graphs.depth()[0].tolist()
    others = [_without_agent(graphs, shape.join, i) for i in range(len(names))]
    others += [_without_edge(graphs, shape.join, i, j, depth[i] > depth[j]) for i, j in pairs]
    everything = torch.ones_like(graphs.keep)
    complete = Graphs.joined(everything, forward_pairs(graphs.order()), shape.join)
    found = pruner.expect(task, Graphs.cat([graphs, complete, *others]))
    change: list[tuple[float | None, float | None]] = [(None, None)] * len(others)
    if found is not None:
        change = list(_changes(found, kept, edges, pairs))
    if int(kept.sum()) == 1:  # without the last agent there is nothing
        change[int(kept.nonzero()[0])] = (None, None)
    needed = pruner.needed(keep_chance)
    parts = [
        AgentPart(
            agent=name, kept=bool(kept[i]), probability=_short(keep_chance[i]),
            needed=None if needed is None else _short(needed[i]), loss=change[i][0], saved=change[i][1],
        )
        for i, name in enumerate(names)
    ]  # fmt: skip
    links = [
        EdgePart(
            source=names[i], target=names[j], kept=bool(edges[i, j]), probability=_short(edge_chance[i, j]),
            loss=loss, saved=saved,
        )
        for (i, j), (loss, saved) in zip(pairs, change[len(names) :], strict=True)
    ]  # fmt: skip
    return PruningEvidence(
        agents=tuple(sorted(parts, key=lambda part: -part.probability)),
        edges=tuple(sorted(links, key=lambda part: (-part.probability, part.source, part.target))),
        score=_known(score), cost=_known(cost),
        complete_score=None if found is None else _short(found[0][1]),
        complete_cost=None if found is None else _short(found[1][1], 9),
        unit=unit, rate=rate, messages=shape.messages, graph=None if graph is None else graph.to_dict(),
    )  # fmt: skip


def _changes(
    found: tuple[NDArray[np.float64], NDArray[np.float64]],
    kept: Tensor,
    edges: Tensor,
    pairs: Sequence[tuple[int, int]],
) -> Iterator[tuple[float, float]]:
    """Expected score lost and cost saved by leaving out each agent, then each pair's edge."""
    score, cost = found
    present = [*kept.tolist(), *(bool(edges[i, j]) for i, j in pairs)]
    for at, there in enumerate(present, start=2):
        sign = 1.0 if there else -1.0  # of what was cut, the other graph is the one that has it
        yield _short(sign * (score[0] - score[at])), _short(sign * (cost[0] - cost[at]), 9)


def _without_agent(graphs: Graphs, join: Join, agent: int) -> Graphs:
    """The graph with one agent changed: cut where it was kept, put back where it was cut.

    It is put back as one more that works by itself; the last agent cannot be cut and stays.
    """
    keep = graphs.keep.clone()
    if not (keep[0, agent] and keep.sum() == 1):
        keep[0, agent] ^= True
    return Graphs.joined(keep, graphs.edges, join)


def _without_edge(graphs: Graphs, join: Join, source: int, target: int, against: bool) -> Graphs:
    """The graph with one edge changed: cut where it was kept, put back where it was cut.

    Args:
        graphs: One graph.
        join: Whose answers the decision reads.
        source: Position of the edge's source.
        target: Position of its target.
        against: Whether the edge runs against the order; put back it would close a cycle, or turn the order
            around, so that the graph stays as it is.
    """
    edges = graphs.edges.clone()
    if edges[0, source, target] or not against:
        edges[0, source, target] ^= True
    return Graphs.joined(graphs.keep, edges, join)


def _complete(graph: TaskGraph, agents: Sequence[str]) -> TaskGraph:
    """The complete graph of all agents, in an order that holds the graph's own edges."""
    inside = [name for layer in graph.layers for name in layer]
    order = [*inside, *(name for name in agents if name not in inside)]
    keep = torch.ones(len(order), dtype=torch.bool)
    edges = torch.ones((len(order), len(order)), dtype=torch.bool).triu(1)
    messages = all(edge.carries for edge in graph.edges)
    shape = Shape(messages=messages, join="all", normalise=graph.aggregation.normalise)
    full = shape.task_graph(order, keep, edges)
    spatial = {(e.source, e.target): e for e in graph.spatial}
    kept = tuple(spatial.get((e.source, e.target), e) for e in full.edges)
    return full.with_(edges=kept, aggregation=graph.aggregation)


def _short(value: float, digits: int = 4) -> float:
    return round(float(value), digits)


def _known(value: float) -> float | None:
    return None if np.isnan(value) else _short(value, 9)


def _told(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3f}"


def _money(value: float | None, unit: str, *, sign: bool = False) -> str:
    if value is None:
        return "unknown"
    form = "+" if sign else ""
    return f"{value:{form}.6f} USD" if unit == "usd" else f"{value:{form}.0f} {unit}"
