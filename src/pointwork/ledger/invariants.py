"""What must hold in every ledger at every moment (reliability 2.2, as far as the tables know).

``pointwork doctor`` checks it in production and every ledger test at its end.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, and_, func, or_, select

from pointwork.contract.outcome import AttemptState, Settlement, TaskStatus
from pointwork.ledger.agreement import disagreements
from pointwork.ledger.audit import verify_chain, within_json
from pointwork.ledger.budget_windows import ALLOWANCE, WINDOW
from pointwork.ledger.cost_rollup import NAMES, WRONG_DAYS
from pointwork.ledger.engine import read
from pointwork.ledger.holds import ATTEMPT, OUTCOME, OVERRUN, PART, PART_WINDOW
from pointwork.ledger.override_checks import unsound_overrides
from pointwork.ledger.permissions import unpermitted_egress, unsound_grants
from pointwork.ledger.tables import (
    AnswerComparison,
    AnswerSelection,
    Audit,
    PartState,
    table_of,
)

_AUDIT = table_of(Audit)
_COMPARISON = table_of(AnswerComparison)
_SELECTION = table_of(AnswerSelection)


@dataclass(frozen=True, kw_only=True, slots=True)
class Violation:
    """A broken invariant: which one, and a sentence that names the rows."""

    invariant: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Invariant:
    """A number, what it promises in words, and the search for what breaks it."""

    number: str
    words: str
    find: Callable[[Connection], Iterator[str]]


def check(engine: Engine) -> list[Violation]:
    """Every violation found, in one unchanging view of the ledger; empty where it is sound."""
    return [violation for _, found in check_each(engine) for violation in found]


def check_each(engine: Engine) -> Iterator[tuple[Invariant, list[Violation]]]:
    """Each invariant with what breaks it, as it is checked, all in one unchanging view.

    A row that cannot be read breaks the invariant that needs it. The cost grows with the ledger:
    most are a few statements over indexes, I7 hashes every audit record and compares every
    outcome with its own, I10 looks through every decision and I14 hashes it.
    """
    with read(engine) as connection:
        for invariant in INVARIANTS:
            sentences: list[str] = []
            try:
                sentences.extend(invariant.find(connection))
            except (ValueError, LookupError, TypeError, AttributeError) as error:
                sentences.append(f"a row it needs cannot be read ({type(error).__name__})")
            yield (
                invariant,
                [Violation(invariant=invariant.number, sentence=each) for each in sentences],
            )


def _negative(connection: Connection) -> Iterator[str]:
    query = select(WINDOW).where(or_(WINDOW.c.spent_nano_usd < 0, WINDOW.c.reserved_nano_usd < 0))
    for row in connection.execute(query):
        yield (
            f"window {row.window_key} has spent {row.spent_nano_usd} and reserved "
            f"{row.reserved_nano_usd} nano-USD; neither may be negative"
        )


def _over_limit(connection: Connection) -> Iterator[str]:
    """A limit may be lowered under open holds, so the highest limit ever set is the bound."""
    excess = func.coalesce(
        select(func.sum(OVERRUN.c.excess_nano_usd))
        .join(PART_WINDOW, PART_WINDOW.c.part_id == OVERRUN.c.part_id)
        .where(PART_WINDOW.c.window_key == WINDOW.c.window_key)
        .correlate(WINDOW)
        .scalar_subquery(),
        0,
    )
    allowed = func.coalesce(
        select(func.sum(ALLOWANCE.c.amount_nano_usd))
        .where(ALLOWANCE.c.window_key == WINDOW.c.window_key)
        .correlate(WINDOW)
        .scalar_subquery(),
        0,
    )
    committed = WINDOW.c.spent_nano_usd + WINDOW.c.reserved_nano_usd
    explained = (excess + allowed).label("explained")
    query = select(WINDOW, explained).where(
        committed > WINDOW.c.limit_high_nano_usd + excess + allowed
    )
    for row in connection.execute(query):
        yield (
            f"window {row.window_key} has {row.spent_nano_usd + row.reserved_nano_usd} nano-USD "
            f"committed over a limit of {row.limit_high_nano_usd}, and overruns and allowances "
            f"explain only {row.explained} of it"
        )


def _reserved_differs(connection: Connection) -> Iterator[str]:
    held = func.coalesce(
        select(func.sum(PART.c.amount_nano_usd))
        .join(PART_WINDOW, PART_WINDOW.c.part_id == PART.c.part_id)
        .where(PART_WINDOW.c.window_key == WINDOW.c.window_key, PART.c.state == PartState.RESERVED)
        .scalar_subquery(),
        0,
    )
    query = select(WINDOW, held.label("held")).where(WINDOW.c.reserved_nano_usd != held)
    for row in connection.execute(query):
        yield (
            f"window {row.window_key} counts {row.reserved_nano_usd} nano-USD reserved and its "
            f"open parts sum to {row.held}"
        )


def _spent_differs(connection: Connection) -> Iterator[str]:
    posted = func.coalesce(
        select(func.sum(PART.c.posted_nano_usd))
        .join(PART_WINDOW, PART_WINDOW.c.part_id == PART.c.part_id)
        .where(PART_WINDOW.c.window_key == WINDOW.c.window_key)
        .scalar_subquery(),
        0,
    )
    query = select(WINDOW, posted.label("posted")).where(WINDOW.c.spent_nano_usd != posted)
    for row in connection.execute(query):
        yield (
            f"window {row.window_key} counts {row.spent_nano_usd} nano-USD spent and its parts "
            f"posted {row.posted}"
        )


def _unclear_end(connection: Connection) -> Iterator[str]:
    query = select(PART, OVERRUN.c.part_id.label("overrun_id")).outerjoin(
        OVERRUN, OVERRUN.c.part_id == PART.c.part_id
    )
    open_part = PART.c.state == PartState.RESERVED
    unexplained = and_(
        PART.c.state.in_([PartState.VOIDED, PartState.EXPIRED]),
        PART.c.posted_nano_usd > 0,
        OVERRUN.c.part_id.is_(None),
    )
    wrong = or_(
        and_(open_part, or_(PART.c.posted_nano_usd != 0, PART.c.settled_at.is_not(None))),
        and_(PART.c.state != PartState.RESERVED, PART.c.settled_at.is_(None)),
        unexplained,
    )
    for row in connection.execute(query.where(wrong)):
        yield (
            f"part {row.part_id} is {row.state} with {row.posted_nano_usd} nano-USD posted, "
            "which no single end of it explains"
        )


def _open_after_outcome(connection: Connection) -> Iterator[str]:
    query = (
        select(PART.c.part_id, PART.c.task_id)
        .join(OUTCOME, OUTCOME.c.task_id == PART.c.task_id)
        .where(PART.c.state == PartState.RESERVED)
    )
    for row in connection.execute(query):
        yield f"task {row.task_id} has an outcome and still holds part {row.part_id}"


def _unaudited(connection: Connection) -> Iterator[str]:
    report = verify_chain(connection)
    if not report.holds:
        yield f"the audit chain breaks: {report.reason}"
    query = select(
        OUTCOME.c.task_id, OUTCOME.c.audit_sequence, OUTCOME.c.body, _AUDIT.c.record
    ).outerjoin(
        _AUDIT,
        and_(
            _AUDIT.c.sequence == OUTCOME.c.audit_sequence,
            _AUDIT.c.kind == "outcome",
            _AUDIT.c.task_id == OUTCOME.c.task_id,
        ),
    )
    with connection.execute(query, execution_options={"yield_per": 1000}) as rows:
        for row in rows:
            number = row.audit_sequence
            if row.record is None:
                yield f"the outcome of task {row.task_id} has no audit record {number}"
            elif not _same_outcome(row.record, row.body):
                yield f"the outcome of task {row.task_id} differs from audit record {number}"
    twice = (
        select(_AUDIT.c.task_id, func.count().label("records"))
        .where(_AUDIT.c.kind == "outcome")
        .group_by(_AUDIT.c.task_id)
    )
    for task_id, records in connection.execute(twice.having(func.count() > 1)):
        yield f"task {task_id} has {records} outcomes in the audit chain"
    lone = (
        select(_AUDIT.c.sequence, _AUDIT.c.task_id)
        .outerjoin(OUTCOME, OUTCOME.c.task_id == _AUDIT.c.task_id)
        .where(_AUDIT.c.kind == "outcome", OUTCOME.c.task_id.is_(None))
    )
    for sequence, task_id in connection.execute(lone):
        yield f"audit record {sequence} tells of an outcome of task {task_id} that is gone"


def _sent_unheld(connection: Connection) -> Iterator[str]:
    query = (
        select(ATTEMPT.c.attempt_id, ATTEMPT.c.state, PART.c.state.label("part_state"))
        .outerjoin(PART, PART.c.part_id == ATTEMPT.c.attempt_id)
        .where(
            or_(
                PART.c.part_id.is_(None),
                and_(
                    ATTEMPT.c.state.in_([AttemptState.SENT, AttemptState.UNKNOWN]),
                    PART.c.state.not_in([PartState.RESERVED, PartState.POSTED]),
                ),
                and_(ATTEMPT.c.state == AttemptState.SENT, PART.c.state != PartState.RESERVED),
                and_(
                    ATTEMPT.c.state != AttemptState.PLANNED, PART.c.created_at > ATTEMPT.c.sent_at
                ),
            )
        )
    )
    for row in connection.execute(query):
        held = row.part_state or "missing"
        yield f"attempt {row.attempt_id} is {row.state} and the part that pays for it is {held}"


def _unchosen(connection: Connection) -> Iterator[str]:
    """Answers that differ settle nothing by themselves (invariant 7; OM-59 to OM-63)."""
    query = (
        select(OUTCOME.c.task_id)
        .join(_COMPARISON, _COMPARISON.c.task_id == OUTCOME.c.task_id)
        .outerjoin(_SELECTION, _SELECTION.c.task_id == OUTCOME.c.task_id)
        .where(
            OUTCOME.c.status == TaskStatus.SUCCEEDED,
            _COMPARISON.c.agree.is_(False),
            _SELECTION.c.task_id.is_(None),
        )
    )
    for row in connection.execute(query):
        yield f"task {row.task_id} has an answer although its answers differed and no person chose"


def _days_differ(connection: Connection) -> Iterator[str]:
    for row in connection.execute(WRONG_DAYS):
        names = "/".join(getattr(row, name) or "-" for name in NAMES)
        yield (
            f"the costs of {row.day} for {names} differ from their posted parts by {row.calls} "
            f"calls and {row.cost_nano_usd} nano-USD"
        )


def _unreconciled(connection: Connection) -> Iterator[str]:
    """A vendor's record is the last word on a charge, and the chain tells that it was taken."""
    kept = select(_AUDIT.c.record).where(_AUDIT.c.kind == "reconciled")
    bodies = (json.loads(record)["body"] for record in connection.execute(kept).scalars())
    told = {body["attempt_id"]: int(body["after_nano_usd"]) for body in bodies}
    query = (
        select(ATTEMPT.c.attempt_id, ATTEMPT.c.cost_nano_usd, PART.c.posted_nano_usd)
        .add_columns(PART.c.settlement)
        .join(PART, PART.c.part_id == ATTEMPT.c.attempt_id)
        .where(ATTEMPT.c.reconciled_at.is_not(None))
    )
    for row in connection.execute(query):
        figures = {row.cost_nano_usd, row.posted_nano_usd, told.get(row.attempt_id)}
        if len(figures) != 1 or row.settlement != Settlement.EXACT:
            yield (
                f"attempt {row.attempt_id} was reconciled and costs {row.cost_nano_usd} nano-USD, "
                f"while its part posted {row.posted_nano_usd} ({row.settlement}) and the chain "
                f"tells of {told.get(row.attempt_id)}"
            )


def _same_outcome(record: str, body: str) -> bool:
    return bool(json.loads(record)["body"]["outcome"] == within_json(json.loads(body)))


INVARIANTS = (
    Invariant("I1", "no window has spent or reserved less than nothing", _negative),
    Invariant("I2", "no window is over its limit but by what overruns explain", _over_limit),
    Invariant("I3", "what windows reserve is the sum of their open parts", _reserved_differs),
    Invariant("I4", "what windows have spent is the sum of what parts posted", _spent_differs),
    Invariant("I5", "every part has one end at most", _unclear_end),
    Invariant("I6", "no recorded task still holds money", _open_after_outcome),
    Invariant("I7", "every outcome stands in an unbroken audit chain", _unaudited),
    Invariant("I8", "no call was sent without money held for it before", _sent_unheld),
    Invariant("I9", "no sensitive content left the house unpermitted", unpermitted_egress),
    Invariant("I10", "every approval was another person's, in time, used once", unsound_grants),
    Invariant("I11", "no answers that differ were settled but by a person", _unchosen),
    Invariant("I12", "the costs of every day are the sum of what parts posted", _days_differ),
    Invariant("I13", "every look-up that set a cost is in the chain as it is", _unreconciled),
    Invariant("I14", "what is kept twice agrees with what the chain tells of it", disagreements),
    Invariant("I15", "every override that moved a task was acknowledged", unsound_overrides),
)
