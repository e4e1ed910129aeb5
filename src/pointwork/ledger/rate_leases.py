"""Which part of a second's requests each replica of the gateway may let in."""

from datetime import datetime, timedelta

from sqlalchemy import Engine, bindparam, delete

from pointwork.ledger.engine import insert_or_update, transact
from pointwork.ledger.tables import RateLease, table_of

_LEASE = table_of(RateLease)
_KEPT = timedelta(minutes=1)
"""A replica whose clock is late still counts in the row that the others counted in."""


class RateLeases:
    """Hands out requests of a second, each to one replica. Thread-safe, no state."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def lease(self, holder: str, second: int, wanted: int, limit: int) -> int:
        """How many of the ``limit`` requests of ``second`` the asking replica may let in now.

        At most ``wanted``; 0 where all are given out. All leases of a second together are at most
        ``limit``, whoever asks and in whatever order. ``second`` is in Unix time.
        """
        asked = {"holder": holder, "second": second, "granted": wanted, "at_most": limit}
        granted: int | None = transact(
            self._engine, lambda c: c.execute(_TAKE[c.dialect.name], asked).scalar()
        )
        return 0 if granted is None else min(wanted, limit - (granted - wanted))

    def forget(self, now: datetime) -> int:
        """Drop the leases of seconds that are over; how many there were."""
        before = int((now - _KEPT).timestamp())
        deleted: int = transact(
            self._engine, lambda c: c.execute(_FORGET, {"before": before}).rowcount
        )
        return deleted


_FORGET = delete(_LEASE).where(_LEASE.c.second < bindparam("before"))
_TAKE = {
    dialect: statement.returning(_LEASE.c.granted)
    for dialect, statement in insert_or_update(
        _LEASE,
        "second",
        "holder",
        values=lambda given: {"granted": _LEASE.c.granted + given.granted},
        where=lambda _: _LEASE.c.granted < bindparam("at_most"),
    ).items()
}
