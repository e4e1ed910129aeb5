"""What lists of tasks and approvals are read by."""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(op.f("ix_task_created_at_task_id"), "task", ["created_at", "task_id"])
    op.create_index(op.f("ix_task_caller_created_at"), "task", ["caller", "created_at"])
    op.create_index(op.f("ix_approval_task_id_state"), "approval", ["task_id", "state"])


def downgrade() -> None:
    op.drop_index(op.f("ix_approval_task_id_state"), "approval")
    op.drop_index(op.f("ix_task_caller_created_at"), "task")
    op.drop_index(op.f("ix_task_created_at_task_id"), "task")
