"""What vendors bill above the bound of a call, learnt from their bills and held from then on.

A call's worst case is sure as far as the vendor bills what was sent. One that adds text of its own
(a hidden prompt, tool results) bills more, and a window can then be passed by every call that is
under way when its limit is reached. So each bill above its estimate raises, for a week, what every
further call of the model holds; and a model that never sent a bill is on probation: as many of its
calls run at once as the windows could pay four times over, and one in any case. The others wait
for the first bill, which is the length of one call, once in the life of a model (SP-43).
"""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Select, bindparam, case, func, select, update

from pointwork.contract.decision import Site
from pointwork.contract.outcome import AttemptState
from pointwork.ledger.budget_tables import ModelMargin
from pointwork.ledger.budget_windows import WINDOW, move
from pointwork.ledger.engine import insert_if_absent
from pointwork.ledger.tables import Attempt, HoldPart, HoldPartWindow, PartState, table_of

MARGIN = table_of(ModelMargin)
_PART, _ATTEMPT, _PART_WINDOW = table_of(HoldPart), table_of(Attempt), table_of(HoldPartWindow)

MARGIN_FOR = timedelta(days=7)
"""How long a bill above its estimate raises what further calls hold."""
PROBATION_FACTOR = 4
"""How many times its bound a call may cost before anybody has seen a bill of its model."""


class ProbationError(Exception):
    """The call waits for a bill of its model; the transaction must be rolled back."""


def margin_of(connection: Connection, model: str, now: datetime) -> int | None:
    """Nano-USD to hold above a call's bound; None where the model never sent a bill."""
    row = connection.execute(_FIND, {"of_model": model}).first()
    if row is None:
        return None
    is_fresh = row.renewed_at is not None and now - row.renewed_at < MARGIN_FOR
    return int(row.margin_nano_usd) if is_fresh else 0


def learn(connection: Connection, attempt: Any, cost_nano_usd: int, now: datetime) -> None:
    """Take a bill into account: its model is known from now on, and so is what it adds.

    Args:
        connection: the transaction that records the cost.
        attempt: the attempt's row. A model of the house is known before it answers; what its meter
            counts above the estimate is held from then on all the same.
        cost_nano_usd: what the vendor's usage comes to.
        now: when.
    """
    model, above = attempt.model, cost_nano_usd - attempt.estimate_nano_usd
    if attempt.site == Site.LOCAL and above <= 0:
        return
    row = {"model": model, "margin_nano_usd": 0, "first_billed_at": now}
    connection.execute(_BILLED[connection.dialect.name], row)
    if above > 0:
        since = now - MARGIN_FOR
        connection.execute(_RAISE, {"of_model": model, "above": above, "at": now, "since": since})


def check_probation(
    connection: Connection, model: str, amount_nano_usd: int, window_keys: list[str]
) -> None:
    """Let a call of a model without a bill go ahead only if the windows could pay it four times.

    Raises:
        ProbationError: they could not, and another call of the model is under way.
    """
    _lock_model(connection, model)
    under_way = int(connection.execute(_UNDER_WAY, {"of_model": model}).scalar() or 0)
    if not under_way:
        return
    most = amount_nano_usd + (PROBATION_FACTOR - 1) * (under_way + amount_nano_usd)
    _check_left(connection, window_keys, most)


def check_room_for_others(
    connection: Connection,
    model: str,
    amount_nano_usd: int,
    margin_nano_usd: int,
    window_keys: list[str],
) -> None:
    """Leave room for calls under way that hold less than the bills of their model now say.

    Args:
        connection: the transaction of the call's reservation.
        model: whose margin was raised.
        amount_nano_usd: what the call is to hold, its margin included.
        margin_nano_usd: what each call of the model should hold besides its bound.
        window_keys: where the money is to be taken.

    Raises:
        ProbationError: the windows could not pay them all; the first of them may soon have ended.
    """
    _lock_model(connection, model)
    values = {"of_model": model, "margin": margin_nano_usd}
    missing = int(connection.execute(_MISSING, values).scalar() or 0)
    if missing:
        _check_left(connection, window_keys, amount_nano_usd + missing)


def _lock_model(connection: Connection, model: str) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(_LOCK_MODEL, {"of_model": model})


def _check_left(connection: Connection, window_keys: list[str], amount_nano_usd: int) -> None:
    rows = connection.execute(_LEFT, {"of_windows": window_keys}).all()
    if any(row.left_nano_usd < amount_nano_usd for row in rows):
        raise ProbationError


def cover(connection: Connection, part: Any, above_nano_usd: int) -> None:
    """Hold what a bill came to above its part, whatever the limits: the money is spent already."""
    values = {"of_part": part.part_id, "above": above_nano_usd}
    connection.execute(_COVER, values)
    keys = connection.execute(_KEYS, {"of_part": part.part_id}).scalars().all()
    move(connection, {key: (-above_nano_usd, 0) for key in keys})


_FIND = select(MARGIN.c.margin_nano_usd, MARGIN.c.renewed_at).where(
    MARGIN.c.model == bindparam("of_model")
)
_BILLED = insert_if_absent(MARGIN, "model")
_RAISE = (
    update(MARGIN)
    .where(MARGIN.c.model == bindparam("of_model"))
    .values(
        margin_nano_usd=case(
            # A margin that has run out is not what the vendor adds today.
            (MARGIN.c.renewed_at < bindparam("since"), bindparam("above")),
            (MARGIN.c.margin_nano_usd > bindparam("above"), MARGIN.c.margin_nano_usd),
            else_=bindparam("above"),
        ),
        renewed_at=bindparam("at"),
    )
)
_LOCK_MODEL = select(func.pg_advisory_xact_lock(func.hashtextextended(bindparam("of_model"), 1)))
_UNDER_WAY = (
    select(func.sum(_PART.c.amount_nano_usd))
    .join(_ATTEMPT, _ATTEMPT.c.attempt_id == _PART.c.part_id)
    .where(_PART.c.state == PartState.RESERVED, _ATTEMPT.c.model == bindparam("of_model"))
)
_MISSING: Select[Any] = (
    select(func.sum(bindparam("margin") - _PART.c.margin_nano_usd))
    .join(_ATTEMPT, _ATTEMPT.c.attempt_id == _PART.c.part_id)
    .where(
        _PART.c.state == PartState.RESERVED,
        _PART.c.margin_nano_usd < bindparam("margin"),
        _ATTEMPT.c.model == bindparam("of_model"),
        _ATTEMPT.c.state.in_([AttemptState.PLANNED, AttemptState.SENT]),
    )
)
_LEFT = select(
    (WINDOW.c.limit_nano_usd - WINDOW.c.spent_nano_usd - WINDOW.c.reserved_nano_usd).label(
        "left_nano_usd"
    )
).where(WINDOW.c.window_key.in_(bindparam("of_windows", expanding=True)))
_COVER = (
    update(_PART)
    .where(_PART.c.part_id == bindparam("of_part"))
    .values(
        amount_nano_usd=_PART.c.amount_nano_usd + bindparam("above"),
        margin_nano_usd=_PART.c.margin_nano_usd + bindparam("above"),
    )
)
_KEYS = select(_PART_WINDOW.c.window_key).where(_PART_WINDOW.c.part_id == bindparam("of_part"))
