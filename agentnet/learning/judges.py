"""Judges: who says whether an answer is good enough to learn from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Protocol, runtime_checkable

from agentnet.errors import InvalidInput
from agentnet.graphs.task import Task
from agentnet.runtime.sync import run_sync

ACCEPT = 0.5
"""The gate's usual threshold: a score from here on is accepted."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a judge says of one answer."""

    score: float | None
    """In [0, 1]; None: it could not be judged, which is neither good nor bad."""
    judge: str
    """Who judged, as it stands in traces: ``"verifier:NAME"``, ``"judge:MODEL"``."""
    note: str = ""
    cost: Decimal | None = Decimal(0)
    """USD of judging; None unknown."""

    def __post_init__(self) -> None:
        if self.score is not None and not 0 <= self.score <= 1:  # also refuses NaN
            raise InvalidInput(f"the judge {self.judge!r} gave {self.score!r}; scores lie in [0, 1].")

    def accepted(self, threshold: float = ACCEPT) -> bool:
        """Whether the answer passes a binary gate."""
        return self.score is not None and self.score >= threshold


@runtime_checkable
class Judge(Protocol):
    """Judges answers. ``judge_sync`` is the blocking form of any judge's ``judge``."""

    @property
    def name(self) -> str:
        """Its name, as in its verdicts and in traces: those of one name are taken to be interchangeable."""
        ...

    async def judge(self, task: Task, answer: str) -> Verdict:
        """Judges an answer; it may raise where it cannot (a backend that is down), and is not asked again."""
        ...


def judge_sync(judge: Judge, task: Task | str, answer: str) -> Verdict:
    """Returns a judge's verdict, blocking.

    >>> judge_sync(ExactJudge(lambda task, answer: answer == "4", name="sum"), "2 + 2?", "4").score
    1.0
    """
    return run_sync(judge.judge(Task.of(task), answer))


class ExactJudge:
    """Judges by a program: a unit test, a comparison with a known answer.

    Args:
        verify: Returns whether the answer to a task is right, or a score in [0, 1]. It runs on the
            learner's own thread; it must not take long at a time.
        name: Names it in traces, after ``verifier:``; default: the function's name.
    """

    def __init__(self, verify: Callable[[Task, str], float | bool], *, name: str | None = None) -> None:
        self._verify = verify
        self._name = f"verifier:{name or getattr(verify, '__name__', type(verify).__name__)}"

    @property
    def name(self) -> str:
        """``verifier:NAME``."""
        return self._name

    def verdict(self, task: Task, answer: str) -> Verdict:
        """Judges an answer."""
        return Verdict(float(self._verify(task, answer)), self._name)

    async def judge(self, task: Task, answer: str) -> Verdict:
        """Does as `verdict`."""
        return self.verdict(task, answer)


class NoisyJudge:
    """A judge that errs at known rates: to test how much error a learner stands.

    Whether it errs depends on the seed and the task's content alone, so that it is the same in every run
    and in every order. An error turns the inner verdict round: the score becomes 0 or 1.

    Args:
        inner: The judge whose verdicts are made noisy.
        false_accept: Probability that a wrong answer is accepted.
        false_reject: Probability that a right answer is rejected.
        seed: Another seed errs on other tasks.
        threshold: From which score on the inner verdict counts as right.
    """

    def __init__(
        self,
        inner: Judge,
        *,
        false_accept: float = 0.05,
        false_reject: float = 0.10,
        seed: int = 0,
        threshold: float = ACCEPT,
    ) -> None:
        for name, rate in (("false_accept", false_accept), ("false_reject", false_reject)):
            if not 0 <= rate <= 1:
                raise InvalidInput(f"{name} is a probability from 0 to 1; got {rate!r}.")
        self._inner = inner
        self._false_accept, self._false_reject = false_accept, false_reject
        self._seed = seed
        self._threshold = threshold

    @property
    def name(self) -> str:
        """The inner judge's name, marked as noisy."""
        return f"{self._inner.name}+noise"

    async def judge(self, task: Task, answer: str) -> Verdict:
        """Judges as the inner judge does, and errs at times."""
        verdict = await self._inner.judge(task, answer)
        if verdict.score is None:
            return replace(verdict, judge=self.name)
        right = verdict.accepted(self._threshold)
        errs = _uniform(self._seed, task) < (self._false_reject if right else self._false_accept)
        score = verdict.score if not errs else 0.0 if right else 1.0
        return replace(verdict, score=score, judge=self.name)


def _uniform(seed: int, task: Task) -> float:
    """A number in [0, 1) by seed and content of a task."""
    turns = [[turn.role, turn.content] for turn in task.history]
    content = json.dumps([seed, task.text, task.context, turns])
    return int.from_bytes(hashlib.blake2b(content.encode(), digest_size=8).digest()) / 2.0**64
