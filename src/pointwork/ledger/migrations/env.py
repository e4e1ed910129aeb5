"""Alembic's entry. It runs inside the transaction that ``migrate`` opened, never by itself."""

from alembic import context

from pointwork.ledger.tables import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    render_as_batch=True,
    compare_type=True,
)
with context.begin_transaction():
    context.run_migrations()
