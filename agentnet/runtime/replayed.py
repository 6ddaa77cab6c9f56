"""Results that a batch takes from the store instead of running them again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, cast

from agentnet.graphs.task import Task
from agentnet.graphs.task_graph import TaskGraph
from agentnet.routers.decision import Decision, NoteEvidence
from agentnet.runtime.result import RunResult, Status
from agentnet.traces.records import DecisionRecord, RunRecord, StepRecord, step_of


class Trace(Protocol):
    """What the store gives of a run."""

    @property
    def run(self) -> RunRecord:
        """The run."""
        ...

    @property
    def decisions(self) -> tuple[DecisionRecord, ...]:
        """Its decisions."""
        ...

    @property
    def steps(self) -> tuple[StepRecord, ...]:
        """Its steps."""
        ...


def result_of(trace: Trace, task: Task) -> RunResult:
    """Returns the result of a recorded run; answers are empty where content was not captured."""
    run = trace.run
    acting = [item for item in trace.decisions if item.role != "shadow"]
    return RunResult(
        run_id=run.run_id,
        task=task,
        status=cast(Status, run.status),
        answer=run.answer or "",
        decisions=tuple(_decision(item) for item in acting),
        steps=tuple(step_of(item) for item in trace.steps),
        cost=run.cost_usd,
        prompt_tokens=run.prompt_tokens,
        completion_tokens=run.completion_tokens,
        calls=run.calls,
        latency_s=run.latency_s or 0.0,
        error=run.error,
        abstained=any(item.abstained for item in acting),
        tags=run.tags,
        loaded=True,
    )


def _decision(record: DecisionRecord) -> Decision:
    graph: Mapping[str, Any] | None = record.graph
    scores = record.scores
    names = tuple(name for name in record.candidates if name in scores)

    def column(key: str) -> list[float]:
        return [float("nan") if (v := scores[name].get(key)) is None else float(v) for name in names]

    return Decision(
        graph=TaskGraph.from_dict(graph) if graph else None,
        candidates=names,
        raw=column("raw"),
        calibrated=column("calibrated"),
        cost=column("cost"),
        propensity=record.propensity,
        router=record.router,
        version=record.router_version,
        evidence=NoteEvidence("read from the trace"),
        calibration_id=record.calibration_id,
        latency_s=record.latency_s,
        router_cost=record.router_cost_usd,
    )
