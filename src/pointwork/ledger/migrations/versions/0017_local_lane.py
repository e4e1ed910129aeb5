"""What waits for the local card, beside the model it holds."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("local_residency", sa.Column("lane", sa.String(), nullable=True))


def downgrade() -> None:
    op.drop_column("local_residency", "lane")
