"""Bulk runs and their items."""

import sqlalchemy as sa
from alembic import op

import pointwork.ledger.columns

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "bulk_run",
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("caller", sa.String(), nullable=False),
        sa.Column("pack", sa.String(), nullable=False),
        sa.Column("declared_sha256", sa.String(), nullable=False),
        sa.Column("item_count", sa.Integer(), nullable=False),
        sa.Column("in_flight_max", sa.Integer(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("handed_position", sa.Integer(), nullable=False),
        sa.Column("created_at", pointwork.ledger.columns.UtcTime(), nullable=False),
        sa.Column("sealed_at", pointwork.ledger.columns.UtcTime(), nullable=True),
        sa.Column("ended_at", pointwork.ledger.columns.UtcTime(), nullable=True),
        sa.CheckConstraint(
            "item_count >= 0 AND in_flight_max >= 0 AND handed_position >= 0",
            name=op.f("ck_bulk_run_not_negative"),
        ),
        sa.CheckConstraint(
            "state IN ('sealing','sealed','completed','cancelled')", name=op.f("ck_bulk_run_state")
        ),
        sa.CheckConstraint(
            "(state IN ('completed','cancelled')) = (ended_at IS NOT NULL)",
            name=op.f("ck_bulk_run_ended_once"),
        ),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_bulk_run")),
    )
    op.create_index(op.f("ix_bulk_run_created_at_run_id"), "bulk_run", ["created_at", "run_id"])
    op.create_table(
        "bulk_item",
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("item_id", sa.String(), nullable=False),
        sa.Column("task_id", sa.String(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["run_id"], ["bulk_run.run_id"], name=op.f("fk_bulk_item_bulk_run")
        ),
        sa.ForeignKeyConstraint(["task_id"], ["task.task_id"], name=op.f("fk_bulk_item_task")),
        sa.PrimaryKeyConstraint("run_id", "position", name=op.f("pk_bulk_item")),
    )
    op.create_index(op.f("ix_bulk_item_task_id"), "bulk_item", ["task_id"], unique=True)


def downgrade() -> None:
    op.drop_table("bulk_item")
    op.drop_table("bulk_run")
