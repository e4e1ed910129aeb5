"""Promote/demote overlays, ratings of answers, and the response cache."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(op.f("ix_attempt_sent_at"), "attempt", ["sent_at"], unique=False)
    op.create_table(
        "policy_overlay",
        sa.Column("pack", sa.String(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("parent", sa.BigInteger(), nullable=True),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.CheckConstraint("version >= 1", name=op.f("ck_policy_overlay_version")),
        sa.PrimaryKeyConstraint("pack", "version", name=op.f("pk_policy_overlay")),
    )
    op.create_table(
        "task_feedback",
        sa.Column("task_id", sa.String(), nullable=False),
        sa.Column("rated_by", sa.String(), nullable=False),
        sa.Column("rating", sa.Integer(), nullable=False),
        sa.Column("rated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("rating BETWEEN 1 AND 5", name=op.f("ck_task_feedback_rating")),
        sa.ForeignKeyConstraint(["task_id"], ["task.task_id"], name=op.f("fk_task_feedback_task")),
        sa.PrimaryKeyConstraint("task_id", "rated_by", name=op.f("pk_task_feedback")),
    )
    op.create_table(
        "draft_review",
        sa.Column("draft_task_id", sa.String(), nullable=False),
        sa.Column("review_task_id", sa.String(), nullable=False),
        sa.Column("reviewed_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["review_task_id"], ["outcome.task_id"], name=op.f("fk_draft_review_outcome")
        ),
        sa.PrimaryKeyConstraint(
            "draft_task_id", "review_task_id", name=op.f("pk_draft_review")
        ),
    )
    op.create_table(
        "response_cache",
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("task_id", sa.String(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("bytes", sa.Integer(), nullable=False),
        sa.Column("media_type", sa.String(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("served_as", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("hits", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["task_id", "digest", "media_type"],
            ["vault_content.task_id", "vault_content.digest", "vault_content.media_type"],
            name=op.f("fk_response_cache_vault_content"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_response_cache")),
    )
    op.create_index(
        op.f("ix_response_cache_expires_at"), "response_cache", ["expires_at"], unique=False
    )
    op.create_index(op.f("ix_response_cache_task_id"), "response_cache", ["task_id"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_response_cache_task_id"), table_name="response_cache")
    op.drop_index(op.f("ix_response_cache_expires_at"), table_name="response_cache")
    op.drop_table("response_cache")
    op.drop_table("draft_review")
    op.drop_table("task_feedback")
    op.drop_table("policy_overlay")
    op.drop_index(op.f("ix_attempt_sent_at"), table_name="attempt")
