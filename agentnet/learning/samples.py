"""Served runs on their way to a judge: from live results, or read back from their traces."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agentnet.errors import InvalidInput
from agentnet.graphs.live import Step
from agentnet.graphs.task import Message, Task
from agentnet.routers.decision import Feedback
from agentnet.routers.online import Served
from agentnet.runtime.result import RunResult

if TYPE_CHECKING:
    from agentnet.traces.reader import RunTrace
    from agentnet.traces.records import StepRecord


@dataclass(frozen=True, slots=True)
class Sample:
    """A served run that is to be judged and learned from."""

    run_id: str
    task: Task
    answer: str
    served: Callable[[float], Served]
    """Makes what the router learns from, once there is a score."""
    score: float | None = None
    """Its verdict, where the trace has one already."""


@dataclass(frozen=True, slots=True)
class Lesson:
    """A judged run: applied to the router once, under the run's id."""

    run_id: str
    served: Served | None
    """None: there is nothing to learn from it, and it need not be judged again."""


def sampled(run_id: str, *, rate: float, seed: int = 0) -> bool:
    """Whether a run is among the share that is judged: the same answer in every process and at any time.

    >>> sum(sampled(f"{i:032x}", rate=0.2) for i in range(10_000))
    1943
    """
    digest = hashlib.blake2b(f"{seed}:{run_id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) / 2.0**64 < rate


def spoilt(steps: Iterable[Step | StepRecord]) -> bool:
    """Whether a run without an answer is its agents' fault: each that ran failed, though its model answered.

    A program of an agent's that crashes is its fault; a backend that is down is not, and has other ways to
    turn traffic away.
    """
    ran = [step for step in steps if not step.skipped]
    return bool(ran) and all(
        step.error is not None and (step.backend is not None or step.calls == 0) for step in ran
    )


def teaches(result: RunResult, router: str) -> bool:
    """Whether a run can teach a router: it came to an end, in one turn, by that router's own decision.

    It ended well, or its agents spoilt it: then it counts as rejected, and nobody needs to judge it.
    """
    return (
        (result.status == "ok" or (result.status == "error" and spoilt(result.steps)))
        and not result.abstained
        and len(result.decisions) == 1
        and result.decisions[0].router == router
    )


def from_result(result: RunResult) -> Sample:
    """Returns a live run; its evidence is built only if it is learned from."""

    def served(score: float) -> Served:
        return Served.of(
            Feedback(
                text=result.task.text,
                decision=result.decisions[0],
                score=score,
                cost=result.cost,
                latency_s=result.latency_s,
                ran=_ran((step.node, step.skipped) for step in result.steps),
            )
        )

    score = None if result.status == "ok" else 0.0
    return Sample(result.run_id, result.task, result.answer, served, score)


def from_trace(trace: RunTrace, router: str, *, score: float | None = None) -> Sample | None:
    """Returns a recorded run; None where it cannot teach the router, or its texts were not captured.

    Args:
        trace: The run with decisions and steps.
        router: The router's name.
        score: Its verdict, where there is one.
    """
    run = trace.run
    acting = [decision for decision in trace.decisions if decision.role != "shadow"]
    if run.task_text is None or len(acting) != 1:
        return None
    if run.status == "error" and spoilt(trace.steps):
        score = 0.0
    elif run.status != "ok" or run.answer is None:
        return None
    decision = acting[0]
    if decision.router != router or decision.abstained or decision.graph is None:
        return None
    ran = _ran((step.node, step.skipped) for step in trace.steps)
    nodes = ran or tuple(str(node["id"]) for node in decision.graph["nodes"])

    def served(score: float) -> Served:
        return Served(
            evidence=decision.evidence,
            ran=nodes,
            score=score,
            cost=None if run.cost_usd is None else float(run.cost_usd),
            latency_s=run.latency_s,
        )

    try:
        task = Task(
            run.task_text,
            context=run.task_context,
            history=tuple(Message(**turn) for turn in run.task_history),  # type: ignore[arg-type]
            session_id=run.session_id,
            task_id=run.task_id,
        )
    except (InvalidInput, TypeError):  # what redaction left is no task
        return None
    return Sample(run.run_id, task, run.answer or "", served, score)


def _ran(steps: Iterable[tuple[str, bool]]) -> tuple[str, ...]:
    """Ids of the nodes that ran, each once, in order."""
    return tuple(dict.fromkeys(node for node, skipped in steps if not skipped))
