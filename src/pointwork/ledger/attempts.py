"""One row for each request to a model, written before the first byte leaves (design 5).

PLANNED -> SENT -> DONE | FAILED | UNKNOWN. No provider deduplicates, so a call whose fate is not
known is UNKNOWN and its part stays held in full; a new call gets a part of its own.

A late finish: a worker that was given up may still come back with an answer. Its row turns from
UNKNOWN to DONE with the usage and cost as they were, because the bill is real. While the task is
open that answer is as good as any, and a later ``begin`` returns it instead of calling again.
After the task's outcome was logged the outcome stays as it is: the row and, where the cost
exceeds what was posted, the windows and an overrun row are corrected, and the audit chain gets a
``late_settlement`` record.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, bindparam, exists, select, update

from pointwork.contract.failures import PointworkError, ProviderFailureKind
from pointwork.contract.local_run import LocalRun
from pointwork.contract.outcome import (
    AttemptState,
    FinishReason,
    Invocation,
    Invoke,
    ReserveOutcome,
    Settlement,
    TokenUsage,
)
from pointwork.failpoints import Failpoint, ending_at, reach
from pointwork.ledger import audit, cost_rollup
from pointwork.ledger.answers import put_answer
from pointwork.ledger.attempt_rows import (
    WITH_PART,
    answer_columns,
    invocation_of,
    mark_unknown,
    run_columns,
    settled_by,
    usage_columns,
)
from pointwork.ledger.budgets import plan_attempt
from pointwork.ledger.engine import transact
from pointwork.ledger.holds import (
    ATTEMPT,
    PART,
    PART_WINDOW,
    PartRequest,
    RefusedError,
    allowed_by,
    check_amount,
    lock_task,
    reserve_part,
)
from pointwork.ledger.margins import learn
from pointwork.ledger.settling import cover_bill, post_late, settle_parts
from pointwork.ledger.tables import PartState
from pointwork.ledger.vault import ContentUnavailableError, Vault


class AttemptClosedError(PointworkError):
    """The attempt cannot go where it was sent: it ended, or no open part pays for it."""


class BudgetRefusedError(PointworkError):
    """A limit does not cover calling again; ``window`` names it. The earlier send stays UNKNOWN."""

    def __init__(self, window: str, attempt_id: str) -> None:
        super().__init__(
            f"the fate of attempt {attempt_id} is unknown and {window} does not cover another; "
            "raise that budget or wait for its next period"
        )
        self.window = window
        self.attempt_id = attempt_id


@dataclass(frozen=True, kw_only=True, slots=True)
class AttemptStart:
    """``stored`` is the answer of an earlier send: return it and call nobody."""

    attempt_id: str
    stored: Invocation | None = None


class AttemptLog:
    """The states of attempts. Thread-safe; keeps no state outside the ledger."""

    def __init__(self, engine: Engine, vault: Vault) -> None:
        self._engine = engine
        self._vault = vault

    def begin(self, invoke: Invoke, part_id: str, now: datetime) -> AttemptStart:
        """Commit that the call is SENT; only then may the caller write to a socket.

        An attempt found SENT was lost with its process: it becomes UNKNOWN, and the call goes
        out again as ``part_id.2``, ``part_id.3`` and so on, under a part of its own in the same
        windows.

        Raises:
            AttemptClosedError: the attempt failed already, its part is not open, or the part was
                reserved for another model.
            BudgetRefusedError: the call would have to go out again and a limit does not cover it.
        """

        def begin(connection: Connection) -> AttemptStart | BudgetRefusedError:
            return _begin(connection, invoke, part_id, now)

        started = transact(self._engine, ending_at(Failpoint.BEFORE_SENT_COMMIT, begin))
        reach(Failpoint.AFTER_SENT_COMMIT)
        if isinstance(started, BudgetRefusedError):
            # Raised only now: that the earlier send is UNKNOWN had to be committed.
            raise started
        return started

    def note_request_id(self, attempt_id: str, provider_request_id: str) -> None:
        """Commit under which id the vendor keeps a call that is under way.

        Lost with its process, the call can then be looked up (``ledger.reconcile``). An attempt
        that ended keeps the id it ended with.
        """
        noted = {"of_attempt": attempt_id, "call_id": provider_request_id}
        transact(self._engine, lambda connection: connection.execute(_NOTE_REQUEST_ID, noted))

    def finish(
        self,
        attempt_id: str,
        *,
        answer: bytes,
        media_type: str,
        served_model: str,
        finish_reason: FinishReason,
        usage: TokenUsage | None,
        cost_nano_usd: int,
        settlement: Settlement,
        duration_ms: int,
        provider_request_id: str,
        unknown_placeholders: int,
        local_run: LocalRun | None = None,
        now: datetime,
    ) -> Invocation:
        """Seal the answer and commit that the attempt is DONE, in one transaction.

        A repeat returns what the first call stored. See the module's text for a late finish.

        Raises:
            AttemptClosedError: the attempt is not known, was never sent, or has failed.
            ContentUnavailableError: the task's key was destroyed; the cost is recorded all the
                same.
            ContentTooLargeError: the answer exceeds ``CONTENT_BYTES_MAX`` bytes.
        """
        check_amount("cost_nano_usd", cost_nano_usd)
        outside = put_answer(self._engine, self._vault, attempt_id, answer, media_type)
        values = {
            "state": AttemptState.DONE,
            "served_model": served_model,
            "finish_reason": finish_reason,
            **usage_columns(usage),
            "cost_nano_usd": cost_nano_usd,
            "settlement": settlement,
            "duration_ms": duration_ms,
            "provider_request_id": provider_request_id,
            "unknown_placeholders": unknown_placeholders,
            **run_columns(local_run),
            "closed_at": now,
        }

        def write(connection: Connection) -> Invocation | ContentUnavailableError:
            row = _locked(connection, attempt_id)
            if row.state == AttemptState.DONE:
                return invocation_of(row)
            _require_sent(row)
            try:
                ref = self._vault.seal_within(
                    connection, row.task_id, answer, media_type, now, outside
                )
            except ContentUnavailableError as error:
                _close_held(connection, row, values, now)
                return error
            _close_held(connection, row, {**values, **answer_columns(ref)}, now)
            return invocation_of(_locked(connection, attempt_id))

        finished = transact(self._engine, ending_at(Failpoint.BEFORE_FINISH_COMMIT, write))
        reach(Failpoint.AFTER_FINISH_COMMIT)
        if isinstance(finished, ContentUnavailableError):
            raise finished
        return finished

    def fail(
        self,
        attempt_id: str,
        kind: ProviderFailureKind,
        cost_nano_usd: int,
        settlement: Settlement,
        duration_ms: int,
        now: datetime,
        local_run: LocalRun | None = None,
    ) -> None:
        """Commit that the attempt FAILED, post its cost and release the rest of its part at once.

        A repeat changes nothing.

        Raises:
            AttemptClosedError: the attempt is not known, was never sent, or has an answer.
        """
        check_amount("cost_nano_usd", cost_nano_usd)
        values = {
            "state": AttemptState.FAILED,
            "failure": kind,
            "cost_nano_usd": cost_nano_usd,
            "settlement": settlement,
            "duration_ms": duration_ms,
            **run_columns(local_run),
            "closed_at": now,
        }

        def write(connection: Connection) -> None:
            row = _locked(connection, attempt_id)
            if row.state == AttemptState.FAILED:
                return
            if row.state == AttemptState.DONE:
                msg = f"attempt {attempt_id} has an answer already; read it instead of failing it"
                raise AttemptClosedError(msg)
            _require_sent(row)
            _close(connection, row, values, now)
            settle_parts(connection, [settled_by(_locked(connection, attempt_id))], now)

        transact(self._engine, write)


def _begin(
    connection: Connection, invoke: Invoke, part_id: str, now: datetime
) -> AttemptStart | BudgetRefusedError:
    lock_task(connection, invoke.task_id)
    sends = connection.execute(_SENDS, {"of_base": part_id}).all()
    for row in sends:
        if row.state == AttemptState.DONE:
            return AttemptStart(attempt_id=row.attempt_id, stored=invocation_of(row))
    if not sends:
        facts = cost_rollup.facts_of_decision(connection, _open_part(connection, part_id))
        plan_attempt(connection, invoke, part_id, facts, now, sent_at=now)
        return AttemptStart(attempt_id=part_id)
    last = sends[-1]
    if last.model != invoke.candidate.model:
        msg = (
            f"part {part_id} was reserved for {last.model}, not {invoke.candidate.model}; "
            "reserve a part for this call"
        )
        raise AttemptClosedError(msg)
    match last.state:
        case AttemptState.PLANNED:
            sent = connection.execute(_MARK_SENT, {"of_attempt": last.attempt_id, "at": now})
            if sent.rowcount != 1:
                raise AttemptClosedError(_not_open(part_id, last.part_state))
            return AttemptStart(attempt_id=last.attempt_id)
        case AttemptState.FAILED:
            msg = f"attempt {last.attempt_id} failed already; reserve a part for another call"
            raise AttemptClosedError(msg)
        case _:
            return _send_again(connection, invoke, last, now)


def _send_again(
    connection: Connection, invoke: Invoke, last: Any, now: datetime
) -> AttemptStart | BudgetRefusedError:
    if last.part_state != PartState.RESERVED:
        raise AttemptClosedError(_not_open(last.attempt_id, last.part_state))
    mark_unknown(connection, last, now)
    send = last.send + 1
    attempt_id = f"{last.base_id}.{send}"
    keys = connection.execute(_WINDOW_KEYS, {"of_part": last.attempt_id}).scalars().all()
    request = PartRequest(
        part_id=attempt_id,
        task_id=last.task_id,
        decision_id=last.decision_id,
        amount_nano_usd=last.amount_nano_usd - last.margin_nano_usd,
        margin_nano_usd=last.margin_nano_usd,
        task_ceiling_nano_usd=last.task_ceiling_nano_usd,
        window_keys=keys,
        price_version=last.price_version,
        expires_in_seconds=last.expires_in_seconds,
        approval_id=allowed_by(connection, last.attempt_id),
    )
    try:
        with connection.begin_nested():
            outcome, _ = reserve_part(connection, request, now)
    except RefusedError as error:
        return BudgetRefusedError(error.refused_by, last.attempt_id)
    if outcome is not ReserveOutcome.RESERVED:
        msg = f"part {attempt_id} is {outcome}; the task is closed, so nothing is sent for it"
        raise AttemptClosedError(msg)
    facts = cost_rollup.CallFacts.of_row(last)
    sent = {"base_id": last.base_id, "send": send, "sent_at": now}
    plan_attempt(connection, invoke, attempt_id, facts, now, **sent)
    return AttemptStart(attempt_id=attempt_id)


def _close_held(connection: Connection, row: Any, values: dict[str, Any], now: datetime) -> None:
    """Write the end of an attempt whose part, where it is open, stays so: it covers the bill."""
    cost_nano_usd = _close(connection, row, values, now)
    if row.part_state == PartState.RESERVED:
        cover_bill(connection, row, cost_nano_usd, now)


def _close(connection: Connection, row: Any, values: dict[str, Any], now: datetime) -> int:
    """Write the attempt's end; where its part ended before, the cost is posted late.

    Moves no money of an open part: whoever ends it locks ``cost_day`` before the windows, as every
    settler does. Returns the cost that is recorded, in nano-USD.
    """
    if row.reconciled_at is not None:
        # The vendor's own record stands: what comes later adds the answer and no money.
        values = {**values, "cost_nano_usd": row.cost_nano_usd, "settlement": row.settlement}
    elif values["settlement"] is Settlement.AT_LEAST:
        # Charged in full, and what the vendor is known to add is part of that.
        values = {**values, "cost_nano_usd": values["cost_nano_usd"] + row.margin_nano_usd}
    elif values["cost_nano_usd"] > 0:
        learn(connection, row, values["cost_nano_usd"], now)
    close = {"of_attempt": row.attempt_id, **values}
    if row.part_state == PartState.RESERVED:
        connection.execute(_CLOSE, close)
        return int(values["cost_nano_usd"])
    cost_rollup.take_out(connection, [row.part_id])
    connection.execute(_CLOSE, close)
    has_moved = post_late(connection, row, values["cost_nano_usd"], now)
    body = {
        "attempt_id": row.attempt_id,
        "state": values["state"],
        "posted_nano_usd": row.posted_nano_usd,
        "cost_nano_usd": values["cost_nano_usd"],
        "is_overrun": has_moved,
    }
    audit.append(connection, "late_settlement", body, now, task_id=row.task_id)
    return int(values["cost_nano_usd"])


def _locked(connection: Connection, attempt_id: str) -> Any:
    """The attempt with its part, after the task's lock."""
    row = connection.execute(_FIND, {"of_attempt": attempt_id}).first()
    if row is None:
        msg = f"attempt {attempt_id} is not known; begin it before its end is recorded"
        raise AttemptClosedError(msg)
    if connection.dialect.name == "postgresql":
        lock_task(connection, row.task_id)
        row = connection.execute(_FIND, {"of_attempt": attempt_id}).one()
    return row


def _require_sent(row: Any) -> None:
    if row.state not in (AttemptState.SENT, AttemptState.UNKNOWN):
        msg = f"attempt {row.attempt_id} is {row.state}; only an attempt that was sent can end"
        raise AttemptClosedError(msg)


def _open_part(connection: Connection, part_id: str) -> str:
    """Id of the decision that reserved the part."""
    part = connection.execute(_FIND_PART, {"of_part": part_id}).first()
    if part is None or part.state != PartState.RESERVED:
        raise AttemptClosedError(_not_open(part_id, part.state if part else None))
    return str(part.decision_id)


def _not_open(part_id: str, state: str | None) -> str:
    return f"part {part_id} is {state or 'not reserved'}; reserve a new part before calling"


_FIND = WITH_PART.where(ATTEMPT.c.attempt_id == bindparam("of_attempt"))
_SENDS = WITH_PART.where(ATTEMPT.c.base_id == bindparam("of_base")).order_by(ATTEMPT.c.send)
_FIND_PART = select(PART.c.state, PART.c.decision_id).where(PART.c.part_id == bindparam("of_part"))
_WINDOW_KEYS = select(PART_WINDOW.c.window_key).where(PART_WINDOW.c.part_id == bindparam("of_part"))
_CLOSE = update(ATTEMPT).where(ATTEMPT.c.attempt_id == bindparam("of_attempt"))
_MARK_SENT = (
    update(ATTEMPT)
    .where(
        ATTEMPT.c.attempt_id == bindparam("of_attempt"),
        ATTEMPT.c.state == AttemptState.PLANNED,
        exists().where(PART.c.part_id == ATTEMPT.c.attempt_id, PART.c.state == PartState.RESERVED),
    )
    .values(state=AttemptState.SENT, sent_at=bindparam("at"))
)
_NOTE_REQUEST_ID = (
    update(ATTEMPT)
    .where(
        ATTEMPT.c.attempt_id == bindparam("of_attempt"),
        ATTEMPT.c.state.in_([AttemptState.SENT, AttemptState.UNKNOWN]),
    )
    .values(provider_request_id=bindparam("call_id"))
)
