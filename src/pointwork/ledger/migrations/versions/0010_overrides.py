"""Overrides: what was asked, how it ended, and each task that one moved."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

OPEN = sa.text("ended_at IS NULL")


def upgrade() -> None:
    op.create_table(
        "route_override",
        sa.Column("override_id", sa.String(), nullable=False),
        sa.Column("approval_id", sa.String(), nullable=False),
        sa.Column("pack", sa.String(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("scope", sa.String(), nullable=False),
        sa.Column("task_id", sa.String(), nullable=True),
        sa.Column("conversation", sa.String(), nullable=True),
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("duration", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("requester", sa.String(), nullable=False),
        sa.Column("cost_impact_nano_usd", sa.BigInteger(), nullable=False),
        sa.Column("policy_sha256", sa.String(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("session_ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("used_by", sa.String(), nullable=True),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_as", sa.String(), nullable=True),
        sa.Column("ended_by", sa.String(), nullable=True),
        sa.Column("ended_reason", sa.String(), nullable=True),
        sa.Column("body", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "cost_impact_nano_usd >= 0", name=op.f("ck_route_override_not_negative")
        ),
        sa.CheckConstraint(
            "scope IN ('task','session','period')", name=op.f("ck_route_override_scope")
        ),
        sa.CheckConstraint(
            "duration IN ('single_use','session','time_limited','indefinite')",
            name=op.f("ck_route_override_duration"),
        ),
        sa.CheckConstraint(
            "ended_as IN ('revoked','struck','ended')", name=op.f("ck_route_override_ended_as")
        ),
        sa.CheckConstraint(
            "(ended_at IS NULL) = (ended_as IS NULL)", name=op.f("ck_route_override_ended_once")
        ),
        sa.CheckConstraint(
            "(used_by IS NULL) = (used_at IS NULL)", name=op.f("ck_route_override_used_once")
        ),
        sa.PrimaryKeyConstraint("override_id", name=op.f("pk_route_override")),
    )
    for columns in (["pack", "ends_at"], ["conversation"]):
        op.create_index(
            op.f(f"ix_route_override_{'_'.join(columns)}"),
            "route_override",
            columns,
            sqlite_where=OPEN,
            postgresql_where=OPEN,
        )
    op.create_table(
        "override_use",
        sa.Column("override_id", sa.String(), nullable=False),
        sa.Column("task_id", sa.String(), nullable=False),
        sa.Column("decision_id", sa.String(), nullable=False),
        sa.Column("original_route", sa.String(), nullable=False),
        sa.Column("overridden_route", sa.String(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "outcome IN ('success','failure')", name=op.f("ck_override_use_outcome")
        ),
        sa.ForeignKeyConstraint(
            ["override_id"],
            ["route_override.override_id"],
            name=op.f("fk_override_use_route_override"),
        ),
        sa.ForeignKeyConstraint(
            ["decision_id"], ["decision.decision_id"], name=op.f("fk_override_use_decision")
        ),
        sa.PrimaryKeyConstraint("override_id", "task_id", name=op.f("pk_override_use")),
    )
    op.create_index(op.f("ix_override_use_task_id"), "override_use", ["task_id"])


def downgrade() -> None:
    op.drop_index(op.f("ix_override_use_task_id"), "override_use")
    op.drop_table("override_use")
    op.drop_index(op.f("ix_route_override_conversation"), "route_override")
    op.drop_index(op.f("ix_route_override_pack_ends_at"), "route_override")
    op.drop_table("route_override")
