"""Routers by version, and which of them serves."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

JSON = sa.JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")
BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Makes the tables."""
    op.create_table(
        "registry_versions",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("router", sa.String(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("parent", sa.String(), nullable=True),
        sa.Column("data", sa.String(), nullable=False),
        sa.Column("metrics", JSON, nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("content", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_registry_versions")),
    )
    op.create_table(
        "registry_files",
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("part", sa.BigInteger(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("version", "name", "part", name=op.f("pk_registry_files")),
    )
    op.create_table(
        "registry_states",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("book", JSON, nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_registry_states")),
    )
    op.create_table(
        "registry_changes",
        sa.Column("id", BIG_ID, autoincrement=True, nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("before", sa.String(), nullable=True),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("share", sa.Double(), nullable=False),
        sa.Column("ended", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_registry_changes")),
    )


def downgrade() -> None:
    """Drops the tables."""
    for table in ("registry_changes", "registry_states", "registry_files", "registry_versions"):
        op.drop_table(table)
