"""Corrected scores as outcomes: what a judge's verdict means, instead of the verdict.

A judge's verdict on an answer of agent a becomes the probability that the answer is right, given the verdict
and the agent (``Rates.right_if``): an accept by a lenient judge counts for less than 1, a reject for more
than 0. Averages over an agent's runs are then unbiased as far as the error rates are known. Differences
*within* an agent (this kind of task against that) are drawn together, by the factor ``worth``, for
a noisy verdict says little of one run: the probability is honest about one answer and cautious about slices.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import Engine, delete, tuple_, update

from agentnet.learning.judges import ACCEPT
from agentnet.learning.scoring.rates import Rates, fit_rates
from agentnet.learning.scoring.read import Judged, iter_judged, read_judgements
from agentnet.learning.scoring.run import write_outcomes
from agentnet.traces.models import RUN_ITSELF, OutcomeRow
from agentnet.traces.records import OutcomeRecord
from agentnet.traces.sink import table_of
from agentnet.traces.store import TraceStore

SUFFIX = "+corrected"
"""Ends the name under which corrected scores are stored."""
_CHUNK = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class CorrectionReport:
    """What was stored."""

    judge: str
    corrected: int
    """Answers that now have a corrected score."""
    gold: int
    """Answers with gold: it alone counts there."""
    silenced: int
    """Raw judgements whose weight is now 0."""
    rates: Rates


def correct_outcomes(
    store: TraceStore,
    judge: str,
    gold: Sequence[str] | str,
    *,
    weight: float = 1.0,
    clock: Callable[[], float] = time.time,
    **where: Any,
) -> CorrectionReport:
    """Stores corrected scores beside a judge's, and gives the judge's own the weight 0.

    Corrected scores stand under ``NAME+corrected``. Their weight is ``weight`` times the verdict's worth for
    that agent (the squared correlation of verdict and truth): a judge that is right nine times in ten weighs
    some two thirds of a gold label, one that guesses nothing. The raw scores stay in the trace; with the
    weight 0 they count no longer. Called again after more labels, newer corrected scores overrule the older.

    Args:
        store: Where the outcomes are.
        judge: The judge's name.
        gold: Names that count as gold, the most trusted first.
        weight: Weight of a judgement that was as good as gold.
        clock: Tells when.
        **where: Fields of `RunFilter`.

    Raises:
        NotEnoughEvidence: the judge has judged nothing, or there are fewer than 10 gold labels.
    """
    names = [gold] if isinstance(gold, str) else list(gold)
    table = read_judgements(store, judge, names, **where)
    rates = fit_rates(table)
    at = {name: a for a, name in enumerate(rates.agents)}
    now = clock()

    def records() -> Iterator[OutcomeRecord]:
        for item in iter_judged(store, judge, names, **where):
            if item.judge is None or item.gold is not None or item.agent not in at:
                continue
            a, verdict = at[item.agent], int(item.judge >= ACCEPT)
            score = float(rates.right_if[a, verdict])
            yield _record(item, judge, score, weight * float(rates.worth[a]), now, f"judged {item.judge:g}")

    stored = write_outcomes(store, records())
    silenced = store.read(lambda engine: _silence(engine, judge))
    with_gold = 0
    for places in _gold_places(iter_judged(store, judge, names, **where)):
        with_gold += len(places)
        silenced += store.read(partial(_leave_to_gold, judge=judge, places=places))
    return CorrectionReport(judge=judge, corrected=stored, gold=with_gold, silenced=silenced, rates=rates)


def _gold_places(items: Iterator[Judged]) -> Iterator[list[tuple[str, int]]]:
    """Where the judge has judged and gold is known, some at a time."""
    places: list[tuple[str, int]] = []
    for item in items:
        if item.judge is not None and item.gold is not None:
            places.append((item.run_id, item.step_seq))
        if len(places) == _CHUNK:
            yield places
            places = []
    if places:
        yield places


def _leave_to_gold(engine: Engine, judge: str, places: list[tuple[str, int]]) -> int:
    """Silences raw scores where gold is known, and takes out corrections from before it was."""
    table = table_of(OutcomeRow)
    here = tuple_(table.c.run_id, table.c.step_seq).in_(places)
    with engine.connect().execution_options(writes=True) as connection, connection.begin():
        connection.execute(delete(table).where(table.c.judge == f"{judge}{SUFFIX}", here))
        change = update(table).where(table.c.judge == judge, table.c.weight != 0, here).values(weight=0.0)
        return int(connection.execute(change).rowcount)


def _record(item: Judged, judge: str, score: float, weight: float, now: float, note: str) -> OutcomeRecord:
    return OutcomeRecord(
        run_id=item.run_id,
        score=score,
        judge=f"{judge}{SUFFIX}",
        judged_at=now,
        step_seq=None if item.step_seq == RUN_ITSELF else item.step_seq,
        weight=weight,
        note=note,
    )


def _silence(engine: Engine, judge: str) -> int:
    """Sets the weight of a judge's raw scores to 0; only in runs that have corrected ones."""
    table = table_of(OutcomeRow)
    other = table.alias()
    beside = (
        other.select()
        .where(
            other.c.run_id == table.c.run_id,
            other.c.judge == f"{judge}{SUFFIX}",
        )
        .exists()
    )
    change = update(table).where(table.c.judge == judge, table.c.weight != 0, beside).values(weight=0.0)
    with engine.connect().execution_options(writes=True) as connection, connection.begin():
        return int(connection.execute(change).rowcount)
