"""How much of a second's requests the gateway's replicas have taken."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "rate_lease",
        sa.Column("second", sa.BigInteger(), nullable=False),
        sa.Column("holder", sa.String(), nullable=False),
        sa.Column("granted", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("second", "holder", name=op.f("pk_rate_lease")),
    )


def downgrade() -> None:
    op.drop_table("rate_lease")
