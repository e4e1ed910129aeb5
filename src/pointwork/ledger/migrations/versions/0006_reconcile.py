"""What the vendor's own record said of a call whose fate was unknown."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("attempt", sa.Column("looked_up_at", _time(), nullable=True))
    op.add_column("attempt", sa.Column("reconciled_at", _time(), nullable=True))
    op.add_column("attempt", sa.Column("reconciled_from", sa.String(), nullable=True))


def downgrade() -> None:
    for name in ("reconciled_from", "reconciled_at", "looked_up_at"):
        op.drop_column("attempt", name)


def _time() -> sa.DateTime:
    return sa.DateTime(timezone=True)
