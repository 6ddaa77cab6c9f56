"""OpenTelemetry GenAI spans as runs: a trace is a run, an agent's span (or a lone model call) a step.

Read by the semantic conventions for generative AI (opentelemetry.io, 1.41 and before; status "development"):
``gen_ai.operation.name``, ``gen_ai.agent.name``, ``gen_ai.request.model``, ``gen_ai.response.model``,
``gen_ai.usage.input_tokens`` and ``output_tokens`` (before: ``prompt_tokens``, ``completion_tokens``),
``gen_ai.conversation.id``, messages in ``gen_ai.input.messages`` and ``gen_ai.output.messages`` (before 1.37:
events ``gen_ai.user.message`` ... ``gen_ai.choice``; also ``gen_ai.prompt.0.content`` of other
instrumentations), and scores in events ``gen_ai.evaluation.result``. Other attributes are not kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from agentnet.traces.importers.base import (
    PROPENSITY,
    ROUTER,
    ImportReport,
    clean_name,
    decision,
    rows_of,
    run_id_of,
    to_propensity,
)
from agentnet.traces.importers.chat import asked
from agentnet.traces.importers.litellm import to_count
from agentnet.traces.importers.otel_content import Content, content_of, scores_of
from agentnet.traces.importers.otel_spans import Event, Span, items_of
from agentnet.traces.importers.otel_spool import Spool, Trace
from agentnet.traces.records import OutcomeRecord, Record, RunRecord, StepRecord, task_hash

_AGENT = ("invoke_agent", "invoke_workflow")
_TALK = ("chat", "text_completion", "generate_content", "completion", "responses")
_SILENT = ("embeddings", "execute_tool", "create_agent", "retrieval", "search_memory", "update_memory")


def otel_records(path: Path, report: ImportReport) -> Iterator[list[Record]]:
    """Yields the records of each trace with a model call; the rest is counted.

    Args:
        path: The file.
        report: Where counts go.
    """
    with Spool() as spool:
        for value in rows_of(path, report.refuse):
            for item in items_of(value):
                if isinstance(item, str):
                    report.refuse(item)
                elif isinstance(item, Span):
                    whole = kind_of(item) is not None
                    report.other += not whole
                    spool.add_span(item, whole=whole)
                else:
                    spool.add_event(*item)
        for trace in spool.traces():
            try:
                yield _records(trace, report)
            except (ValueError, TypeError, OverflowError, KeyError) as error:
                report.refuse(f"trace {trace.trace}: {type(error).__name__}: {error}")


def kind_of(span: Span) -> str | None:
    """Returns ``"agent"`` or ``"call"``; None for spans that say nothing about an answer."""
    operation = str(span.values.get("gen_ai.operation.name") or "").lower()
    if operation in _AGENT:
        return "agent"
    if operation in _TALK:
        return "call"
    if operation in _SILENT:
        return None
    named = "gen_ai.request.model" in span.values or "gen_ai.response.model" in span.values
    return "call" if named else None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Step:
    """A span that becomes a step, with the model calls below it."""

    span: Span
    calls: Sequence[Span]
    agent: str
    model: str | None


def _records(trace: Trace, report: ImportReport) -> list[Record]:
    content = {span.span: content_of(span, trace.events.get(span.span, ())) for span in trace.spans}
    steps = _steps(trace, content)
    run_id = run_id_of("otel", trace.trace)
    made = [_step_record(run_id, seq, step, content) for seq, step in enumerate(steps)]
    ours = {span.span for span in trace.spans}
    roots = [span for span in trace.spans if not _above(trace, span.span, ours)] or list(trace.spans)
    first = next((content[span.span].asked for span in trace.spans if content[span.span].asked), ())
    task = asked(list(first))
    failed = roots[-1].error  # an earlier failure was made good by what came after it
    said = (content[roots[-1].span].answer, *(record.answer for record in reversed(made)))
    answer = next((text for text in said if text), None)
    values = [span.values for span in trace.spans]
    propensity = to_propensity(_first(values, PROPENSITY))
    starts = [span.start for span in trace.spans if span.start is not None]
    ends = [span.end for span in trace.spans if span.end is not None]
    if not starts:
        raise ValueError("no span has a start time")
    costs = [record.cost_usd for record in made]
    session = _first(values, "gen_ai.conversation.id") or _first(values, "session.id")
    for step in steps:
        report.saw(step.agent, step.model)
    report.without_text += task.text is None or (answer is None and failed is None)
    run = RunRecord(
        run_id=run_id,
        started_at=min(starts),
        ended_at=max(ends, default=None),
        status="error" if failed is not None else "ok",
        task_text=task.text,
        task_history=task.history,
        task_hash=task_hash(task.text, None, task.history) if task.text is not None else run_id,
        task_id=trace.trace,
        session_id=str(session) if session else None,
        answer=None if failed is not None else answer,
        cost_usd=_total(costs),
        prompt_tokens=_sum([record.prompt_tokens for record in made]),
        completion_tokens=_sum([record.completion_tokens for record in made]),
        calls=sum(record.calls for record in made),
        latency_s=_latency(trace.spans),
        error=failed,
        tags={"imported": "otel"},
    )
    agents = [step.agent for step in steps]
    router = clean_name(_first(values, ROUTER)) or "otel"
    chosen = decision(run_id, agents, propensity, router)
    report.with_propensity += chosen is not None and propensity is not None
    outcomes = _outcomes(trace, run_id, steps, run.started_at, report)
    return [run, *made, *([chosen] if chosen is not None else []), *outcomes]


def _steps(trace: Trace, content: Mapping[str, Content]) -> list[_Step]:
    """Agents' spans without agents below them; and model calls that belong to none of those.

    An agent that calls other agents coordinates: its own model calls are steps of its name.
    """
    agents = {span.span: span for span in trace.spans if kind_of(span) == "agent"}
    outer = {above for span in agents for above in _all_above(trace, span) if above in agents}
    calls: dict[str, list[Span]] = {}
    for span in trace.spans:
        if kind_of(span) == "call":
            calls.setdefault(_above(trace, span.span, agents.keys()), []).append(span)
    steps = []
    for key, span in agents.items():
        if key not in outer:
            own = calls.get(key, [])
            steps.append(_Step(span=span, calls=own, agent=_name(span, own), model=_model(span, *own)))
    for key, alone in calls.items():
        if key and key not in outer:
            continue
        for span in alone:
            name = clean_name(span.values.get("gen_ai.agent.name"))
            name = name or (_name(agents[key], [span]) if key else _name(span, []))
            steps.append(_Step(span=span, calls=[span], agent=name, model=_model(span)))
    if not steps:
        raise ValueError("it has no model call")
    return _joined(sorted(steps, key=lambda step: (step.span.start or 0.0, step.span.span)), content)


def _joined(steps: Sequence[_Step], content: Mapping[str, Content]) -> list[_Step]:
    """Calls of one name in a row are one step as long as they ask for tools instead of answering."""
    found: list[_Step] = []
    for step in steps:
        last = found[-1] if found else None
        lone = last is not None and kind_of(step.span) == kind_of(last.span) == "call"
        if last is not None and lone and last.agent == step.agent and not _ends(last, content):
            found[-1] = replace(last, calls=[*last.calls, *step.calls])
        else:
            found.append(step)
    return found


def _ends(step: _Step, content: Mapping[str, Content]) -> bool:
    last = step.calls[-1] if step.calls else step.span
    return bool(content[last.span].answer) or last.error is not None


def _all_above(trace: Trace, span: str) -> Iterator[str]:
    seen = {span}
    while (span := trace.parents.get(span, "")) and span not in seen:
        seen.add(span)
        yield span


def _above(trace: Trace, span: str, wanted: Any) -> str:
    """The nearest of some spans above a span; "" where there is none."""
    return next((above for above in _all_above(trace, span) if above in wanted), "")


def _name(span: Span, calls: Sequence[Span]) -> str:
    for key in ("gen_ai.agent.name", "gen_ai.agent.id"):
        if name := clean_name(span.values.get(key)):
            return name
    return clean_name(_model(span, *calls) or span.name.removeprefix("invoke_agent ")) or "unnamed"


def _model(*spans: Span) -> str | None:
    values = [span.values for span in spans]
    found = _first(values, "gen_ai.request.model") or _first(values, "gen_ai.response.model")
    return clean_name(found) or None


def _first(values: Sequence[Mapping[str, Any]], name: str) -> Any:
    return next((item[name] for item in values if item.get(name) not in (None, "")), None)


def _step_record(run_id: str, seq: int, step: _Step, content: Mapping[str, Content]) -> StepRecord:
    span, calls = step.span, step.calls
    own = kind_of(span) == "agent" or not calls  # an agent's span may tell of all its calls
    counted = [span] if own and (_tokens(span)[0] is not None or not calls) else calls
    prompt = _sum([_tokens(item)[0] for item in counted])
    completion = _sum([_tokens(item)[1] for item in counted])
    priced = [span] if own and (_cost(span) is not None or not calls) else calls
    cost = _total([_cost(item) for item in priced])
    answers = [content[item.span].answer for item in (span, *reversed(calls))]
    answer = None if span.error else next((text for text in answers if text), None)
    return StepRecord(
        run_id=run_id,
        seq=seq,
        node=step.agent,
        agent=step.agent,
        backend=step.model,
        strategy="imported",
        answer=answer,
        error=span.error,
        prompt_tokens=prompt,
        completion_tokens=completion,
        calls=max(len(calls), 1),
        cost_usd=cost,
        cost_source=None if cost is None else "otel span",
        started_at=span.start,
        latency_s=_latency([span, *calls]),
    )


def _latency(spans: Sequence[Span]) -> float | None:
    starts = [span.start for span in spans if span.start is not None]
    ends = [span.end for span in spans if span.end is not None]
    return max(max(ends) - min(starts), 0.0) if starts and ends else None


def _tokens(span: Span) -> tuple[int | None, int | None]:
    values = span.values
    prompt = values.get("gen_ai.usage.input_tokens", values.get("gen_ai.usage.prompt_tokens"))
    completion = values.get("gen_ai.usage.output_tokens", values.get("gen_ai.usage.completion_tokens"))
    return to_count(prompt), to_count(completion)


def _cost(span: Span) -> Decimal | None:
    """USD where an instrumentation notes it; the conventions have no attribute for money."""
    value = span.values.get("gen_ai.usage.cost")
    if value is None:
        return None
    try:
        cost = Decimal(str(value))
    except InvalidOperation:
        return None
    return cost if cost.is_finite() and cost >= 0 else None


def _sum(values: Sequence[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if known and len(known) == len(values) else None


def _total(values: Sequence[Decimal | None]) -> Decimal | None:
    known = [value for value in values if value is not None]
    return sum(known, Decimal(0)) if known and len(known) == len(values) else None


def _outcomes(
    trace: Trace, run_id: str, steps: Sequence[_Step], started: float, report: ImportReport
) -> Iterator[OutcomeRecord]:
    """Scores that the log holds: of a step's span they are the step's, else the run's."""
    place = {step.span.span: seq for seq, step in enumerate(steps)} if len(steps) > 1 else {}
    for span, events in _events(trace):
        for name, score, note, at in scores_of(events, report.refuse):
            report.judgements += 1
            yield OutcomeRecord(
                run_id=run_id,
                score=score,
                judge=f"otel:{clean_name(name) or 'evaluation'}",
                judged_at=at if at is not None else started,
                step_seq=place.get(span),
                note=note,
            )


def _events(trace: Trace) -> Iterator[tuple[str, Sequence[Event]]]:
    for span in trace.spans:
        yield span.span, span.events
    yield from trace.events.items()
