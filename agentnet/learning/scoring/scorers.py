"""Scorers: who says what a recorded answer is worth, from the run that it stands in."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, Protocol, runtime_checkable

from agentnet.errors import InvalidInput
from agentnet.graphs.task import Task
from agentnet.learning.judges import Judge, Verdict
from agentnet.learning.scoring.metrics import gold_score
from agentnet.traces.records import RunRecord, StepRecord

ENTRY_POINTS = "agentnet.scorers"
"""Group of entry points under which packages offer scorers by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What is scored: a run's answer, or that of one of its steps."""

    run: RunRecord
    task: Task
    answer: str
    step: StepRecord | None = None
    """None: the run's own answer."""
    agent: str | None = None
    """Who answered, where it was one agent."""

    @property
    def step_seq(self) -> int | None:
        """The step's number; None for the run's own answer."""
        return None if self.step is None else self.step.seq


@runtime_checkable
class Scorer(Protocol):
    """Scores recorded answers. Every `Judge` becomes one by `JudgeScorer`."""

    @property
    def name(self) -> str:
        """Its name, as it stands in the outcomes: what it has scored under this name is not scored again."""
        ...

    async def score(self, subject: Subject) -> Verdict | None:
        """Scores an answer; None where it cannot know (no gold), which is neither good nor bad."""
        ...


class GoldScorer:
    """Compares with the gold answer that is recorded with the run, by the run's metric."""

    name = "verifier:gold"

    async def score(self, subject: Subject) -> Verdict | None:
        """Scores an answer; None where the run has no gold or its metric needs a program."""
        run = subject.run
        if run.gold is None:
            return None
        found = gold_score(subject.answer, run.gold, run.metric, agent=subject.agent)
        return None if found is None else Verdict(found, self.name)


class JudgeScorer:
    """Any `Judge` as a scorer: it sees the task and the answer and nothing else of the run."""

    def __init__(self, judge: Judge) -> None:
        self._judge = judge

    @property
    def name(self) -> str:
        """The judge's."""
        return self._judge.name

    async def score(self, subject: Subject) -> Verdict:
        """Asks the judge."""
        return await self._judge.judge(subject.task, subject.answer)


class VerifierScorer:
    """A program's verdict.

    Args:
        verify: Called with the task and the answer, and with ``run=`` (a `RunRecord`: gold, tags) if it
            has a parameter of that name. Returns a score in [0, 1], a truth value, a `Verdict`, or None
            where it cannot tell. It may be async; a plain function runs on the event loop and must not
            take long at a time.
        name: Names it in outcomes, after ``verifier:``.

    >>> from agentnet.runtime.sync import run_sync
    >>> run = RunRecord(run_id="0" * 32, started_at=0.0, answer="4")
    >>> scorer = VerifierScorer(lambda task, answer: answer == "4", name="sum")
    >>> run_sync(scorer.score(Subject(run=run, task=Task("2 + 2?"), answer="4")))
    Verdict(score=1.0, judge='verifier:sum', note='', cost=Decimal('0'))
    """

    def __init__(self, verify: Callable[..., Any], *, name: str) -> None:
        self._verify = verify
        self._name = f"verifier:{name}"
        self._wants_run = _has_parameter(verify, "run")

    @property
    def name(self) -> str:
        """``verifier:NAME``."""
        return self._name

    async def score(self, subject: Subject) -> Verdict | None:
        """Calls the program.

        Raises:
            InvalidInput: it returned something else than a score.
        """
        further = {"run": subject.run} if self._wants_run else {}
        found = self._verify(subject.task, subject.answer, **further)
        if inspect.isawaitable(found):
            found = await found
        if found is None or isinstance(found, Verdict):
            return found
        try:
            return Verdict(float(found), self._name)
        except (TypeError, ValueError) as error:
            if isinstance(error, InvalidInput):
                raise
            raise InvalidInput(
                f"{self._name} returned {type(found).__name__}; a verifier returns a number in [0, 1], "
                "True, False or None."
            ) from None


def load_scorer(spec: str) -> Scorer:
    """Returns a scorer from a dotted path or an entry point.

    Args:
        spec: ``module:name``, or the name of an entry point of the group ``agentnet.scorers``. It names a
            verifier function, a `Judge` or `Scorer`, or a class of one that needs no arguments.

    Raises:
        InvalidInput: there is no such module, name or entry point, or it is no scorer.

    >>> load_scorer("operator:eq").name
    'verifier:operator:eq'
    """
    found = _from_module(spec) if ":" in spec else _from_entry_point(spec)
    if inspect.isclass(found):
        try:
            found = found()
        except TypeError as error:
            raise InvalidInput(f"{spec!r} is a class that needs arguments: {error}.") from None
    if isinstance(found, Scorer):
        return found
    if isinstance(found, Judge):
        return JudgeScorer(found)
    if callable(found):
        return VerifierScorer(found, name=spec)
    raise InvalidInput(
        f"{spec!r} is a {type(found).__name__}; a scorer is a function of a task and an answer, or an "
        "object with a name and an async method score or judge."
    )


def _from_module(spec: str) -> Any:
    module, _, path = spec.partition(":")
    try:
        found: Any = import_module(module)
        for part in path.split("."):
            found = getattr(found, part)
    except ImportError as error:
        raise InvalidInput(
            f"{spec!r}: the module cannot be imported ({error}); it must be importable from here, for "
            "example with PYTHONPATH=. in front."
        ) from None
    except (AttributeError, ValueError):
        raise InvalidInput(f"{spec!r}: the module {module!r} has no {path!r}.") from None
    return found


def _from_entry_point(name: str) -> Any:
    known = entry_points(group=ENTRY_POINTS)
    for point in known:
        if point.name == name:
            return point.load()
    there = ", ".join(sorted(point.name for point in known)) or "none are installed"
    raise InvalidInput(
        f"no scorer {name!r} in the entry points {ENTRY_POINTS!r} ({there}); a function of your own is "
        "named module:function."
    )


def _has_parameter(function: Callable[..., Any], name: str) -> bool:
    try:
        return name in inspect.signature(function).parameters
    except (TypeError, ValueError):
        return False
