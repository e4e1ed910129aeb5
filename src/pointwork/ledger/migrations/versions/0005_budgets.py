"""Limits that owners set, what people were told and allowed, and hard stops."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Column by column: SQLite would rebuild the table for more, and holds refer to its rows.
    op.add_column(
        "budget_window",
        sa.Column("limit_version", sa.BigInteger(), nullable=False, server_default="0"),
    )
    op.add_column("budget_window", sa.Column("alerted_version", sa.BigInteger(), nullable=True))
    op.add_column(
        "budget_window", sa.Column("stopped_at", sa.DateTime(timezone=True), nullable=True)
    )
    op.create_table(
        "budget_setting",
        sa.Column("version", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("pack", sa.String(), nullable=False),
        sa.Column("scope", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("period", sa.String(), nullable=False),
        sa.Column("limit_nano_usd", sa.BigInteger(), nullable=True),
        sa.Column("alert_ratio", sa.Numeric(5, 4), nullable=True),
        sa.Column("set_by", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("set_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "limit_nano_usd IS NULL OR limit_nano_usd >= 0", name=op.f("ck_budget_setting_limit")
        ),
        sa.CheckConstraint(
            "alert_ratio IS NULL OR (alert_ratio > 0 AND alert_ratio < 1)",
            name=op.f("ck_budget_setting_alert"),
        ),
        sa.PrimaryKeyConstraint("version", name=op.f("pk_budget_setting")),
    )
    op.create_index(op.f("ix_budget_setting_pack"), "budget_setting", ["pack"], unique=False)
    op.create_table(
        "budget_allowance",
        sa.Column("part_id", sa.String(), nullable=False),
        sa.Column("window_key", sa.String(), nullable=False),
        sa.Column("approval_id", sa.String(), nullable=False),
        sa.Column("amount_nano_usd", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("amount_nano_usd >= 0", name=op.f("ck_budget_allowance_not_negative")),
        sa.ForeignKeyConstraint(
            ["part_id"], ["hold_part.part_id"], name=op.f("fk_budget_allowance_hold_part")
        ),
        sa.ForeignKeyConstraint(
            ["window_key"],
            ["budget_window.window_key"],
            name=op.f("fk_budget_allowance_budget_window"),
        ),
        sa.ForeignKeyConstraint(
            ["approval_id"], ["approval.approval_id"], name=op.f("fk_budget_allowance_approval")
        ),
        sa.PrimaryKeyConstraint("part_id", "window_key", name=op.f("pk_budget_allowance")),
    )
    op.create_index(
        op.f("ix_budget_allowance_window_key"), "budget_allowance", ["window_key"], unique=False
    )
    op.create_table(
        "budget_alert",
        sa.Column("alert_id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("task_id", sa.String(), nullable=False),
        sa.Column("amount_nano_usd", sa.BigInteger(), nullable=False),
        sa.Column("limit_nano_usd", sa.BigInteger(), nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("seen_by", sa.String(), nullable=True),
        sa.CheckConstraint(
            "kind IN ('near','reached','stopped','overrun')", name=op.f("ck_budget_alert_kind")
        ),
        sa.CheckConstraint(
            "(seen_at IS NULL) = (seen_by IS NULL)", name=op.f("ck_budget_alert_seen")
        ),
        sa.PrimaryKeyConstraint("alert_id", name=op.f("pk_budget_alert")),
    )
    op.create_index(
        op.f("ix_budget_alert_seen_at_occurred_at"),
        "budget_alert",
        ["seen_at", "occurred_at"],
        unique=False,
    )


def downgrade() -> None:
    op.drop_table("budget_alert")
    op.drop_table("budget_allowance")
    op.drop_table("budget_setting")
    for name in ("stopped_at", "alerted_version", "limit_version"):
        op.drop_column("budget_window", name)
