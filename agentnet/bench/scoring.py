"""Scores decisions against recorded outcomes: what would have happened, without calling a model.

A graph is *replayable* when no agent needs to see another's answer: then recorded answers give exactly
what a live run of the same answers would give.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class ScoredQuery:
    """What one decision came to."""

    query_id: str
    agents: tuple[str, ...]
    """Agents that ran, in order."""
    weights: tuple[float, ...]
    stopped_after: int | None
    """Number of agents that ran when a stop condition cut the rest; None when nothing was cut."""
    answer_from: str | None
    abstained: bool
    score: float
    cost_usd: float | None
    """Sum over the agents that ran; None once one is unknown."""
    replay: Replay
    predicted: float
    """The router's calibrated score of what it chose; NaN where it abstained."""


def worst_replay(rows: Iterable[ScoredQuery]) -> Replay:
    """Returns the least exact way in which any row was scored."""
    kinds = {row.replay for row in rows}
    return max(kinds, key=_ORDER.index, default="single")


class Scorer:
    """Scores decisions on the rows of an outcome table.

    Args:
        outcomes: The evaluated rows with every outcome; only the scorer sees them.
        fallback: Agent that answers when the router abstains; None counts an abstention 0.

    Raises:
        DataError: the fallback is unknown.
    """

    def __init__(self, outcomes: Outcomes, *, fallback: str | None = None) -> None:
        self._outcomes = outcomes
        self._column = {name: i for i, name in enumerate(outcomes.agents)}
        self._out_of_scope = outcomes.out_of_scope
        if fallback is not None and fallback not in self._column:
            raise DataError(f"fallback {fallback!r} is no agent of the pool: {', '.join(outcomes.agents)}.")
        self._fallback = fallback

    def score(self, decisions: Sequence[Decision]) -> list[ScoredQuery]:
        """Scores one decision per row.

        Raises:
            DataError: a chosen agent has no recorded outcome on its query.
        """
        if len(decisions) != len(self._outcomes):
            raise DataError(f"{len(decisions)} decisions for {len(self._outcomes)} rows.")
        return [self._one(row, decision) for row, decision in enumerate(decisions)]

    def _one(self, row: int, decision: Decision) -> ScoredQuery:
        graph = decision.graph
        if graph is None:
            return self._abstained(row)
        predicted = decision.expected_score
        if len(graph.nodes) == 1:
            name = graph.nodes[0].agent
            return self._ran(row, (name,), (1.0,), None, name, "single", predicted)
        texts = self._texts(row, graph)
        if texts is None:
            heaviest = max(graph.nodes, key=lambda node: node.weight)
            return self._ran(
                row, (heaviest.agent,), (heaviest.weight,), None, heaviest.agent, "top1", predicted
            )
        result = replay(graph, texts)
        nodes = [graph.node(node_id) for node_id in result.ran]
        winner = graph.node(result.winner).agent if result.winner else None
        agents = tuple(node.agent for node in nodes)
        weights = tuple(node.weight for node in nodes)
        return self._ran(row, agents, weights, result.stopped_after, winner, "exact", predicted)

    def _texts(self, row: int, graph: TaskGraph) -> dict[str, str | None] | None:
        """Recorded answers of the graph's agents; None when the graph cannot be replayed."""
        response = self._outcomes.response
        if response is None or not graph.replayable:
            return None
        texts = {node.agent: response[row, self._at(node.agent)] for node in graph.nodes}
        return None if all(text is None for text in texts.values()) else texts

    def _at(self, agent: str) -> int:
        try:
            return self._column[agent]
        except KeyError:
            raise GraphError(f"the router chose {agent!r}, which is not in the evaluated pool.") from None

    def _ran(
        self,
        row: int,
        agents: tuple[str, ...],
        weights: tuple[float, ...],
        stopped_after: int | None,
        answer_from: str | None,
        how: Replay,
        predicted: float,
    ) -> ScoredQuery:
        columns = [self._at(name) for name in agents]
        score = float(self._outcomes.score[row, self._at(answer_from)]) if answer_from else 0.0
        query_id = str(self._outcomes.queries.query_id[row])
        if np.isnan(score):
            raise DataError(
                f"agent {answer_from!r} has no recorded score on query {query_id}: evaluation needs the "
                "outcome of every agent that can be chosen (leave the agent out with --agents)."
            )
        cost = float(self._outcomes.cost[row, columns].sum())
        known = None if np.isnan(cost) else cost
        return ScoredQuery(
            query_id, agents, weights, stopped_after, answer_from, False, score, known, how, predicted
        )

    def _abstained(self, row: int) -> ScoredQuery:
        query_id = str(self._outcomes.queries.query_id[row])
        if self._out_of_scope[row]:
            return ScoredQuery(query_id, (), (), None, None, True, 1.0, 0.0, "single", np.nan)
        if self._fallback is None:
            return ScoredQuery(query_id, (), (), None, None, True, 0.0, 0.0, "single", np.nan)
        ran = self._ran(row, (self._fallback,), (1.0,), None, self._fallback, "single", np.nan)
        return ScoredQuery(
            query_id, ran.agents, ran.weights, None, ran.answer_from, True, ran.score, ran.cost_usd,
            "single", np.nan,
        )  # fmt: skip
