"""Activations: which version of a pack decides new tasks, where an owner said so."""

import sqlalchemy as sa
from alembic import op

import pointwork.ledger.columns

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "policy_activation",
        sa.Column("pack", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("bundle_sha256", sa.String(), nullable=False),
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("pack_sha256", sa.String(), nullable=False),
        sa.Column("replaced_bundle_sha256", sa.String(), nullable=False),
        sa.Column("replaced_version", sa.String(), nullable=False),
        sa.Column("replaced_pack_sha256", sa.String(), nullable=False),
        sa.Column("newest_version", sa.String(), nullable=False),
        sa.Column("activated_by", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("activated_at", pointwork.ledger.columns.UtcTime(), nullable=False),
        sa.CheckConstraint("number >= 1", name=op.f("ck_policy_activation_number")),
        sa.ForeignKeyConstraint(
            ["bundle_sha256"],
            ["policy_revision.bundle_sha256"],
            name=op.f("fk_policy_activation_policy_revision"),
        ),
        sa.PrimaryKeyConstraint("pack", "number", name=op.f("pk_policy_activation")),
    )


def downgrade() -> None:
    op.drop_table("policy_activation")
