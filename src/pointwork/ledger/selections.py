"""Rows of Juggernaut's ``governance_tasks`` and ``model_selections``, one a planned call (JG-44).

They are written in the transactions that plan a call and settle its money. A figure too large for
its column stands as the largest the column takes, and a name is cut to its column's length: no
settlement may fail because of a table that is only read.
"""

import uuid
from collections.abc import Iterable
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select, update

from pointwork.contract.money import NANO_PER_USD
from pointwork.contract.outcome import AttemptState
from pointwork.ledger.cost_rollup import CallFacts
from pointwork.ledger.cost_tables import GOVERNANCE_TASKS, MODEL_SELECTIONS
from pointwork.ledger.engine import insert_if_absent
from pointwork.ledger.tables import Attempt, HoldPart, table_of

PACK = "juggernaut"
"""Whose tasks are kept in these tables."""

_NAMESPACE = uuid.UUID("6f0c7d0e-5d0a-5a39-9d53-7b8a2f6c1e44")
_INTEGER_MAX = 2**31 - 1
_ATTEMPT = table_of(Attempt)
_PART = table_of(HoldPart)


def row_id(kind: str, *key: str) -> uuid.UUID:
    """The id of a row, which follows from the ledger's own: the same key is the same row.

    ``kind`` is the table's name. A task's key is its id, a selection's its attempt's id.
    """
    return uuid.uuid5(_NAMESPACE, "/".join((kind, *key)))


def dollars(amount_nano_usd: int, digits: int, scale: int) -> Decimal:
    """USD for a DECIMAL(digits, scale) column, rounded half up; at most what it can hold."""
    largest = Decimal(10**digits - 1).scaleb(-scale)
    exact = Decimal(amount_nano_usd) / NANO_PER_USD
    return min(exact.quantize(Decimal(1).scaleb(-scale), rounding=ROUND_HALF_UP), largest)


def whole(figure: int | None) -> int | None:
    """``figure``, or the largest that an INTEGER column takes."""
    return None if figure is None else min(figure, _INTEGER_MAX)


def name_for(name: str | None, characters: int) -> str | None:
    return None if name is None else name[:characters]


def plan_selection(
    connection: Connection,
    facts: CallFacts,
    *,
    task_id: str,
    attempt_id: str,
    model: str,
    vendor: str,
    estimate_nano_usd: int,
    now: datetime,
) -> None:
    """Record what was selected and its estimate; nothing where another pack decided."""
    if facts.pack != PACK:
        return
    governed = row_id("governance_tasks", task_id)
    connection.execute(
        _INSERT_TASK[connection.dialect.name],
        {
            "id": governed,
            "type": name_for(facts.task_type, 50),
            "class": name_for(facts.task_class, 50),
            "created_at": now,
        },
    )
    connection.execute(
        _INSERT_SELECTION,
        {
            "id": row_id("model_selections", attempt_id),
            "task_id": governed,
            "policy_name": name_for(facts.task_class, 50),
            "selected_model": name_for(model, 100),
            "selected_provider": name_for(vendor, 50),
            "estimated_cost": dollars(estimate_nano_usd, 10, 4),
            "created_at": now,
        },
    )


def settle_selections(connection: Connection, ended: Iterable[Any]) -> None:
    """Write the cost, tokens, time and success of calls as their ended parts have them.

    ``ended`` have a ``part_id`` and a ``pack``; those of another pack are left out. A call that
    was never sent has no success.
    """
    part_ids = sorted(each.part_id for each in ended if each.pack == PACK)
    if not part_ids:
        return
    for row in connection.execute(_ENDED, {"of_parts": part_ids}).all():
        was_sent = row.state != AttemptState.PLANNED
        is_metered = row.input_tokens is not None
        tokens = row.input_tokens + (row.output_tokens or 0) if is_metered else None
        connection.execute(
            _SETTLE,
            {
                "of_selection": row_id("model_selections", row.attempt_id),
                "actual_cost": dollars(row.posted_nano_usd, 10, 4),
                "tokens_used": whole(tokens),
                "response_time_ms": whole(row.duration_ms) if was_sent else None,
                "success": row.state == AttemptState.DONE if was_sent else None,
            },
        )


def refuse_selections(connection: Connection, attempt_ids: Iterable[str]) -> None:
    """A check refused what these calls answered, so they succeeded at nothing."""
    for attempt_id in attempt_ids:
        connection.execute(_REFUSE, {"of_selection": row_id("model_selections", attempt_id)})


_INSERT_TASK = insert_if_absent(GOVERNANCE_TASKS, "id")
_INSERT_SELECTION = insert(MODEL_SELECTIONS)
_ENDED = (
    select(
        _ATTEMPT.c.attempt_id,
        _ATTEMPT.c.state,
        _ATTEMPT.c.input_tokens,
        _ATTEMPT.c.output_tokens,
        _ATTEMPT.c.duration_ms,
        _PART.c.posted_nano_usd,
    )
    .join(_PART, _PART.c.part_id == _ATTEMPT.c.attempt_id)
    .where(_ATTEMPT.c.attempt_id.in_(bindparam("of_parts", expanding=True)))
    .order_by(_ATTEMPT.c.attempt_id)
)
_SETTLE = update(MODEL_SELECTIONS).where(MODEL_SELECTIONS.c.id == bindparam("of_selection"))
_REFUSE = _SETTLE.values(success=False)
