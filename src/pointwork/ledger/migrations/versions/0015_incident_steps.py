"""What owners did about incidents; audit records by kind, for pages of them."""

import sqlalchemy as sa
from alembic import op

import pointwork.ledger.columns

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(op.f("ix_audit_kind_sequence"), "audit", ["kind", "sequence"])
    op.create_index(op.f("ix_incident_occurred_at"), "incident", ["occurred_at"])
    op.create_table(
        "incident_step",
        sa.Column("task_id", sa.String(), nullable=False),
        sa.Column("code", sa.String(), nullable=False),
        sa.Column("step", sa.String(), nullable=False),
        sa.Column("taken_by", sa.String(), nullable=False),
        sa.Column("words", sa.String(), nullable=False),
        sa.Column("taken_at", pointwork.ledger.columns.UtcTime(), nullable=False),
        sa.CheckConstraint(
            "step IN ('reviewed','corrected','documented')", name=op.f("ck_incident_step_step")
        ),
        sa.ForeignKeyConstraint(
            ["task_id", "code"],
            ["incident.task_id", "incident.code"],
            name=op.f("fk_incident_step_incident"),
        ),
        sa.PrimaryKeyConstraint("task_id", "code", "step", name=op.f("pk_incident_step")),
    )


def downgrade() -> None:
    op.drop_table("incident_step")
    op.drop_index(op.f("ix_incident_occurred_at"), "incident")
    op.drop_index(op.f("ix_audit_kind_sequence"), "audit")
