"""Identities with roles, what each person said of an approval, and keys to call the API with."""

import json
from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

OWNER = "owner"


def upgrade() -> None:
    identity = op.create_table(
        "identity",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("roles", sa.Text(), nullable=False),
        sa.Column("belongs_to", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("disabled_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("kind IN ('person','service','group')", name=op.f("ck_identity_kind")),
        sa.CheckConstraint("subject <> ''", name=op.f("ck_identity_subject")),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_identity")),
    )
    op.create_table(
        "approval_verdict",
        sa.Column("token_id", sa.String(), nullable=False),
        sa.Column("approval_id", sa.String(), nullable=False),
        sa.Column("approver", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("key_id", sa.String(), nullable=True),
        sa.Column("verdict", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "verdict IN ('approved','rejected')", name=op.f("ck_approval_verdict_verdict")
        ),
        sa.ForeignKeyConstraint(
            ["approval_id"],
            ["approval.approval_id"],
            name=op.f("fk_approval_verdict_approval"),
        ),
        sa.ForeignKeyConstraint(
            ["token_id"], ["used_token.token_id"], name=op.f("fk_approval_verdict_used_token")
        ),
        sa.PrimaryKeyConstraint("token_id", name=op.f("pk_approval_verdict")),
    )
    op.create_index(
        op.f("ix_approval_verdict_approval_id_subject"),
        "approval_verdict",
        ["approval_id", "subject"],
    )
    op.create_table(
        "access_key",
        sa.Column("key_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("secret_hash", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["name"], ["identity.name"], name=op.f("fk_access_key_identity")),
        sa.PrimaryKeyConstraint("key_id", name=op.f("pk_access_key")),
    )
    op.create_index(op.f("ix_access_key_name"), "access_key", ["name"])
    op.add_column("approver_key", sa.Column("delegated_by", sa.String(), nullable=True))
    _introduce_approvers(identity)


def _introduce_approvers(identity: sa.Table) -> None:
    """Who may answer today may answer tomorrow: every key's person becomes known."""
    names = op.get_bind().execute(sa.text("SELECT DISTINCT approver FROM approver_key")).scalars()
    now = datetime.now(UTC)
    rows = [
        {
            "name": name,
            "kind": "person",
            "subject": name,
            "roles": json.dumps(["owner" if name == OWNER else "approver"]),
            "belongs_to": "[]",
            "created_at": now,
        }
        for name in names
    ]
    if rows:
        op.bulk_insert(identity, rows)


def downgrade() -> None:
    op.drop_column("approver_key", "delegated_by")
    op.drop_index(op.f("ix_access_key_name"), "access_key")
    op.drop_table("access_key")
    op.drop_index(op.f("ix_approval_verdict_approval_id_subject"), "approval_verdict")
    op.drop_table("approval_verdict")
    op.drop_table("identity")
