"""Totals over a trace store: what ran, what it cost, and how much of the cost is unknown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Engine, case, func, select

from agentnet.traces.models import DecisionRow, OutcomeRow, RunRow, StepRow
from agentnet.traces.reader import RunFilter, plain


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Sums over runs or steps.

    Attributes:
        count: How many.
        cost_usd: Sum of the known costs, exact.
        cost_unknown: How many have no known cost: the true total is higher by theirs.
        prompt_tokens: Sum of the known counts.
        completion_tokens: Sum of the known counts.
        errors: How many failed.
    """

    count: int = 0
    cost_usd: Decimal = Decimal(0)
    cost_unknown: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    errors: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """What a store holds."""

    runs: Totals
    by_status: Mapping[str, int]
    by_agent: Mapping[str, Totals]
    """Steps that ran, by agent."""
    by_router: Mapping[str, Totals]
    """Runs, by the router that served them first."""
    judgements: int
    first: float | None
    """Start of the earliest run, seconds since the epoch."""
    last: float | None

    def to_dict(self) -> dict[str, Any]:
        """Returns everything as JSON values; money as text."""
        values: dict[str, Any] = plain(asdict(self))
        return values


def stats(engine: Engine, where: RunFilter) -> Stats:
    """Sums up the runs that pass a filter."""
    with engine.connect() as connection:
        status = where.apply(select(RunRow.status, func.count()).group_by(RunRow.status))
        span = where.apply(select(func.min(RunRow.started_at), func.max(RunRow.started_at)))
        first, last = tuple(connection.execute(span).one())
        judged = where.apply(select(func.count()).select_from(OutcomeRow).join(RunRow, _same(OutcomeRow)))
        return Stats(
            runs=_totals(connection, where, RunRow, None).get("", Totals()),
            by_status={name: count for name, count in connection.execute(status)},
            by_agent=_totals(connection, where, StepRow, StepRow.agent),
            by_router=_totals(connection, where, RunRow, DecisionRow.router),
            judgements=connection.execute(judged).scalar_one(),
            first=first,
            last=last,
        )


def _same(model: Any) -> Any:
    return model.run_id == RunRow.run_id


def _totals(connection: Connection, where: RunFilter, model: Any, by: Any) -> dict[str, Totals]:
    """Sums by a column, in order of count.

    Grouping by the cost as well leaves the sum to Python's Decimal: SQLite would add decimal text up as
    floating point.
    """
    failed = case((model.error.is_not(None), 1), else_=0)
    sums = [func.count(), *(func.sum(c) for c in (model.prompt_tokens, model.completion_tokens, failed))]
    group = [model.cost_usd] if by is None else [by, model.cost_usd]
    query = select(*group, *sums).group_by(*group)
    if model is StepRow:
        query = query.join(RunRow, _same(StepRow)).where(StepRow.skipped.is_(False))
    elif by is not None:
        served = (DecisionRow.run_id == RunRow.run_id) & (DecisionRow.turn == 0)
        query = query.join(DecisionRow, served & (DecisionRow.role != "shadow"))
    found: dict[str, Counter[str]] = {}
    costs: dict[str, Decimal] = {}
    rows: Iterable[Any] = connection.execute(where.apply(query))
    for row in rows:
        name, (cost, count, prompt, completion, errors) = ("", row) if by is None else (row[0], row[1:])
        sum_ = found.setdefault(name, Counter())
        sum_.update(count=count, prompt_tokens=int(prompt or 0), completion_tokens=int(completion or 0))
        sum_.update(errors=int(errors or 0), cost_unknown=count if cost is None else 0)
        costs[name] = costs.get(name, Decimal(0)) + (cost * count if cost is not None else 0)
    ordered = sorted(found, key=lambda name: (-found[name]["count"], name))
    return {name: Totals(**found[name], cost_usd=costs[name]) for name in ordered}
