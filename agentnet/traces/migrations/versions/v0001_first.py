"""The first schema: pools, runs, decisions, steps, messages, outcomes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

JSON = sa.JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")
MONEY = sa.Numeric().with_variant(sa.Text(), "sqlite")
BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Makes all tables."""
    op.create_table(
        "decisions",
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("turn", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("router", sa.String(), nullable=False),
        sa.Column("router_version", sa.String(), nullable=False),
        sa.Column("abstained", sa.Boolean(), nullable=False),
        sa.Column("graph", JSON, nullable=True),
        sa.Column("candidates", JSON, nullable=False),
        sa.Column("scores", JSON, nullable=False),
        sa.Column("calibration_id", sa.String(), nullable=True),
        sa.Column("propensity", sa.Double(), nullable=True),
        sa.Column("evidence", JSON, nullable=False),
        sa.Column("latency_s", sa.Double(), nullable=True),
        sa.Column("router_cost_usd", MONEY, nullable=True),
        sa.PrimaryKeyConstraint(
            "run_id", "turn", "role", "router", "router_version", name=op.f("pk_decisions")
        ),
    )
    op.create_index(
        op.f("ix_decisions_router_router_version"), "decisions", ["router", "router_version"], unique=False
    )
    op.create_table(
        "messages",
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("step_seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("content", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("run_id", "step_seq", "seq", name=op.f("pk_messages")),
    )
    op.create_table(
        "outcomes",
        sa.Column("id", BIG_ID, autoincrement=True, nullable=False),
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("step_seq", sa.BigInteger(), nullable=False),
        sa.Column("judge", sa.String(), nullable=False),
        sa.Column("judged_at", sa.Double(), nullable=False),
        sa.Column("score", sa.Double(), nullable=False),
        sa.Column("weight", sa.Double(), nullable=False),
        sa.Column("note", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outcomes")),
        sa.UniqueConstraint(
            "run_id",
            "step_seq",
            "judge",
            "judged_at",
            name=op.f("uq_outcomes_run_id_step_seq_judge_judged_at"),
        ),
    )
    op.create_index(op.f("ix_outcomes_judged_at"), "outcomes", ["judged_at"], unique=False)
    op.create_table(
        "pools",
        sa.Column("pool_version", sa.String(), nullable=False),
        sa.Column("agents", JSON, nullable=False),
        sa.Column("first_seen", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("pool_version", name=op.f("pk_pools")),
    )
    op.create_table(
        "runs",
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("started_at", sa.Double(), nullable=False),
        sa.Column("ended_at", sa.Double(), nullable=True),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("task_text", sa.Text(), nullable=True),
        sa.Column("task_context", sa.Text(), nullable=True),
        sa.Column("task_history", JSON, nullable=False),
        sa.Column("task_hash", sa.String(), nullable=False),
        sa.Column("task_id", sa.String(), nullable=True),
        sa.Column("session_id", sa.String(), nullable=True),
        sa.Column("batch_id", sa.String(), nullable=True),
        sa.Column("answer", sa.Text(), nullable=True),
        sa.Column("pool_version", sa.String(), nullable=False),
        sa.Column("cost_usd", MONEY, nullable=True),
        sa.Column("prompt_tokens", sa.BigInteger(), nullable=True),
        sa.Column("completion_tokens", sa.BigInteger(), nullable=True),
        sa.Column("calls", sa.BigInteger(), nullable=False),
        sa.Column("latency_s", sa.Double(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("tags", JSON, nullable=False),
        sa.Column("gold", sa.Text(), nullable=True),
        sa.Column("metric", sa.String(), nullable=True),
        sa.Column("task_label", sa.String(), nullable=True),
        sa.Column("split", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_runs")),
    )
    op.create_index(op.f("ix_runs_batch_id_task_id"), "runs", ["batch_id", "task_id"], unique=False)
    op.create_index(op.f("ix_runs_started_at"), "runs", ["started_at"], unique=False)
    op.create_index(op.f("ix_runs_task_hash"), "runs", ["task_hash"], unique=False)
    op.create_table(
        "steps",
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("turn", sa.BigInteger(), nullable=False),
        sa.Column("round", sa.BigInteger(), nullable=False),
        sa.Column("node", sa.String(), nullable=False),
        sa.Column("agent", sa.String(), nullable=False),
        sa.Column("backend", sa.String(), nullable=True),
        sa.Column("strategy", sa.String(), nullable=False),
        sa.Column("answer", sa.Text(), nullable=True),
        sa.Column("score", sa.Double(), nullable=True),
        sa.Column("skipped", sa.Boolean(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("prompt_tokens", sa.BigInteger(), nullable=True),
        sa.Column("completion_tokens", sa.BigInteger(), nullable=True),
        sa.Column("cached_tokens", sa.BigInteger(), nullable=True),
        sa.Column("calls", sa.BigInteger(), nullable=False),
        sa.Column("cost_usd", MONEY, nullable=True),
        sa.Column("cost_source", sa.String(), nullable=True),
        sa.Column("started_at", sa.Double(), nullable=True),
        sa.Column("latency_s", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("run_id", "seq", name=op.f("pk_steps")),
    )


def downgrade() -> None:
    """Drops all tables."""
    op.drop_table("steps")
    op.drop_index(op.f("ix_runs_task_hash"), table_name="runs")
    op.drop_index(op.f("ix_runs_started_at"), table_name="runs")
    op.drop_index(op.f("ix_runs_batch_id_task_id"), table_name="runs")
    op.drop_table("runs")
    op.drop_table("pools")
    op.drop_index(op.f("ix_outcomes_judged_at"), table_name="outcomes")
    op.drop_table("outcomes")
    op.drop_table("messages")
    op.drop_index(op.f("ix_decisions_router_router_version"), table_name="decisions")
    op.drop_table("decisions")
