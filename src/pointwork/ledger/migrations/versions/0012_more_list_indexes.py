"""What lists of tasks are narrowed by: their pack, and how they ended."""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(op.f("ix_task_pack_created_at"), "task", ["pack", "created_at"])
    op.create_index(op.f("ix_outcome_status_task_id"), "outcome", ["status", "task_id"])


def downgrade() -> None:
    op.drop_index(op.f("ix_outcome_status_task_id"), "outcome")
    op.drop_index(op.f("ix_task_pack_created_at"), "task")
