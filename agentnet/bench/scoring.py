"""Scores decisions against recorded outcomes: what would have happened, without calling a model.

A graph is *replayable* when no agent needs to see another's answer: then recorded answers give exactly
what a live run of the same answers would give.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from agentnet.errors import DataError, GraphError
from agentnet.graphs.replay import replay
from agentnet.graphs.task_graph import TaskGraph
from agentnet.outcomes.table import Outcomes
from agentnet.routers.decision import Decision

Replay = Literal["single", "exact", "top1"]
"""How a decision was scored: one agent, a graph replayed exactly, or a graph's heaviest agent alone."""
_ORDER: tuple[Replay, ...] = ("single", "exact", "top1")


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredQuery:
    """What one decision came to."""

    query_id: str
    agents: tuple[str, ...] = ()
    """Agents that ran, in order."""
    weights: tuple[float, ...] = ()
    """Their weights in the vote."""
    stopped_after: int | None = None
    """Number of agents that ran when a stop condition cut the rest; None when nothing was cut."""
    answer_from: str | None = None
    abstained: bool = False
    score: float = 0.0
    cost_usd: float | None = 0.0
    """Sum over the agents that ran; None once one is unknown."""
    replay: Replay = "single"
    predicted: float = float("nan")
    """The router's calibrated score of what it chose; NaN where it abstained."""
    chosen: tuple[str, ...] = ()
    """Agents of the chosen graph, whether they ran or not."""


def worst_replay(rows: Iterable[ScoredQuery]) -> Replay:
    """Returns the least exact way in which any row was scored."""
    kinds = {row.replay for row in rows}
    return max(kinds, key=_ORDER.index, default="single")


class Scorer:
    """Scores decisions on the rows of an outcome table.

    A row's result is kept by graph, so that the same graph met again (another setting of the dial) costs
    nothing.

    Args:
        outcomes: The evaluated rows with every outcome; only the scorer sees them.
        fallback: Agent that answers when the router abstains; None counts an abstention 0.

    Raises:
        DataError: the fallback is unknown.
    """

    def __init__(self, outcomes: Outcomes, *, fallback: str | None = None) -> None:
        self._outcomes = outcomes
        self._column = {name: i for i, name in enumerate(outcomes.agents)}
        self._ids = outcomes.queries.query_id.tolist()
        self._out_of_scope = outcomes.out_of_scope
        self._known: dict[tuple[int, TaskGraph], ScoredQuery] = {}
        if fallback is not None and fallback not in self._column:
            raise DataError(f"fallback {fallback!r} is no agent of the pool: {', '.join(outcomes.agents)}.")
        self._fallback = fallback

    def score(self, decisions: Sequence[Decision]) -> list[ScoredQuery]:
        """Scores one decision per row.

        Raises:
            DataError: a chosen agent has no recorded outcome on its query.
            GraphError: a chosen agent is not in the evaluated pool.
        """
        if len(decisions) != len(self._outcomes):
            raise DataError(f"{len(decisions)} decisions for {len(self._outcomes)} rows.")
        return [self._one(row, decision) for row, decision in enumerate(decisions)]

    def _one(self, row: int, decision: Decision) -> ScoredQuery:
        graph = decision.graph
        if graph is None:
            return self._abstained(row)
        found = self._known.get((row, graph))
        if found is None:
            found = self._known[row, graph] = self._graph(row, graph)
        return replace(found, predicted=decision.expected_score)

    def _graph(self, row: int, graph: TaskGraph) -> ScoredQuery:
        if len(graph.nodes) == 1 and graph.rounds == 1:
            name = graph.nodes[0].agent
            return self._ran(row, graph, (name,), (graph.nodes[0].weight,), answer_from=name)
        texts = self._texts(row, graph)
        result = replay(graph, texts) if texts is not None else None
        if result is None or not result.exact:
            best = max(graph.nodes, key=lambda node: node.weight)
            return self._ran(row, graph, (best.agent,), (best.weight,), answer_from=best.agent, how="top1")
        nodes = [graph.node(node_id) for node_id in result.ran]
        return self._ran(
            row,
            graph,
            tuple(node.agent for node in nodes),
            tuple(node.weight for node in nodes),
            answer_from=graph.node(result.winner).agent if result.winner else None,
            how="exact",
            stopped_after=result.stopped_after,
        )

    def _texts(self, row: int, graph: TaskGraph) -> dict[str, str | None] | None:
        """Recorded answers of the graph's agents; None when the graph cannot be replayed."""
        response = self._outcomes.response
        if response is None or not graph.replayable:
            return None
        return {node.agent: response[row, self._at(node.agent)] for node in graph.nodes}

    def _at(self, agent: str) -> int:
        try:
            return self._column[agent]
        except KeyError:
            raise GraphError(f"the router chose {agent!r}, which is not in the evaluated pool.") from None

    def _ran(
        self,
        row: int,
        graph: TaskGraph,
        agents: tuple[str, ...],
        weights: tuple[float, ...],
        *,
        answer_from: str | None,
        how: Replay = "single",
        stopped_after: int | None = None,
    ) -> ScoredQuery:
        columns = [self._at(name) for name in agents]
        score = float(self._outcomes.score[row, self._at(answer_from)]) if answer_from else 0.0
        if np.isnan(score):
            raise DataError(
                f"agent {answer_from!r} has no recorded score on query {self._ids[row]}: evaluation needs "
                "the outcome of every agent that can be chosen (leave the agent out with --agents)."
            )
        cost = float(self._outcomes.cost[row, columns].sum())
        return ScoredQuery(
            query_id=self._ids[row],
            agents=agents,
            weights=weights,
            stopped_after=stopped_after,
            answer_from=answer_from,
            score=score,
            cost_usd=None if np.isnan(cost) else cost,
            replay=how,
            chosen=graph.agents,
        )

    def _abstained(self, row: int) -> ScoredQuery:
        query_id = self._ids[row]
        if self._out_of_scope[row]:
            return ScoredQuery(query_id=query_id, abstained=True, score=1.0)
        if self._fallback is None:
            return ScoredQuery(query_id=query_id, abstained=True)
        ran = self._ran(
            row, TaskGraph.of([self._fallback]), (self._fallback,), (1.0,), answer_from=self._fallback
        )
        return replace(ran, abstained=True)
