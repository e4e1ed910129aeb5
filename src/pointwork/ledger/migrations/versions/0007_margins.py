"""What vendors bill above the bound of a call, and what each call holds for that."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "model_margin",
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("margin_nano_usd", sa.BigInteger(), nullable=False),
        sa.Column("first_billed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("renewed_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("margin_nano_usd >= 0", name=op.f("ck_model_margin_not_negative")),
        sa.PrimaryKeyConstraint("model", name=op.f("pk_model_margin")),
    )
    op.execute(
        "INSERT INTO model_margin (model, margin_nano_usd, first_billed_at) "
        "SELECT model, 0, MIN(closed_at) FROM attempt "
        "WHERE state = 'done' AND settlement = 'exact' AND site <> 'local' AND closed_at IS NOT NULL "
        "GROUP BY model"
    )
    op.add_column(
        "hold_part",
        sa.Column("margin_nano_usd", sa.BigInteger(), nullable=False, server_default="0"),
    )


def downgrade() -> None:
    op.drop_column("hold_part", "margin_nano_usd")
    op.drop_table("model_margin")
