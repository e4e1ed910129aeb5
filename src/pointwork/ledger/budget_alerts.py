"""Telling people of budgets once: near, reached, stopped, overrun (JG-28, OM-39)."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, bindparam, func, select, update

from pointwork.ledger import audit
from pointwork.ledger.budget_tables import AlertKind, BudgetAlert
from pointwork.ledger.engine import insert_if_absent, read, transact
from pointwork.ledger.tables import table_of

ALERT = table_of(BudgetAlert)


def tell(
    connection: Connection,
    kind: AlertKind,
    subject: str,
    occasion: object,
    *,
    task_id: str,
    amount_nano_usd: int,
    limit_nano_usd: int,
    now: datetime,
) -> bool:
    """Raise an alert unless it was raised before for the same subject and occasion.

    Args:
        connection: the transaction in which it came about.
        kind: what happened.
        subject: the window's key, or an overrun's part.
        occasion: what makes it news again, such as another limit.
        task_id: the task that brought it about.
        amount_nano_usd: spent and reserved together, or an overrun's cost.
        limit_nano_usd: the window's limit, or what was held.
        now: when.

    Returns:
        True where it is new.
    """
    row = {
        "alert_id": f"{subject}/{kind}/{occasion}",
        "kind": kind,
        "subject": subject,
        "task_id": task_id,
        "amount_nano_usd": amount_nano_usd,
        "limit_nano_usd": limit_nano_usd,
        "occurred_at": now,
    }
    return bool(connection.execute(_TELL[connection.dialect.name], row).rowcount == 1)


class AlertBook:
    """The alerts people have and have not seen. Thread-safe; keeps no state outside the ledger."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def alerts(self, *, seen: bool = False, limit: int = 200) -> list[BudgetAlert]:
        """Unseen alerts, or every one with ``seen``; latest first."""
        query = select(ALERT) if seen else select(ALERT).where(ALERT.c.seen_at.is_(None))
        with read(self._engine) as connection:
            rows = connection.execute(
                query.order_by(ALERT.c.occurred_at.desc(), ALERT.c.alert_id).limit(limit)
            )
            return [_alert(row) for row in rows]

    def unseen_count(self) -> int:
        with read(self._engine) as connection:
            return int(connection.execute(_UNSEEN).scalar_one())

    def see(self, alert_id: str, by: str, now: datetime) -> bool:
        """Record who has seen an alert; False where there is none that nobody saw."""

        def write(connection: Connection) -> bool:
            values = {"of_alert": alert_id, "by": by, "at": now}
            if connection.execute(_SEE, values).rowcount != 1:
                return False
            audit.append(connection, "alert_seen", {"alert_id": alert_id, "seen_by": by}, now)
            return True

        return transact(self._engine, write)


def _alert(row: Any) -> BudgetAlert:
    return BudgetAlert(**row._mapping)


_TELL = insert_if_absent(ALERT, "alert_id")
_UNSEEN = select(func.count()).where(ALERT.c.seen_at.is_(None))
_SEE = (
    update(ALERT)
    .where(ALERT.c.alert_id == bindparam("of_alert"), ALERT.c.seen_at.is_(None))
    .values(seen_at=bindparam("at"), seen_by=bindparam("by"))
)
