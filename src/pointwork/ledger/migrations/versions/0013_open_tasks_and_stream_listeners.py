"""Which tasks have not ended, for lists of them; who listens while an answer is written."""

import sqlalchemy as sa
from alembic import op

import pointwork.ledger.columns

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "task", sa.Column("is_open", sa.Boolean(), nullable=False, server_default=sa.true())
    )
    op.execute(
        "UPDATE task SET is_open = FALSE WHERE task_id IN (SELECT task_id FROM outcome)"
    )
    op.create_index(
        op.f("ix_task_open"),
        "task",
        ["created_at", "task_id"],
        sqlite_where=sa.text("is_open = 1"),
        postgresql_where=sa.text("is_open"),
    )
    op.create_table(
        "stream_listener",
        sa.Column("task_id", sa.String(), nullable=False),
        sa.Column("url", sa.String(), nullable=False),
        sa.Column("expires_at", pointwork.ledger.columns.UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("task_id", name=op.f("pk_stream_listener")),
    )


def downgrade() -> None:
    op.drop_table("stream_listener")
    op.drop_index(op.f("ix_task_open"), "task")
    op.drop_column("task", "is_open")
