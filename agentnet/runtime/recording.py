"""Turns what a run does into trace records; a store that fails costs the trace, never the run."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Protocol

from agentnet.errors import StoreError
from agentnet.graphs.live import Step
from agentnet.graphs.plain import plain
from agentnet.graphs.pool import Pool
from agentnet.graphs.task import Task
from agentnet.routers.decision import Decision
from agentnet.runtime.clients.scrub import told
from agentnet.runtime.result import RunResult
from agentnet.runtime.scope import StepDetail
from agentnet.traces.records import (
    DecisionRecord,
    MessageRecord,
    Record,
    RunRecord,
    RunStatus,
    StepRecord,
    task_hash,
)

_log = logging.getLogger(__name__)


class Sink(Protocol):
    """What a run needs of a trace store."""

    def write(self, *records: Record) -> None:
        """Takes records without waiting for the database."""
        ...


class Recorder:
    """Writes one run's records: at its start, as each step finishes, and at its end."""

    def __init__(self, store: Sink | None, run_id: str, *, seq: int = 0) -> None:
        self._store = store
        self._run_id = run_id
        self._seq = seq
        self._start: RunRecord | None = None
        self.error: str | None = None
        """The store's first failure."""

    @property
    def records(self) -> bool:
        """Whether there is a store."""
        return self._store is not None

    @property
    def keeps_messages(self) -> bool:
        """Whether prompts and replies are wanted."""
        return self._store is not None and getattr(self._store, "capture", "full") != "off"

    def start(
        self,
        task: Task,
        pool: Pool,
        definitions: tuple[Mapping[str, Any], ...],
        *,
        batch_id: str | None,
        tags: Mapping[str, Any],
    ) -> None:
        """Records that a run has begun."""
        if self._store is None:
            return
        history = tuple(turn.to_dict() for turn in task.history)
        self._start = RunRecord(
            run_id=self._run_id,
            started_at=time.time(),
            task_text=task.text,
            task_context=task.context,
            task_history=history,
            task_hash=task_hash(task.text, task.context, history),
            task_id=task.task_id,
            session_id=task.session_id,
            batch_id=batch_id,
            pool_version=pool.version,
            pool=definitions,
            tags=dict(tags),
        )
        self._write(self._start)

    def decision(
        self, decision: Decision, turn: int, graph: Mapping[str, Any] | None, *, role: str = "serving"
    ) -> None:
        """Records a decision; ``graph`` is its graph as JSON values, ``role`` who made it."""
        if self._store is not None:
            self._write(self._record(decision, turn, graph, role))

    def shadow(self, decision: Decision) -> None:
        """Records what a shadow would have done; raises where the store fails, for the run hears nothing."""
        if self._store is not None:
            graph = decision.graph.to_dict() if decision.graph is not None else None
            self._store.write(self._record(decision, 0, graph, "shadow"))

    def _record(
        self, decision: Decision, turn: int, graph: Mapping[str, Any] | None, role: str
    ) -> DecisionRecord:
        try:
            evidence = plain(decision.evidence.to_dict())
        except Exception as failure:
            evidence = {"error": f"the evidence could not be read: {told(failure)}"}
        return DecisionRecord(
            run_id=self._run_id,
            turn=turn,
            router=decision.router,
            router_version=decision.version,
            abstained=decision.abstained,
            graph=graph,
            candidates=tuple(decision.candidates),
            scores={
                name: {"raw": plain(s.raw), "calibrated": plain(s.calibrated), "cost": plain(s.cost)}
                for name, s in decision.scores.items()
            },
            calibration_id=decision.calibration_id,
            propensity=decision.propensity,
            evidence=evidence,
            latency_s=decision.latency_s,
            router_cost_usd=decision.router_cost,
            role=role,
        )

    def step(self, step: Step, detail: StepDetail, turn: int) -> None:
        """Records a step and its messages."""
        seq, self._seq = self._seq, self._seq + 1
        record = StepRecord(
            run_id=self._run_id,
            seq=seq,
            turn=turn,
            round=step.round,
            node=step.node,
            agent=step.agent,
            backend=step.backend,
            strategy=detail.strategy,
            answer=None if step.skipped else step.answer,
            score=step.score,
            skipped=step.skipped,
            error=step.error,
            prompt_tokens=step.prompt_tokens,
            completion_tokens=step.completion_tokens,
            cached_tokens=step.cached_tokens,
            calls=step.calls,
            cost_usd=step.cost,
            cost_source=detail.cost_source,
            started_at=detail.started_at,
            latency_s=step.latency_s,
        )
        messages = [
            MessageRecord(run_id=self._run_id, step_seq=seq, seq=i, role=m.role, content=m.content)
            for i, m in enumerate(detail.messages)
        ]
        self._write(record, *messages)

    def end(self, result: RunResult) -> None:
        """Records how the run ended; one that waits to be resumed stays ``running``."""
        if self._start is None:
            return
        status: RunStatus = "running" if result.status == "interrupted" else result.status
        self._write(
            replace(
                self._start,
                ended_at=None if status == "running" else time.time(),
                status=status,
                answer=result.answer if result.status in ("ok", "limit") else None,
                cost_usd=result.cost,
                prompt_tokens=result.prompt_tokens,
                completion_tokens=result.completion_tokens,
                calls=result.calls,
                latency_s=result.latency_s,
                error=result.error,
            )
        )

    def _write(self, *records: Record) -> None:
        assert self._store is not None
        try:
            self._store.write(*records)
        except Exception as failure:
            if self.error is None:
                self.error = told(failure)
                _log.warning("the trace of run %s is incomplete: %s", self._run_id, self.error)


async def flush(store: Any) -> None:
    """Waits until a store holds what was written; what it cannot write it keeps and tries again."""
    aflush = getattr(store, "aflush", None)
    if aflush is None:
        return
    try:
        await aflush()
    except StoreError as failure:
        _log.warning("the trace store could not be flushed: %s", told(failure))
