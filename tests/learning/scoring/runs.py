"""Runs to score, made by hand."""

from __future__ import annotations

from collections.abc import Sequence

from agentnet.traces.records import DecisionRecord, RunRecord, StepRecord
from agentnet.traces.store import TraceStore


def run_id(number: int) -> str:
    return f"{number:032x}"


def fill(
    store: TraceStore,
    answers: Sequence[str | None],
    *,
    gold: str | None = "4",
    agents: Sequence[str] = ("adder",),
    routers: Sequence[str] = ("knn",),
    **changes: object,
) -> list[str]:
    """Writes a run of one agent per answer; None is a run that failed."""
    for i, answer in enumerate(answers):
        agent = agents[i % len(agents)]
        values = {
            "run_id": run_id(i),
            "started_at": 1_000.0 + i,
            "status": "error" if answer is None else "ok",
            "task_text": f"What is 2 + 2, the {i}th time?",
            "answer": answer,
            "gold": gold,
            "metric": "exact_match",
            **changes,
        }
        store.write(
            RunRecord(**values),  # type: ignore[arg-type]
            StepRecord(run_id=run_id(i), seq=0, node=agent, agent=agent, answer=answer),
            DecisionRecord(
                run_id=run_id(i),
                router=routers[i % len(routers)],
                graph={"nodes": [{"id": agent, "agent": agent}]},
                candidates=tuple(agents),
                propensity=1.0,
            ),
        )
    store.flush()
    return [run_id(i) for i in range(len(answers))]
