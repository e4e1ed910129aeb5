"""How parts of holds end: posted, voided or expired, with late bills and bills above the hold."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, select, update

from pointwork.contract.outcome import AttemptState, Settlement
from pointwork.ledger import cost_rollup
from pointwork.ledger.budget_alerts import tell
from pointwork.ledger.budget_tables import AlertKind
from pointwork.ledger.budget_windows import move
from pointwork.ledger.engine import insert_or_update
from pointwork.ledger.holds import OVERRUN, PART, PART_WINDOW
from pointwork.ledger.margins import cover
from pointwork.ledger.selections import settle_selections
from pointwork.ledger.tables import PartState


@dataclass(frozen=True, kw_only=True, slots=True)
class Posting:
    """How a part ends: what is charged, and how sure that is."""

    state: PartState
    posted_nano_usd: int
    settlement: Settlement


@dataclass(frozen=True, kw_only=True, slots=True)
class Settled:
    """An open part and its end."""

    part_id: str
    task_id: str
    model: str
    amount_nano_usd: int
    posting: Posting
    pack: str | None = None


def posting_for(
    amount_nano_usd: int, state: str | None, cost_nano_usd: int, settlement: str
) -> Posting:
    """How a part ends whose attempt is in ``state``; None where no attempt was planned.

    A call that may have reached a meter is charged in full, for good: AT_LEAST never refunds.
    """
    match state:
        case None | AttemptState.PLANNED:
            return Posting(state=PartState.VOIDED, posted_nano_usd=0, settlement=Settlement.EXACT)
        case AttemptState.SENT | AttemptState.UNKNOWN:
            return Posting(
                state=PartState.POSTED,
                posted_nano_usd=amount_nano_usd,
                settlement=Settlement.AT_LEAST,
            )
        case _:
            return Posting(
                state=PartState.POSTED,
                posted_nano_usd=cost_nano_usd,
                settlement=Settlement(settlement),
            )


def settle_parts(connection: Connection, parts: Iterable[Settled], now: datetime) -> list[str]:
    """End open parts: post what each cost, release the rest, and record what no hold covered.

    A part that is no longer open is left as it is, so racing settlers move its money once.

    Returns:
        The ids of the parts that this call ended.
    """
    in_order = sorted(parts, key=lambda each: each.part_id)
    ended = [part for part in in_order if _end(connection, part, now)]
    posted = [part.part_id for part in ended if part.posting.state is PartState.POSTED]
    cost_rollup.put_in(connection, posted)
    settle_selections(connection, ended)
    moves = [(each.part_id, each.amount_nano_usd, each.posting.posted_nano_usd) for each in ended]
    _move(connection, moves)
    for part in ended:
        held, cost = part.amount_nano_usd, part.posting.posted_nano_usd
        if cost > held:
            _overrun(connection, part, held, cost, _ABOVE_ESTIMATE, now)
    return [part.part_id for part in ended]


def cover_bill(connection: Connection, part: Any, cost_nano_usd: int, now: datetime) -> None:
    """Hold a bill that is above its open part at once, before others are let in (OM-37, OM-39)."""
    above = cost_nano_usd - part.amount_nano_usd
    if above > 0:
        cover(connection, part, above)
        _overrun(connection, part, part.amount_nano_usd, cost_nano_usd, _ABOVE_ESTIMATE, now)


def post_late(connection: Connection, part: Any, cost_nano_usd: int, now: datetime) -> bool:
    """Post a cost learnt after its part ended. The bill is real, so it may break the limit.

    What was posted before is never refunded; only the excess moves, and an overrun row says why.
    The caller has taken the part out of ``cost_day`` before it changed the attempt; here it goes
    back in.

    Returns:
        True where money moved.
    """
    excess = max(0, cost_nano_usd - part.posted_nano_usd)
    if excess:
        connection.execute(_POST_MORE, {"of_part": part.part_id, "excess": excess})
    cost_rollup.put_in(connection, [part.part_id])
    settle_selections(connection, [part])
    if not excess:
        return False
    _move(connection, [(part.part_id, 0, excess)])
    why = f"the cost became known after the part was {part.part_state}"
    _overrun(connection, part, part.posted_nano_usd, cost_nano_usd, why, now)
    return True


def _overrun(
    connection: Connection, part: Any, held: int, cost: int, reason: str, now: datetime
) -> None:
    """One row for each part and one alert, however often its bill grows (OM-37, OM-39)."""
    row = {
        "part_id": part.part_id,
        "task_id": part.task_id,
        "model": part.model,
        "held_nano_usd": held,
        "cost_nano_usd": cost,
        "excess_nano_usd": cost - held,
        "reason": reason,
        "occurred_at": now,
    }
    connection.execute(_PUT_OVERRUN[connection.dialect.name], row)
    tell(
        connection,
        AlertKind.OVERRUN,
        part.part_id,
        "cost",
        task_id=part.task_id,
        amount_nano_usd=cost,
        limit_nano_usd=held,
        now=now,
    )


def _end(connection: Connection, part: Settled, now: datetime) -> bool:
    ended = connection.execute(
        _END_PART,
        {
            "of_part": part.part_id,
            "to_state": part.posting.state,
            "posted": part.posting.posted_nano_usd,
            "sureness": part.posting.settlement,
            "at": now,
        },
    )
    return ended.rowcount == 1


def _move(connection: Connection, parts: Sequence[tuple[str, int, int]]) -> None:
    """Release and spend, for each (part, released, spent), in the windows the part was taken in."""
    amounts = {
        part_id: (released, spent) for part_id, released, spent in parts if released or spent
    }
    if not amounts:
        return
    sums: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for row in connection.execute(_WINDOWS_OF, {"of_parts": sorted(amounts)}):
        released, spent = amounts[row.part_id]
        sums[row.window_key][0] += released
        sums[row.window_key][1] += spent
    move(connection, sums)


_ABOVE_ESTIMATE = "the call cost more than its worst-case estimate"
_PUT_OVERRUN = insert_or_update(
    OVERRUN,
    "part_id",
    values=lambda new: {
        "cost_nano_usd": new.cost_nano_usd,
        "excess_nano_usd": OVERRUN.c.excess_nano_usd + new.excess_nano_usd,
        "reason": new.reason,
    },
)
_END_PART = (
    update(PART)
    .where(PART.c.part_id == bindparam("of_part"), PART.c.state == PartState.RESERVED)
    .values(
        state=bindparam("to_state"),
        posted_nano_usd=bindparam("posted"),
        settlement=bindparam("sureness"),
        settled_at=bindparam("at"),
    )
)
_POST_MORE = (
    update(PART)
    .where(PART.c.part_id == bindparam("of_part"))
    .values(posted_nano_usd=PART.c.posted_nano_usd + bindparam("excess"))
)
_WINDOWS_OF = select(PART_WINDOW.c.part_id, PART_WINDOW.c.window_key).where(
    PART_WINDOW.c.part_id.in_(bindparam("of_parts", expanding=True))
)
