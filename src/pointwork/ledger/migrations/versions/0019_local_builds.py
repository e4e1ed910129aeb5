"""What local calls ran on and used, and which build of each local model a host loaded last."""

import sqlalchemy as sa
from alembic import op

import pointwork.ledger.columns

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("attempt", sa.Column("seed", sa.BigInteger(), nullable=True))
    op.add_column("attempt", sa.Column("local_run", sa.Text(), nullable=True))
    op.add_column("attempt", sa.Column("energy_millijoules", sa.BigInteger(), nullable=True))
    op.add_column("attempt", sa.Column("electricity_nano_usd", sa.BigInteger(), nullable=True))
    op.create_table(
        "local_model_build",
        sa.Column("host", sa.String(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("runtime", sa.String(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("loaded_at", pointwork.ledger.columns.UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("host", "model", "runtime", name=op.f("pk_local_model_build")),
    )


def downgrade() -> None:
    op.drop_table("local_model_build")
    op.drop_column("attempt", "electricity_nano_usd")
    op.drop_column("attempt", "energy_millijoules")
    op.drop_column("attempt", "local_run")
    op.drop_column("attempt", "seed")
