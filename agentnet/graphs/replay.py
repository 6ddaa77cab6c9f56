"""`replay`: what a run of a graph would have given, from recorded answers instead of models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from agentnet.errors import DataError, GraphError
from agentnet.graphs.answers import normalise
from agentnet.graphs.live import Step
from agentnet.graphs.semantics import aggregate_plain, run_order, should_skip
from agentnet.graphs.task_graph import TaskGraph


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """The outcome of a replayed graph; everything is named by node id."""

    ran: tuple[str, ...]
    """Nodes that ran, layer by layer."""
    skipped: tuple[str, ...]
    """Nodes that a stop condition, directly or through their predecessors, kept from running."""
    winner: str | None
    """The node whose answer stands: the first of the winning group in a vote; None when nobody answered."""
    stopped_after: int | None
    """How many nodes ran when a stop condition cut the rest; None when nothing was cut."""
    key: str
    """The standing answer, normalised; empty when there is none."""
    missing: tuple[str, ...] = ()
    """Nodes that ran but whose text was not recorded (None): with more than one node in ``ran``, votes
    and stop conditions then rest on the texts there are, and the replay is not exact."""

    @property
    def exact(self) -> bool:
        """Whether a live run with the same answers would have gone the same way."""
        return not self.missing or (len(self.ran) == 1 and not self.skipped)


def replay(
    graph: TaskGraph,
    answers: Mapping[str, str | None],
    scores: Mapping[str, float] | None = None,
) -> Replay:
    """Runs a graph on recorded answers by the rules of ``agentnet.graphs.semantics``.

    Args:
        graph: A graph in which no agent sees another's answer (``graph.replayable``).
        answers: Recorded answer by agent name; empty for an agent that failed, None where the text was
            not recorded.
        scores: The answers' own scores in [0, 1] by agent name (confidence, verifier), as ``best`` and
            score stops use them. Never the grade against a gold answer: a run does not know it.

    Raises:
        GraphError: the graph is not replayable.
        DataError: an agent that would have run has no recorded answer.

    >>> from agentnet.graphs.builders import cascade
    >>> graph = cascade([["small", "medium"], ["large"]])
    >>> replay(graph, {"small": "4", "medium": "4.0", "large": "5"}).stopped_after
    2
    >>> replay(graph, {"small": "4", "medium": "6", "large": "5"}).winner
    'large'
    """
    if not graph.replayable:
        raise GraphError(
            "this graph cannot be replayed from recorded answers: an agent would see another's answer, "
            "a node adds a prompt, or it has rounds, growth or an aggregation that calls a model. "
            "Run it instead."
        )
    finished: dict[tuple[int, str], Step] = {}
    ran: list[str] = []
    skipped: list[str] = []
    missing: list[str] = []
    nodes = {node.id: node for node in graph.nodes}
    for name in run_order(graph):
        agent = nodes[name].agent
        if should_skip(graph, name, 0, finished):
            finished[0, name] = Step(node=name, agent=agent, skipped=True)
            skipped.append(name)
            continue
        if agent not in answers:
            raise DataError(f"no recorded answer of agent {agent!r}; there are {sorted(answers)}.")
        text = answers[agent]
        if text is None:
            missing.append(name)
        score = None if scores is None else scores.get(agent)
        finished[0, name] = Step(node=name, agent=agent, answer=text or "", score=score)
        ran.append(name)
    standing = aggregate_plain(graph, finished)
    return Replay(
        ran=tuple(ran),
        skipped=tuple(skipped),
        winner=standing.winner,
        stopped_after=len(ran) if skipped else None,
        key=normalise(standing.answer, graph.aggregation.normalise),
        missing=tuple(missing),
    )
