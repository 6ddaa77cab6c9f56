"""The tables of the trace store, as SQLAlchemy models.

Rows are linked by ``run_id`` without foreign keys: several processes write, each in its own batches, and
a judgement may be committed before the run it judges. A row of its own is never half written, for each
batch is one transaction.

Money is exact: NUMERIC on PostgreSQL, decimal text on SQLite (which has no exact decimals). NULL is
unknown and is never read as zero.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Dialect,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    String,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator, TypeEngine

RUN_ITSELF = -1
"""``step_seq`` of a judgement of the whole run: a number, for NULLs are all distinct to UNIQUE."""


class Money(TypeDecorator[Decimal]):
    """USD without rounding: NUMERIC, or text where the database has no exact decimals."""

    impl = Numeric
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Returns the column's type in a database."""
        exact = dialect.name == "postgresql"
        return dialect.type_descriptor(Numeric(asdecimal=True) if exact else Text())

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> Any:
        """Turns money into what the driver stores."""
        if value is None or (isinstance(value, Decimal) and value.is_finite()):
            return value if value is None or dialect.name == "postgresql" else str(value)
        raise TypeError(f"money must be a finite Decimal or None; got {value!r}")

    def process_result_value(self, value: Any, dialect: Dialect) -> Decimal | None:
        """Turns what the driver returns into money."""
        return None if value is None else Decimal(value)


Json = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")
BigId = BigInteger().with_variant(Integer(), "sqlite")  # only INTEGER counts up by itself in SQLite


class Base(DeclarativeBase):
    """Base of the models; names every constraint, so that migrations can refer to them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy's own declaration
        str: String(),
        float: Double(),
        int: BigInteger(),
        bool: Boolean(),
        Decimal: Money(),
        dict[str, Any]: Json,
        list[Any]: Json,
    }


class PoolRow(Base):
    """The agents' definitions of one version of a pool."""

    __tablename__ = "pools"
    pool_version: Mapped[str] = mapped_column(primary_key=True)
    agents: Mapped[list[Any]]
    first_seen: Mapped[float]


class RunRow(Base):
    """One run of one task."""

    __tablename__ = "runs"
    __table_args__ = (
        Index(None, "started_at"),
        Index(None, "batch_id", "task_id"),
        Index(None, "task_hash"),
    )
    run_id: Mapped[str] = mapped_column(primary_key=True)
    started_at: Mapped[float]
    ended_at: Mapped[float | None]
    status: Mapped[str]
    task_text: Mapped[str | None] = mapped_column(Text)
    task_context: Mapped[str | None] = mapped_column(Text)
    task_history: Mapped[list[Any]]
    task_hash: Mapped[str]
    task_id: Mapped[str | None]
    session_id: Mapped[str | None]
    batch_id: Mapped[str | None]
    answer: Mapped[str | None] = mapped_column(Text)
    pool_version: Mapped[str]
    cost_usd: Mapped[Decimal | None]
    prompt_tokens: Mapped[int | None]
    completion_tokens: Mapped[int | None]
    calls: Mapped[int]
    latency_s: Mapped[float | None]
    error: Mapped[str | None] = mapped_column(Text)
    kind: Mapped[str]
    tags: Mapped[dict[str, Any]]
    gold: Mapped[str | None] = mapped_column(Text)
    metric: Mapped[str | None]
    task_label: Mapped[str | None]
    split: Mapped[str | None]


class DecisionRow(Base):
    """One decision of a router in a run."""

    __tablename__ = "decisions"
    __table_args__ = (Index(None, "router", "router_version"),)
    run_id: Mapped[str] = mapped_column(primary_key=True)
    turn: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    role: Mapped[str] = mapped_column(primary_key=True)
    router: Mapped[str] = mapped_column(primary_key=True)
    router_version: Mapped[str] = mapped_column(primary_key=True)
    abstained: Mapped[bool]
    graph: Mapped[dict[str, Any] | None]
    candidates: Mapped[list[Any]]
    scores: Mapped[dict[str, Any]]
    calibration_id: Mapped[str | None]
    propensity: Mapped[float | None]
    evidence: Mapped[dict[str, Any]]
    latency_s: Mapped[float | None]
    router_cost_usd: Mapped[Decimal | None]


class StepRow(Base):
    """What one node did in one round."""

    __tablename__ = "steps"
    run_id: Mapped[str] = mapped_column(primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    turn: Mapped[int]
    round: Mapped[int]
    node: Mapped[str]
    agent: Mapped[str]
    backend: Mapped[str | None]
    strategy: Mapped[str]
    answer: Mapped[str | None] = mapped_column(Text)
    score: Mapped[float | None]
    skipped: Mapped[bool]
    error: Mapped[str | None] = mapped_column(Text)
    prompt_tokens: Mapped[int | None]
    completion_tokens: Mapped[int | None]
    cached_tokens: Mapped[int | None]
    calls: Mapped[int]
    cost_usd: Mapped[Decimal | None]
    cost_source: Mapped[str | None]
    started_at: Mapped[float | None]
    latency_s: Mapped[float | None]


class MessageRow(Base):
    """One message of a step."""

    __tablename__ = "messages"
    run_id: Mapped[str] = mapped_column(primary_key=True)
    step_seq: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    seq: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    role: Mapped[str]
    content: Mapped[str | None] = mapped_column(Text)


class OutcomeRow(Base):
    """A judgement of a run or of one of its steps."""

    __tablename__ = "outcomes"
    __table_args__ = (
        UniqueConstraint("run_id", "step_seq", "judge", "judged_at"),
        Index(None, "judged_at"),
    )
    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    run_id: Mapped[str]
    step_seq: Mapped[int] = mapped_column(default=RUN_ITSELF)
    judge: Mapped[str]
    judged_at: Mapped[float]
    score: Mapped[float]
    weight: Mapped[float]
    note: Mapped[str | None] = mapped_column(Text)


class PoolChangeRow(Base):
    """One swap of a served pool."""

    __tablename__ = "pool_changes"
    __table_args__ = (Index(None, "changed_at"),)
    change_id: Mapped[str] = mapped_column(primary_key=True)
    pool_id: Mapped[str]
    revision: Mapped[int]
    changed_at: Mapped[float]
    pool_version: Mapped[str]
    size: Mapped[int]
    added: Mapped[list[Any]]
    removed: Mapped[list[Any]]
    changed: Mapped[list[Any]]
    agents: Mapped[list[Any]]
    process: Mapped[str]


class SharedStateRow(Base):
    """A named state that several processes change in turn, for example what a router has learned."""

    __tablename__ = "shared_states"
    name: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int]
    """How many changes were committed; 0 before the first."""
    payload: Mapped[bytes | None] = mapped_column(LargeBinary)
    changed_at: Mapped[float]


class AppliedKeyRow(Base):
    """An item that was applied to a shared state: by its key it is never applied again."""

    __tablename__ = "applied_keys"
    __table_args__ = (Index(None, "name", "applied_at"),)
    name: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int]
    """The state's version that it went into."""
    applied_at: Mapped[float]


class RegistryVersionRow(Base):
    """A router that a registry keeps."""

    __tablename__ = "registry_versions"
    id: Mapped[str] = mapped_column(primary_key=True)
    router: Mapped[str]
    created_at: Mapped[float]
    parent: Mapped[str | None]
    data: Mapped[str]
    metrics: Mapped[dict[str, Any]]
    note: Mapped[str] = mapped_column(Text)
    content: Mapped[str]
    """Hash of all that decides how it serves."""


class RegistryFileRow(Base):
    """A piece of a file of a kept router's folder."""

    __tablename__ = "registry_files"
    version: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    part: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    content: Mapped[bytes] = mapped_column(LargeBinary)


class RegistryStateRow(Base):
    """What serves; one row."""

    __tablename__ = "registry_states"
    name: Mapped[str] = mapped_column(primary_key=True)
    revision: Mapped[int]
    book: Mapped[dict[str, Any]]
    """What serves, what watches, and what served before."""


class RegistryChangeRow(Base):
    """One change of what serves, or a rejection."""

    __tablename__ = "registry_changes"
    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    revision: Mapped[int]
    action: Mapped[str]
    version: Mapped[str]
    before: Mapped[str | None]
    at: Mapped[float]
    reason: Mapped[str] = mapped_column(Text)
    by: Mapped[str]
    share: Mapped[float]
    ended: Mapped[bool]
