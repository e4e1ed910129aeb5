"""Sealed contents outside the table, live data keys by age, and master keys that were rotated."""

import uuid

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

LIVE = sa.text("wrapped IS NOT NULL")


def upgrade() -> None:
    op.add_column("vault_content", sa.Column("object_name", sa.String(), nullable=True))
    op.create_index(
        op.f("ix_vault_key_created_at_task_id"),
        "vault_key",
        ["created_at", "task_id"],
        sqlite_where=LIVE,
        postgresql_where=LIVE,
    )
    op.create_table(
        "superseded_master_key",
        sa.Column("key_id", sa.String(), nullable=False),
        sa.Column("superseded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("retired_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("key_id", name=op.f("pk_superseded_master_key")),
    )
    identity = op.create_table(
        "ledger_identity",
        sa.Column("ledger_id", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("ledger_id", name=op.f("pk_ledger_identity")),
    )
    op.bulk_insert(identity, [{"ledger_id": uuid.uuid4().hex}])


def downgrade() -> None:
    op.drop_table("ledger_identity")
    op.drop_table("superseded_master_key")
    op.drop_index(op.f("ix_vault_key_created_at_task_id"), "vault_key")
    op.drop_column("vault_content", "object_name")
