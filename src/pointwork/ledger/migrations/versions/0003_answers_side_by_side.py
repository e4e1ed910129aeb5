"""Comparisons of answers given side by side, and the choices people made between them."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "answer_comparison",
        sa.Column("comparison_id", sa.String(), nullable=False),
        sa.Column("task_id", sa.String(), nullable=False),
        sa.Column("decision_id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("agree", sa.Boolean(), nullable=False),
        sa.Column("differences_count", sa.Integer(), nullable=False),
        sa.Column("compared_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.CheckConstraint("kind IN ('json','text')", name=op.f("ck_answer_comparison_kind")),
        sa.CheckConstraint(
            "differences_count >= 0", name=op.f("ck_answer_comparison_differences_count")
        ),
        sa.PrimaryKeyConstraint("comparison_id", name=op.f("pk_answer_comparison")),
    )
    op.create_index(
        op.f("ix_answer_comparison_task_id"), "answer_comparison", ["task_id"], unique=False
    )
    op.create_table(
        "answer_selection",
        sa.Column("task_id", sa.String(), nullable=False),
        sa.Column("approval_id", sa.String(), nullable=False),
        sa.Column("comparison_id", sa.String(), nullable=False),
        sa.Column("choice", sa.String(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("answer_digest", sa.String(), nullable=False),
        sa.Column("approver", sa.String(), nullable=False),
        sa.Column("token_id", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("chosen_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("approver <> ''", name=op.f("ck_answer_selection_approver")),
        sa.CheckConstraint(
            "choice IN ('A','B','C','D','E')", name=op.f("ck_answer_selection_choice")
        ),
        sa.ForeignKeyConstraint(
            ["approval_id"], ["approval.approval_id"], name=op.f("fk_answer_selection_approval")
        ),
        sa.ForeignKeyConstraint(
            ["comparison_id"],
            ["answer_comparison.comparison_id"],
            name=op.f("fk_answer_selection_answer_comparison"),
        ),
        sa.ForeignKeyConstraint(
            ["token_id"], ["used_token.token_id"], name=op.f("fk_answer_selection_used_token")
        ),
        sa.PrimaryKeyConstraint("task_id", name=op.f("pk_answer_selection")),
        sa.UniqueConstraint("approval_id", name=op.f("uq_answer_selection_approval_id")),
    )


def downgrade() -> None:
    op.drop_table("answer_selection")
    op.drop_index(op.f("ix_answer_comparison_task_id"), table_name="answer_comparison")
    op.drop_table("answer_comparison")
