"""What is stored of a run: plain values without any knowledge of routers or runtimes.

The runtime turns its own values into these; the store writes and reads them. All JSON fields hold plain
JSON values; money is ``Decimal | None``; times are seconds since the epoch (UTC).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

from agentnet.graphs.live import Step

RunStatus = Literal["running", "ok", "abstained", "error", "cancelled", "limit"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """One run of one task."""

    run_id: str
    """A UUID as 32 hexadecimal digits, made by the caller."""
    started_at: float
    ended_at: float | None = None
    status: RunStatus = "running"
    task_text: str | None = None
    """None when content capture is off."""
    task_context: str | None = None
    task_history: tuple[Mapping[str, str], ...] = ()
    task_hash: str = ""
    """Hash of text, context and history: equal tasks have equal hashes also when content is off."""
    task_id: str | None = None
    session_id: str | None = None
    batch_id: str | None = None
    """Names the batch, so that a batch that was cut off is taken up again."""
    answer: str | None = None
    pool_version: str = ""
    pool: tuple[Mapping[str, Any], ...] = ()
    """The agents' definitions; stored once per pool version."""
    cost_usd: Decimal | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    calls: int = 0
    latency_s: float | None = None
    error: str | None = None
    kind: str = "live"
    """``"live"``, ``"replayed"`` or ``"simulated"``; never mixed in one table."""
    tags: Mapping[str, Any] = field(default_factory=dict)
    gold: str | None = None
    """Known answer, for evaluation data only; never shown to a router."""
    metric: str | None = None
    task_label: str | None = None
    split: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionRecord:
    """One decision of a router in a run; growing graphs have several."""

    run_id: str
    turn: int = 0
    router: str = ""
    router_version: str = ""
    abstained: bool = False
    graph: Mapping[str, Any] | None = None
    candidates: tuple[str, ...] = ()
    scores: Mapping[str, Any] = field(default_factory=dict)
    """By agent: raw, calibrated, cost."""
    calibration_id: str | None = None
    propensity: float | None = None
    evidence: Mapping[str, Any] = field(default_factory=dict)
    latency_s: float | None = None
    router_cost_usd: Decimal | None = None
    role: str = "serving"
    """``"serving"``, ``"shadow"`` (decided, did not act) or ``"canary"``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRecord:
    """What one node did in one round."""

    run_id: str
    seq: int
    """Order within the run, from 0; with run_id it names the step."""
    turn: int = 0
    round: int = 0
    node: str = ""
    agent: str = ""
    backend: str | None = None
    strategy: str = ""
    answer: str | None = None
    score: float | None = None
    skipped: bool = False
    error: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int | None = None
    calls: int = 0
    cost_usd: Decimal | None = None
    cost_source: str | None = None
    started_at: float | None = None
    latency_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageRecord:
    """One message of a step: the prompt's turns and the model's replies."""

    run_id: str
    step_seq: int
    seq: int
    role: str
    content: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeRecord:
    """A judgement of a run or of one of its steps; there may be several, and late."""

    run_id: str
    score: float
    """In [0, 1]."""
    judge: str
    """Who judged: ``"verifier:NAME"``, ``"judge:MODEL"``, ``"human"``, ``"user:thumbs"`` ..."""
    judged_at: float
    step_seq: int | None = None
    """The step that was judged; None the run's answer."""
    weight: float = 1.0
    note: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolChangeRecord:
    """One swap of a served pool: who came, went or changed, and when."""

    change_id: str
    """``POOL_ID:REVISION``: a swap that several runtimes of a process tell of is one record."""
    pool_id: str
    """Names the `PoolHandle` of one process: revisions count within it."""
    revision: int
    changed_at: float
    pool_version: str
    """The version after the swap, as runs carry it."""
    size: int
    """Agents after the swap."""
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    """Agents whose definition changed under the same name."""
    agents: tuple[Mapping[str, Any], ...] = ()
    """Definitions of the added and the changed agents."""
    process: str = ""
    """``HOST:PID`` of the process that swapped."""

    @property
    def run_id(self) -> str:
        """What stands for a run's id in messages on records."""
        return self.change_id


Record = RunRecord | DecisionRecord | StepRecord | MessageRecord | OutcomeRecord | PoolChangeRecord


def task_hash(text: str, context: str | None = None, history: Iterable[Mapping[str, str]] = ()) -> str:
    """Returns the hash by which equal tasks are known: 32 hexadecimal digits.

    Args:
        text: The task's text.
        context: Its material, where there is some.
        history: Earlier turns, each with ``role`` and ``content``.

    >>> task_hash("What is 2 + 2?") == task_hash("What is 2 + 2?", None, [])
    True
    """
    turns = [[turn.get("role"), turn.get("content")] for turn in history]
    parts = json.dumps([text, context, turns], ensure_ascii=True)
    return hashlib.sha256(parts.encode()).hexdigest()[:32]


def step_of(record: StepRecord) -> Step:
    """Returns what a stored step (a record, or a row with the same fields) says of its node."""
    return Step(
        node=record.node,
        agent=record.agent,
        round=record.round,
        answer=record.answer or "",
        score=record.score,
        error=record.error,
        skipped=record.skipped,
        prompt_tokens=record.prompt_tokens,
        completion_tokens=record.completion_tokens,
        cached_tokens=record.cached_tokens,
        calls=record.calls,
        cost=record.cost_usd,
        latency_s=record.latency_s or 0.0,
        backend=record.backend,
    )
