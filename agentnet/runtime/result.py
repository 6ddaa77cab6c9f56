"""`RunResult`: what a run gave, and what it used."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

from agentnet.errors import Abstained, LimitExceeded, RunError
from agentnet.graphs.live import Step
from agentnet.graphs.task import Task
from agentnet.runtime.state import pack_step

if TYPE_CHECKING:
    from agentnet.routers.decision import Decision
    from agentnet.runtime.call import Tally

Status = Literal["ok", "abstained", "error", "cancelled", "limit", "interrupted"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """The outcome of one task. A failure is told here, not raised; see `raise_for_status`.

    >>> result = RunResult(run_id="1", task=Task("2+2?"), status="ok", answer="4")
    >>> result.raise_for_status().answer
    '4'
    """

    run_id: str
    task: Task
    status: Status
    """``"limit"``: a limit ended it; ``"interrupted"``: it waits for ``Runtime.aresume``."""
    answer: str = ""
    """Partial when a limit ended the run: the aggregate of what was finished."""
    winner: str | None = None
    """Id of the node whose answer stands; None when several were joined."""
    decisions: tuple[Decision, ...] = ()
    """One a turn; growing graphs have several."""
    steps: tuple[Step, ...] = ()
    """In the order in which they finished, over all turns; skipped nodes included."""
    cost: Decimal | None = None
    """USD with the router's own; None when any part is unknown."""
    prompt_tokens: int | None = None
    """With the router's own, like ``completion_tokens`` and ``calls``; None when any part is unknown."""
    completion_tokens: int | None = None
    calls: int = 0
    """Model calls; a node that is skipped makes none."""
    latency_s: float = 0.0
    """Seconds with routing."""
    error: str | None = None
    limit: str | None = None
    """The kind of limit that ended the run."""
    abstained: bool = False
    """Whether the router abstained; with a fallback agent the status can still be ``"ok"``."""
    trace_error: str | None = None
    """The first failure of the trace store; the run itself went on."""
    loaded: bool = False
    """Whether a batch took it from the store instead of running it."""
    tags: Mapping[str, Any] = field(default_factory=dict)
    """What the caller gave to be stored with the run."""
    interrupts: tuple[Any, ...] = ()
    """What the run was interrupted with."""

    @property
    def ok(self) -> bool:
        """Whether there is an answer and nothing cut the run short."""
        return self.status == "ok"

    @property
    def tokens(self) -> int | None:
        """Prompt and completion tokens; None when unknown."""
        if self.prompt_tokens is None or self.completion_tokens is None:
            return None
        return self.prompt_tokens + self.completion_tokens

    def raise_for_status(self) -> RunResult:
        """Returns the result if the run ended well.

        Raises:
            Abstained: the router found no fitting agent.
            LimitExceeded: a limit was used up.
            RunError: no output node answered, or the run was cut off.
        """
        if self.status == "ok":
            return self
        message = self.error or f"the run ended with status {self.status!r}."
        if self.status == "abstained":
            raise Abstained(message)
        if self.status == "limit":
            raise LimitExceeded(message, kind=self.limit or "usd")
        raise RunError(message)

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON values."""
        return {
            "run_id": self.run_id,
            "task_id": self.task.task_id,
            "status": self.status,
            "answer": self.answer,
            "winner": self.winner,
            "decisions": [decision.to_dict() for decision in self.decisions],
            "steps": [pack_step(step) for step in self.steps],
            "cost": None if self.cost is None else str(self.cost),
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "calls": self.calls,
            "latency_s": self.latency_s,
            "error": self.error,
            "abstained": self.abstained,
        }


Observer = Callable[[RunResult], None]
"""Is told of every run that ended: called in line by the runtime, so it must be quick and never wait."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Sums over steps; a part that is unknown makes a sum unknown."""

    cost: Decimal | None
    prompt_tokens: int | None
    completion_tokens: int | None
    calls: int


def usage(steps: Iterable[Step], decisions: Iterable[Decision] = (), undecided: Tally | None = None) -> Usage:
    """Adds up steps that ran, what the decisions themselves used, and calls that led to no decision."""
    cost: Decimal | None = Decimal(0)
    prompt: int | None = 0
    completion: int | None = 0
    calls = 0
    for step in steps:
        if step.skipped:
            continue
        calls += step.calls
        cost = None if cost is None or step.cost is None else cost + step.cost
        if step.calls:
            prompt = _plus(prompt, step.prompt_tokens)
            completion = _plus(completion, step.completion_tokens)
    for decision in decisions:
        own = decision.router_cost
        cost = None if cost is None or own is None else cost + own
        calls += decision.router_calls
        prompt = _plus(prompt, decision.router_prompt_tokens)
        completion = _plus(completion, decision.router_completion_tokens)
    if undecided is not None:
        lost = undecided.cost
        cost = None if cost is None or lost is None else cost + lost
        calls += undecided.calls
        prompt = _plus(prompt, undecided.prompt_tokens)
        completion = _plus(completion, undecided.completion_tokens)
    return Usage(cost, prompt, completion, calls)


def _plus(total: int | None, part: int | None) -> int | None:
    return None if total is None or part is None else total + part
