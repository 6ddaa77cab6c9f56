"""Agents that were added to a served pool, removed from it or changed in it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

JSON = sa.JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")


def upgrade() -> None:
    """Makes the table."""
    op.create_table(
        "pool_changes",
        sa.Column("change_id", sa.String(), nullable=False),
        sa.Column("pool_id", sa.String(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("changed_at", sa.Double(), nullable=False),
        sa.Column("pool_version", sa.String(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("added", JSON, nullable=False),
        sa.Column("removed", JSON, nullable=False),
        sa.Column("changed", JSON, nullable=False),
        sa.Column("agents", JSON, nullable=False),
        sa.Column("process", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("change_id", name=op.f("pk_pool_changes")),
    )
    op.create_index(op.f("ix_pool_changes_changed_at"), "pool_changes", ["changed_at"], unique=False)


def downgrade() -> None:
    """Drops the table."""
    op.drop_index(op.f("ix_pool_changes_changed_at"), table_name="pool_changes")
    op.drop_table("pool_changes")
