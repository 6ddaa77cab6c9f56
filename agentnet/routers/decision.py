"""`Decision`: a router's answer, light enough to be made by the ten thousand."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentnet.graphs.task_graph import Aggregation, TaskGraph

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class Evidence:
    """Why a decision was made. Every router has its own subclass with typed fields."""

    def lines(self) -> list[str]:
        """Returns the evidence for a person, a line each."""
        return [f"{key}: {value}" for key, value in self.to_dict().items()]

    def to_dict(self) -> dict[str, Any]:
        """Returns the evidence as JSON values."""
        return asdict(self)

    def to_svg(self) -> str | None:
        """Returns the evidence as a self-contained drawing; None where there is nothing to draw."""
        return None


@dataclass(frozen=True, slots=True)
class NoteEvidence(Evidence):
    """Evidence that is one sentence, for routers that look at nothing."""

    note: str = ""

    def lines(self) -> list[str]:
        """Returns the sentence."""
        return [self.note]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scores:
    """Predictions for n tasks and A agents, arrays only.

    Attributes:
        agents: The A candidate names: the columns.
        raw: [n, A] predicted score as the router computes it.
        calibrated: [n, A] predicted probability of a right answer (expected score), in [0, 1].
        cost: [n, A] or [A] predicted USD per call; NaN is unknown, never zero.
        known: [A] False for agents of which the router has seen neither outcome nor probe.
        calibration_id: Names the calibration that made ``calibrated``; None if there is none.
    """

    agents: tuple[str, ...]
    raw: Floats
    calibrated: Floats
    cost: Floats
    known: NDArray[np.bool_]
    calibration_id: str | None = None


class Decision:
    """The graph a router chose for one task, and the evidence for it; read-only.

    Graph and evidence are built when first asked for, so that deciding stays cheap.

    >>> d = Decision(graph=TaskGraph.of(["a"]), candidates=("a", "b"), raw=[.9, .2], calibrated=[.8, .3],
    ...              cost=[.001, float("nan")], propensity=1.0, router="demo", version="1")
    >>> d.abstained, d.agents, d.scores["b"].cost
    (False, ('a',), None)
    """

    __slots__ = (
        "_cost",
        "_evidence",
        "_expected",
        "_graph",
        "calibrated",
        "calibration_id",
        "candidates",
        "latency_s",
        "propensity",
        "raw",
        "router",
        "router_calls",
        "router_completion_tokens",
        "router_cost",
        "router_prompt_tokens",
        "version",
    )

    def __init__(
        self,
        *,
        graph: TaskGraph | Callable[[], TaskGraph] | None,
        candidates: tuple[str, ...],
        raw: Floats | Sequence[float],
        calibrated: Floats | Sequence[float],
        cost: Floats | Sequence[float],
        propensity: float | None,
        router: str,
        version: str,
        evidence: Evidence | Callable[[], Evidence] | None = None,
        calibration_id: str | None = None,
        latency_s: float | None = None,
        router_cost: Decimal | None = Decimal(0),
        router_calls: int = 0,
        router_prompt_tokens: int | None = 0,
        router_completion_tokens: int | None = 0,
        expected_score: float | None = None,
    ) -> None:
        """Makes a decision.

        Args:
            graph: What to run, or a function that builds it; None abstains.
            candidates: Names of the agents that could be chosen.
            raw: [A] predicted scores in the order of ``candidates``.
            calibrated: [A] calibrated scores, in [0, 1].
            cost: [A] predicted USD per call; NaN unknown.
            propensity: Probability with which this very graph was chosen: 1 for a deterministic choice,
                None only when it cannot be known. Without it a log cannot train anything.
            router: The router's name.
            version: The router's version (content hash).
            evidence: Why, or a function that builds it.
            calibration_id: Names the calibration behind ``calibrated``.
            latency_s: Seconds the decision took, encoding included.
            router_cost: USD the decision itself cost, its model calls included; None unknown.
            router_calls: Model calls that the decision took.
            router_prompt_tokens: Prompt tokens of these calls; None unknown.
            router_completion_tokens: Their completion tokens; None unknown.
            expected_score: Calibrated probability that the graph's joint answer is right; None takes the
                calibrated score of its heaviest agent.
        """
        self._graph = graph
        self._evidence = evidence
        self._cost = cost
        self.candidates = candidates
        self.raw = raw
        self.calibrated = calibrated
        self.propensity = propensity
        self.router = router
        self.version = version
        self.calibration_id = calibration_id
        self.latency_s = latency_s
        self.router_cost = router_cost
        self.router_calls = router_calls
        self.router_prompt_tokens = router_prompt_tokens
        self.router_completion_tokens = router_completion_tokens
        self._expected = expected_score

    @property
    def abstained(self) -> bool:
        """Whether no agent fits."""
        return self._graph is None

    @property
    def graph(self) -> TaskGraph | None:
        """The graph to run; None when the router abstains."""
        if callable(self._graph):
            self._graph = self._graph()
        return self._graph

    @property
    def aggregation(self) -> Aggregation | None:
        """How the graph's answers are joined."""
        return self.graph.aggregation if self.graph else None

    @property
    def agents(self) -> tuple[str, ...]:
        """Agents of the graph; empty when the router abstains."""
        return self.graph.agents if self.graph else ()

    @property
    def expected_score(self) -> float:
        """Calibrated probability that the answer will be right; NaN when the router abstains."""
        if self._expected is not None:
            return self._expected
        if self.graph is None:
            return float("nan")
        heaviest = max(self.graph.nodes, key=lambda node: node.weight).agent
        return float(self.calibrated[self.candidates.index(heaviest)])

    @property
    def evidence(self) -> Evidence:
        """Why this graph."""
        if callable(self._evidence):
            self._evidence = self._evidence()
        return self._evidence or NoteEvidence("no evidence recorded")

    @property
    def scores(self) -> Mapping[str, CandidateScore]:
        """Raw and calibrated score and predicted cost by agent."""
        rows = zip(self.candidates, self.raw, self.calibrated, self._cost, strict=True)
        return {
            name: CandidateScore(float(raw), float(cal), None if np.isnan(cost) else float(cost))
            for name, raw, cal, cost in rows
        }

    def to_dict(self) -> dict[str, Any]:
        """Returns everything as JSON values."""
        return {
            "router": self.router,
            "version": self.version,
            "abstained": self.abstained,
            "graph": self.graph.to_dict() if self.graph else None,
            "candidates": list(self.candidates),
            "scores": {name: asdict(score) for name, score in self.scores.items()},
            "calibration_id": self.calibration_id,
            "propensity": self.propensity,
            "latency_s": self.latency_s,
            "router_cost": None if self.router_cost is None else str(self.router_cost),
            "router_calls": self.router_calls,
            "router_prompt_tokens": self.router_prompt_tokens,
            "router_completion_tokens": self.router_completion_tokens,
            "evidence": self.evidence.to_dict(),
        }

    def explain(self, *, top: int = 5) -> str:
        """Returns the decision in words, the ``top`` best candidates first."""
        from agentnet.routers.explain import explain

        return explain(self, top=top)

    def __repr__(self) -> str:
        what = "abstained" if self.abstained else " + ".join(self.agents)
        return f"Decision({what}, router={self.router!r}, propensity={self.propensity})"


@dataclass(frozen=True, slots=True)
class CandidateScore:
    """What a router predicts of one agent on one task."""

    raw: float
    calibrated: float
    cost: float | None
    """USD per call; None unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Feedback:
    """What became of a decision: given to ``Router.observe``.

    Attributes:
        text: The task's text.
        decision: What was chosen.
        score: Quality in [0, 1] of the answer; None when not judged.
        cost: USD of the whole run; None unknown.
        latency_s: Seconds of the whole run.
        agent_scores: Quality by agent where single answers were judged.
        ran: Ids of the nodes that ran; empty is unknown, and stands for all nodes of the graph.
    """

    text: str
    decision: Decision
    score: float | None = None
    cost: Decimal | None = None
    latency_s: float | None = None
    agent_scores: Mapping[str, float] = field(default_factory=dict)
    ran: tuple[str, ...] = ()
