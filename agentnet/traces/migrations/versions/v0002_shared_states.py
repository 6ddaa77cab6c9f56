"""Named states that several processes share, and the keys of what was applied to them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Makes both tables."""
    op.create_table(
        "shared_states",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=True),
        sa.Column("changed_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_shared_states")),
    )
    op.create_table(
        "applied_keys",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("applied_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("name", "key", name=op.f("pk_applied_keys")),
    )
    op.create_index(
        op.f("ix_applied_keys_name_applied_at"), "applied_keys", ["name", "applied_at"], unique=False
    )


def downgrade() -> None:
    """Drops both tables."""
    op.drop_index(op.f("ix_applied_keys_name_applied_at"), table_name="applied_keys")
    op.drop_table("applied_keys")
    op.drop_table("shared_states")
