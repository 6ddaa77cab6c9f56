"""`score_traces`: judges recorded runs and stores what is found, as a stream that can be cut off."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from dataclasses import dataclass, fields
from decimal import Decimal
from typing import Any, Literal

from agentnet.errors import InvalidInput, LimitExceeded, RunError, UnpricedCall
from agentnet.learning.judges import Verdict
from agentnet.learning.scoring.pages import Answers, count_runs, pages, sampled, subjects
from agentnet.learning.scoring.scorers import Scorer, Subject
from agentnet.runtime.clients.scrub import told
from agentnet.runtime.sync import run_sync
from agentnet.traces.reader import RunFilter, RunTrace
from agentnet.traces.records import OutcomeRecord
from agentnet.traces.store import TraceStore

Progress = Callable[[int, int], None]
"""Called with (runs gone through, runs there were at the start)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreReport:
    """What came of scoring."""

    judge: str
    scored: int = 0
    """Scores stored."""
    accepted: int = 0
    """Those that are at least 0.5."""
    total: float = 0.0
    """Sum of the scores."""
    already: int = 0
    """Answers that this judge had scored before."""
    unknown: int = 0
    """Answers without a score: no gold, a metric that needs a program, an unreadable verdict."""
    without_text: int = 0
    """Runs whose task or answer is not stored."""
    failed_runs: int = 0
    """Runs that ended without an answer because something failed."""
    errors: int = 0
    """Scorings that failed; these answers are tried again by the next call."""
    last_error: str = ""
    cost: Decimal = Decimal(0)
    """USD of the verdicts whose cost is known."""
    cost_unknown: int = 0
    """Verdicts whose cost is unknown."""
    stopped: str = ""
    """Why it ended early: a used-up budget; empty where it came to the end."""

    @property
    def mean(self) -> float | None:
        """Mean of the scores; None where there are none."""
        return self.total / self.scored if self.scored else None


async def ascore_traces(
    store: TraceStore,
    scorer: Scorer,
    *,
    answers: Answers = "auto",
    failed: Literal["skip", "zero"] = "skip",
    limit: int | None = None,
    sample: float = 1.0,
    again: bool = False,
    weight: float = 1.0,
    concurrency: int = 8,
    patience: int = 20,
    progress: Progress | None = None,
    clock: Callable[[], float] = time.time,
    **where: Any,
) -> ScoreReport:
    """Scores recorded answers and stores the scores as outcomes of the scorer's name.

    Runs are read page by page and scores are stored as they come, so that a call that is cut off goes on
    where it stopped: an answer that has an outcome of this name is not scored again. Repeated scores are all
    kept; the latest of a judge counts.

    Args:
        store: Where the runs are.
        scorer: Who scores; a `Judge` goes in as ``JudgeScorer(judge)``.
        answers: Which answers of a run: its own (``"answer"``), its steps' (``"steps"``), ``"both"``, or
            ``"auto"``: its own, and its steps' where it has none.
        failed: Runs that failed have no answer: ``"skip"`` leaves them unjudged (an agent that often
            fails then looks better than it is), ``"zero"`` scores them 0.
        limit: Most answers to score in this call.
        sample: Share of the runs, chosen by their ids: the same ones at every call.
        again: Also scores what this scorer has scored before.
        weight: How much these scores count beside those of other judges.
        concurrency: Most scorings under way at once.
        patience: Failures in a row after which it gives up.
        progress: Called after every page.
        clock: Tells when a judgement was made.
        **where: Fields of `RunFilter`: since, until, router, session_id, kind ...

    Raises:
        InvalidInput: a setting makes no sense.
        UnpricedCall: a budget is set and the judge's price is unknown; nothing was sent.
        RunError: too many scorings failed in a row.
    """
    if not 0 < sample <= 1 or weight < 0 or concurrency < 1 or (limit is not None and limit < 1):
        raise InvalidInput(
            "sample lies in (0, 1], weight is at least 0, concurrency and limit are at least 1; got "
            f"sample={sample}, weight={weight}, concurrency={concurrency}, limit={limit}."
        )
    work = _Scoring(
        store, scorer, RunFilter(**where), answers, failed, limit, sample, again, weight, patience, progress,
        clock,
    )  # fmt: skip
    return await work.run(concurrency)


def score_traces(store: TraceStore, scorer: Scorer, **settings: Any) -> ScoreReport:
    """Does as `ascore_traces`, blocking.

    >>> import tempfile
    >>> from agentnet.learning.scoring.scorers import GoldScorer
    >>> from agentnet.traces.records import RunRecord
    >>> folder = tempfile.TemporaryDirectory()
    >>> with TraceStore.open(f"sqlite:///{folder.name}/traces.db") as store:
    ...     store.write(RunRecord(run_id="0" * 32, started_at=1.0, status="ok", task_text="2 + 2?",
    ...                           answer="4", gold="4.0"))
    ...     first, second = score_traces(store, GoldScorer()), score_traces(store, GoldScorer())
    >>> folder.cleanup()
    >>> first.scored, first.mean, second.scored
    (1, 1.0, 0)
    """
    return run_sync(ascore_traces(store, scorer, **settings))


class _Scoring:
    """One call's state: what to score next, and what has come of it."""

    def __init__(
        self,
        store: TraceStore,
        scorer: Scorer,
        where: RunFilter,
        answers: Answers,
        failed: str,
        limit: int | None,
        sample: float,
        again: bool,
        weight: float,
        patience: int,
        progress: Progress | None,
        clock: Callable[[], float],
    ) -> None:
        self._store, self._scorer, self._where = store, scorer, where
        self._answers: Answers = answers
        self._failed, self._limit, self._sample, self._again = failed, limit, sample, again
        self._weight, self._patience, self._progress, self._clock = weight, patience, progress, clock
        self._skip_by = scorer.name if not again and answers in ("auto", "answer") else None
        self._seen: dict[str, Any] = {field.name: field.default for field in fields(ScoreReport)}
        self._seen["judge"] = scorer.name
        self._started = 0
        self._in_a_row = 0
        self._fatal: Exception | None = None
        self._over = False

    async def run(self, concurrency: int) -> ScoreReport:
        total = await asyncio.to_thread(count_runs, self._store, self._where, self._skip_by)
        source = self._subjects(total)
        lock = asyncio.Lock()

        async def work() -> None:
            while not self._over:
                async with lock:
                    subject = None if self._over else await anext(source, None)
                if subject is None:
                    return
                await self._score(subject)

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(concurrency):
                    group.create_task(work())
        finally:
            await source.aclose()
            await self._store.aflush()
        if self._fatal is not None:
            raise self._fatal
        return ScoreReport(**self._seen)

    async def _subjects(self, total: int) -> AsyncGenerator[Subject, None]:
        reading = pages(self._store, self._where, unjudged_by=self._skip_by)
        through = 0
        while (page := await asyncio.to_thread(next, reading, None)) is not None:
            for trace in page:
                for subject in await self._wanted(trace):
                    if self._started == self._limit:
                        return
                    self._started += 1
                    yield subject
            through += len(page)
            if self._progress is not None:
                self._progress(through, total)

    async def _wanted(self, trace: RunTrace) -> list[Subject]:
        if not sampled(trace.run.run_id, self._sample):
            return []
        if trace.run.status in ("error", "limit"):
            self._seen["failed_runs"] += 1
            if self._failed == "zero":
                await self._store_failed(trace)
            return []
        if trace.run.status != "ok":
            return []
        found = subjects(trace, self._answers)
        if not found:
            self._seen["without_text"] += 1
        if self._again:
            return found
        done = {item.step_seq for item in trace.outcomes if item.judge == self._scorer.name}
        wanted = [subject for subject in found if subject.step_seq not in done]
        self._seen["already"] += len(found) - len(wanted)
        return wanted

    async def _store_failed(self, trace: RunTrace) -> None:
        done = any(item.judge == self._scorer.name for item in trace.outcomes)
        if done and not self._again:
            self._seen["already"] += 1
            return
        verdict = Verdict(0.0, self._scorer.name, "the run failed")
        await self._keep(trace.run.run_id, None, verdict, 0.0)

    async def _score(self, subject: Subject) -> None:
        try:
            verdict = await self._scorer.score(subject)
        except UnpricedCall as error:
            self._over = True
            if self._seen["scored"]:
                self._seen["stopped"] = told(error)
            else:
                self._fatal = error
            return
        except LimitExceeded as error:
            self._over = True
            self._seen["stopped"] = told(error)
            return
        except Exception as error:  # whatever a plug-in raises costs its own answer
            self._failure(error)
            return
        self._in_a_row = 0
        if verdict is None or verdict.score is None:
            self._seen["unknown"] += 1
            if verdict is not None:
                self._pay(verdict)
            return
        self._pay(verdict)
        await self._keep(subject.run.run_id, subject.step_seq, verdict, verdict.score)

    def _pay(self, verdict: Verdict) -> None:
        if verdict.cost is None:
            self._seen["cost_unknown"] += 1
        else:
            self._seen["cost"] += verdict.cost

    async def _keep(self, run_id: str, step_seq: int | None, verdict: Verdict, score: float) -> None:
        await self._store.awrite(
            OutcomeRecord(
                run_id=run_id,
                score=score,
                judge=self._scorer.name,
                judged_at=self._clock(),
                step_seq=step_seq,
                weight=self._weight,
                note=verdict.note or None,
            )
        )
        self._seen["scored"] += 1
        self._seen["accepted"] += score >= 0.5
        self._seen["total"] += score

    def _failure(self, error: Exception) -> None:
        self._seen["errors"] += 1
        self._seen["last_error"] = told(error)
        self._in_a_row += 1
        if self._in_a_row >= self._patience and not self._over:
            self._over = True
            fatal = RunError(
                f"{self._scorer.name} failed {self._in_a_row} times in a row, so scoring ends; "
                f"{self._seen['scored']} scores are stored. The last failure: {told(error)}"
            )
            fatal.__cause__ = None
            self._fatal = fatal


def write_outcomes(store: TraceStore, records: Iterator[OutcomeRecord], *, at_once: int = 5_000) -> int:
    """Stores judgements as they come, in bounded memory; returns how many."""
    count = 0
    waiting: list[OutcomeRecord] = []
    for record in records:
        count += 1
        waiting.append(record)
        if len(waiting) == at_once:
            store.add_outcomes(*waiting)
            waiting = []
    if waiting:
        store.add_outcomes(*waiting)
    return count
