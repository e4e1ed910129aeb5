"""The first ledger: tasks, vault, budgets, attempts, outcomes, audit chain, approvals, signals."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "approval",
        sa.Column("approval_id", sa.String(), nullable=False),
        sa.Column("task_id", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("approver", sa.String(), nullable=True),
        sa.Column("token_id", sa.String(), nullable=True),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("body", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "(state = 'waiting') = (closed_at IS NULL)", name=op.f("ck_approval_closed_once")
        ),
        sa.CheckConstraint(
            "state IN ('waiting','approved','rejected','expired','void')",
            name=op.f("ck_approval_state"),
        ),
        sa.PrimaryKeyConstraint("approval_id", name=op.f("pk_approval")),
    )
    op.create_index(
        op.f("ix_approval_state_opened_at"), "approval", ["state", "opened_at"], unique=False
    )
    op.create_table(
        "approver_key",
        sa.Column("key_id", sa.String(), nullable=False),
        sa.Column("approver", sa.String(), nullable=False),
        sa.Column("public_key", sa.String(), nullable=False),
        sa.Column("added_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("key_id", name=op.f("pk_approver_key")),
    )
    op.create_table(
        "audit",
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("task_id", sa.String(), nullable=True),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("record", sa.Text(), nullable=False),
        sa.Column("hash", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("sequence", name=op.f("pk_audit")),
    )
    op.create_index(op.f("ix_audit_task_id"), "audit", ["task_id"], unique=False)
    op.create_table(
        "budget_window",
        sa.Column("window_key", sa.String(), nullable=False),
        sa.Column("scope", sa.String(), nullable=False),
        sa.Column("period", sa.String(), nullable=False),
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("limit_nano_usd", sa.BigInteger(), nullable=False),
        sa.Column("limit_high_nano_usd", sa.BigInteger(), nullable=False),
        sa.Column("spent_nano_usd", sa.BigInteger(), nullable=False),
        sa.Column("reserved_nano_usd", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "limit_high_nano_usd >= limit_nano_usd", name=op.f("ck_budget_window_limit_high")
        ),
        sa.CheckConstraint(
            "limit_nano_usd >= 0 AND spent_nano_usd >= 0 AND reserved_nano_usd >= 0",
            name=op.f("ck_budget_window_not_negative"),
        ),
        sa.PrimaryKeyConstraint("window_key", name=op.f("pk_budget_window")),
    )
    op.create_table(
        "conversation_mark",
        sa.Column("conversation", sa.String(), nullable=False),
        sa.Column("sensitivity", sa.String(), nullable=False),
        sa.Column("task_id", sa.String(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("conversation", name=op.f("pk_conversation_mark")),
    )
    op.create_table(
        "decision",
        sa.Column("decision_id", sa.String(), nullable=False),
        sa.Column("task_id", sa.String(), nullable=False),
        sa.Column("bundle_sha256", sa.String(), nullable=False),
        sa.Column("effect", sa.String(), nullable=False),
        sa.Column("sensitivity", sa.String(), nullable=True),
        sa.Column("conversation", sa.String(), nullable=True),
        sa.Column("is_restricted", sa.Boolean(), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("decision_id", name=op.f("pk_decision")),
    )
    op.create_index(op.f("ix_decision_task_id"), "decision", ["task_id"], unique=False)
    op.create_table(
        "endpoint_health",
        sa.Column("endpoint", sa.String(), nullable=False),
        sa.Column("consecutive_failures", sa.Integer(), nullable=False),
        sa.Column("rate_limited_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_failure_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_failure_kind", sa.String(), nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("endpoint", name=op.f("pk_endpoint_health")),
    )
    op.create_table(
        "hold_part",
        sa.Column("part_id", sa.String(), nullable=False),
        sa.Column("task_id", sa.String(), nullable=False),
        sa.Column("decision_id", sa.String(), nullable=False),
        sa.Column("amount_nano_usd", sa.BigInteger(), nullable=False),
        sa.Column("task_ceiling_nano_usd", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("posted_nano_usd", sa.BigInteger(), nullable=False),
        sa.Column("settlement", sa.String(), nullable=False),
        sa.Column("price_version", sa.String(), nullable=False),
        sa.Column("expires_in_seconds", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(state = 'reserved') = (settled_at IS NULL)", name=op.f("ck_hold_part_settled_once")
        ),
        sa.CheckConstraint(
            "state IN ('reserved','posted','voided','expired')", name=op.f("ck_hold_part_state")
        ),
        sa.CheckConstraint(
            "amount_nano_usd >= 0 AND task_ceiling_nano_usd >= 0 AND posted_nano_usd >= 0",
            name=op.f("ck_hold_part_not_negative"),
        ),
        sa.PrimaryKeyConstraint("part_id", name=op.f("pk_hold_part")),
    )
    op.create_index(
        op.f("ix_hold_part_state_expires_at"), "hold_part", ["state", "expires_at"], unique=False
    )
    op.create_index(op.f("ix_hold_part_task_id"), "hold_part", ["task_id"], unique=False)
    op.create_table(
        "incident",
        sa.Column("task_id", sa.String(), nullable=False),
        sa.Column("code", sa.String(), nullable=False),
        sa.Column("detail", sa.String(), nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("task_id", "code", name=op.f("pk_incident")),
    )
    op.create_table(
        "local_residency",
        sa.Column("queue", sa.String(), nullable=False),
        sa.Column("model", sa.String(), nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("queue", name=op.f("pk_local_residency")),
    )
    op.create_table(
        "policy_revision",
        sa.Column("bundle_sha256", sa.String(), nullable=False),
        sa.Column("pack", sa.String(), nullable=False),
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("pack_sha256", sa.String(), nullable=False),
        sa.Column("canonical_json", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("bundle_sha256", name=op.f("pk_policy_revision")),
    )
    op.create_table(
        "task",
        sa.Column("task_id", sa.String(), nullable=False),
        sa.Column("request_digest", sa.String(), nullable=False),
        sa.Column("caller", sa.String(), nullable=False),
        sa.Column("pack", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("task_id", name=op.f("pk_task")),
    )
    op.create_table(
        "attempt",
        sa.Column("attempt_id", sa.String(), nullable=False),
        sa.Column("base_id", sa.String(), nullable=False),
        sa.Column("send", sa.Integer(), nullable=False),
        sa.Column("task_id", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("vendor", sa.String(), nullable=False),
        sa.Column("endpoint", sa.String(), nullable=False),
        sa.Column("site", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("estimate_nano_usd", sa.BigInteger(), nullable=False),
        sa.Column("failure", sa.String(), nullable=True),
        sa.Column("served_model", sa.String(), nullable=True),
        sa.Column("finish_reason", sa.String(), nullable=True),
        sa.Column("input_tokens", sa.BigInteger(), nullable=True),
        sa.Column("output_tokens", sa.BigInteger(), nullable=True),
        sa.Column("cached_input_tokens", sa.BigInteger(), nullable=True),
        sa.Column("cache_write_tokens", sa.BigInteger(), nullable=True),
        sa.Column("reasoning_tokens", sa.BigInteger(), nullable=True),
        sa.Column("cost_nano_usd", sa.BigInteger(), nullable=False),
        sa.Column("settlement", sa.String(), nullable=False),
        sa.Column("duration_ms", sa.BigInteger(), nullable=False),
        sa.Column("provider_request_id", sa.String(), nullable=False),
        sa.Column("unknown_placeholders", sa.Integer(), nullable=False),
        sa.Column("answer_digest", sa.String(), nullable=True),
        sa.Column("answer_bytes", sa.Integer(), nullable=True),
        sa.Column("answer_media_type", sa.String(), nullable=True),
        sa.Column("planned_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("unknown_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(state = 'planned') = (sent_at IS NULL)", name=op.f("ck_attempt_sent_at")
        ),
        sa.CheckConstraint(
            "state IN ('planned','sent','done','failed','unknown')", name=op.f("ck_attempt_state")
        ),
        sa.CheckConstraint(
            "estimate_nano_usd >= 0 AND cost_nano_usd >= 0", name=op.f("ck_attempt_not_negative")
        ),
        sa.ForeignKeyConstraint(
            ["attempt_id"], ["hold_part.part_id"], name=op.f("fk_attempt_hold_part")
        ),
        sa.PrimaryKeyConstraint("attempt_id", name=op.f("pk_attempt")),
    )
    op.create_index(op.f("ix_attempt_base_id"), "attempt", ["base_id"], unique=False)
    op.create_index(op.f("ix_attempt_task_id"), "attempt", ["task_id"], unique=False)
    op.create_table(
        "hold_part_window",
        sa.Column("part_id", sa.String(), nullable=False),
        sa.Column("window_key", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["part_id"], ["hold_part.part_id"], name=op.f("fk_hold_part_window_hold_part")
        ),
        sa.ForeignKeyConstraint(
            ["window_key"],
            ["budget_window.window_key"],
            name=op.f("fk_hold_part_window_budget_window"),
        ),
        sa.PrimaryKeyConstraint("part_id", "window_key", name=op.f("pk_hold_part_window")),
    )
    op.create_index(
        op.f("ix_hold_part_window_window_key"), "hold_part_window", ["window_key"], unique=False
    )
    op.create_table(
        "outcome",
        sa.Column("task_id", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("failure", sa.String(), nullable=True),
        sa.Column("class_source", sa.String(), nullable=False),
        sa.Column("task_class", sa.String(), nullable=True),
        sa.Column("served_model", sa.String(), nullable=True),
        sa.Column("is_restricted", sa.Boolean(), nullable=False),
        sa.Column("cost_nano_usd", sa.BigInteger(), nullable=False),
        sa.Column("settlement", sa.String(), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("audit_sequence", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.CheckConstraint("cost_nano_usd >= 0", name=op.f("ck_outcome_not_negative")),
        sa.ForeignKeyConstraint(
            ["audit_sequence"], ["audit.sequence"], name=op.f("fk_outcome_audit")
        ),
        sa.PrimaryKeyConstraint("task_id", name=op.f("pk_outcome")),
    )
    op.create_index(op.f("ix_outcome_audit_sequence"), "outcome", ["audit_sequence"], unique=True)
    op.create_index(op.f("ix_outcome_finished_at"), "outcome", ["finished_at"], unique=False)
    op.create_table(
        "overrun",
        sa.Column("part_id", sa.String(), nullable=False),
        sa.Column("task_id", sa.String(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("held_nano_usd", sa.BigInteger(), nullable=False),
        sa.Column("cost_nano_usd", sa.BigInteger(), nullable=False),
        sa.Column("excess_nano_usd", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("excess_nano_usd > 0", name=op.f("ck_overrun_excess")),
        sa.CheckConstraint(
            "held_nano_usd >= 0 AND cost_nano_usd >= 0", name=op.f("ck_overrun_not_negative")
        ),
        sa.ForeignKeyConstraint(
            ["part_id"], ["hold_part.part_id"], name=op.f("fk_overrun_hold_part")
        ),
        sa.PrimaryKeyConstraint("part_id", name=op.f("pk_overrun")),
    )
    op.create_index(op.f("ix_overrun_task_id"), "overrun", ["task_id"], unique=False)
    op.create_table(
        "used_token",
        sa.Column("token_id", sa.String(), nullable=False),
        sa.Column("approval_id", sa.String(), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["approval_id"], ["approval.approval_id"], name=op.f("fk_used_token_approval")
        ),
        sa.PrimaryKeyConstraint("token_id", name=op.f("pk_used_token")),
    )
    op.create_table(
        "vault_key",
        sa.Column("task_id", sa.String(), nullable=False),
        sa.Column("master_key_id", sa.String(), nullable=False),
        sa.Column("wrapped", sa.LargeBinary(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("erased_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["task_id"], ["task.task_id"], name=op.f("fk_vault_key_task")),
        sa.PrimaryKeyConstraint("task_id", name=op.f("pk_vault_key")),
    )
    op.create_table(
        "vault_content",
        sa.Column("task_id", sa.String(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("media_type", sa.String(), nullable=False),
        sa.Column("bytes_count", sa.Integer(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["task_id"], ["vault_key.task_id"], name=op.f("fk_vault_content_vault_key")
        ),
        sa.PrimaryKeyConstraint("task_id", "digest", "media_type", name=op.f("pk_vault_content")),
    )


def downgrade() -> None:
    op.drop_table("vault_content")
    op.drop_table("vault_key")
    op.drop_table("used_token")
    op.drop_index(op.f("ix_overrun_task_id"), table_name="overrun")
    op.drop_table("overrun")
    op.drop_index(op.f("ix_outcome_finished_at"), table_name="outcome")
    op.drop_index(op.f("ix_outcome_audit_sequence"), table_name="outcome")
    op.drop_table("outcome")
    op.drop_index(op.f("ix_hold_part_window_window_key"), table_name="hold_part_window")
    op.drop_table("hold_part_window")
    op.drop_index(op.f("ix_attempt_task_id"), table_name="attempt")
    op.drop_index(op.f("ix_attempt_base_id"), table_name="attempt")
    op.drop_table("attempt")
    op.drop_table("task")
    op.drop_table("policy_revision")
    op.drop_table("local_residency")
    op.drop_table("incident")
    op.drop_index(op.f("ix_hold_part_task_id"), table_name="hold_part")
    op.drop_index(op.f("ix_hold_part_state_expires_at"), table_name="hold_part")
    op.drop_table("hold_part")
    op.drop_table("endpoint_health")
    op.drop_index(op.f("ix_decision_task_id"), table_name="decision")
    op.drop_table("decision")
    op.drop_table("conversation_mark")
    op.drop_table("budget_window")
    op.drop_index(op.f("ix_audit_task_id"), table_name="audit")
    op.drop_table("audit")
    op.drop_table("approver_key")
    op.drop_index(op.f("ix_approval_state_opened_at"), table_name="approval")
    op.drop_table("approval")
