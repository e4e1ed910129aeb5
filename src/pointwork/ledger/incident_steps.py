"""What becomes of an incident: open, reviewed, corrected, documented, in this order (OM-87).

Each step is an owner's, with words, added once and never changed; it joins the audit chain.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    and_,
    bindparam,
    exists,
    func,
    not_,
    select,
    true,
    tuple_,
)

from pointwork.contract.failures import PointworkError
from pointwork.ledger import audit, identities
from pointwork.ledger.engine import insert_if_absent, read, transact
from pointwork.ledger.tables import Audit, Incident, IncidentStep, table_of

_AUDIT = table_of(Audit)
_INCIDENT = table_of(Incident)
_STEP = table_of(IncidentStep)
_KINDS = "incident_"
_REFUSED = "incident_step_refused"


class IncidentState(StrEnum):
    """How far an incident is; each follows the one above it."""

    OPEN = "open"
    REVIEWED = "reviewed"
    """An owner looked at it and says what was found."""
    CORRECTED = "corrected"
    """What caused it was put right."""
    DOCUMENTED = "documented"
    """The change log has it; nothing is left to do."""

    @property
    def next_step(self) -> "IncidentState | None":
        """What an owner does next; None where nothing is left to do."""
        states = list(IncidentState)
        place = states.index(self) + 1
        return states[place] if place < len(states) else None


class IncidentNotFoundError(PointworkError):
    """No incident has the id."""


class StepRefusedError(PointworkError):
    """Nobody of this name may take the step; the audit chain has the try."""


class StepConflictError(PointworkError):
    """The step is not the one that follows; nothing was changed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """What an owner did about an incident."""

    state: IncidentState
    """What the incident became by it."""
    by: str
    words: str
    at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class IncidentEntry:
    """An incident with everything that was done about it."""

    code: str
    subject: str
    """The task's id, or ``policy/PACK/VERSION/...`` where no task caused it."""
    detail: str
    occurred_at: datetime
    steps: tuple[Step, ...]
    """In the order they were taken."""

    @property
    def incident_id(self) -> str:
        """``CODE/SUBJECT``; no code holds a slash."""
        return f"{self.code}/{self.subject}"

    @property
    def state(self) -> IncidentState:
        return self.steps[-1].state if self.steps else IncidentState.OPEN

    @property
    def task_id(self) -> str | None:
        """The task it is about; None where it is about none. No task's id holds a slash."""
        return None if "/" in self.subject else self.subject


class IncidentBook:
    """Every incident and its steps. Thread-safe; keeps no state outside the ledger."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def entries(
        self, limit: int, *, state: IncidentState | None = None, only_unfinished: bool = False
    ) -> list[IncidentEntry]:
        """Up to ``limit`` incidents, latest first; of one state, or all that is left to do."""
        wanted = _in_state(state) if state is not None else true()
        if only_unfinished:
            wanted = and_(wanted, not_(_has(IncidentState.DOCUMENTED)))
        query = _LATEST.where(wanted).limit(limit)
        with read(self._engine) as connection:
            rows = connection.execute(query).all()
            keys = [(row.task_id, row.code) for row in rows]
            taken = connection.execute(_STEPS, {"of_incidents": keys}).all() if keys else []
        return [_entry(row, taken) for row in rows]

    def unfinished_count(self) -> int:
        """How many incidents are not documented yet."""
        with read(self._engine) as connection:
            found: int = connection.execute(_UNFINISHED).scalar_one()
        return found

    def find(self, incident_id: str) -> IncidentEntry:
        """The incident as it stands.

        Raises:
            IncidentNotFoundError: no incident has the id.
        """
        with read(self._engine) as connection:
            return _found(connection, incident_id)

    def take(
        self, incident_id: str, state: IncidentState, by: str, words: str, now: datetime
    ) -> IncidentEntry:
        """Record the step by which the incident becomes ``state``.

        Args:
            incident_id: ``CODE/SUBJECT``.
            state: what it becomes; only what follows its state now.
            by: an owner.
            words: what was found, how it was corrected, or where it is documented.
            now: when.

        Raises:
            IncidentNotFoundError: no incident has the id.
            StepRefusedError: ``by`` is no person with the role owner.
            StepConflictError: another step follows, or somebody took this one first.
        """

        def write(connection: Connection) -> StepRefusedError | IncidentEntry:
            entry = _found(connection, incident_id)
            if not identities.is_owner(connection, by):
                return _refused(connection, entry, state, by, now)
            if state is not entry.state.next_step:
                raise _out_of_order(entry, state)
            step = Step(state=state, by=by, words=words, at=now)
            row = _row(entry, step)
            if connection.execute(_INSERT[connection.dialect.name], row).rowcount == 0:
                raise _out_of_order(_found(connection, incident_id), state)
            body = _told(row)
            task_id = entry.task_id
            audit.append(connection, f"{_KINDS}{state}", body, now, task_id=task_id)
            return _found(connection, incident_id)

        # A refusal is raised only now: that somebody tried had to be committed.
        done = transact(self._engine, write)
        if isinstance(done, StepRefusedError):
            raise done
        return done


def changed_steps(connection: Connection) -> Iterator[str]:
    """Steps that are not as the chain tells of them, or that it does not tell of at all."""
    told = connection.execute(_TOLD).scalars()
    bodies = [json.loads(each)["body"] for each in told]
    expected = {(each["task_id"], each["code"], each["step"]): each for each in bodies}
    for row in connection.execute(select(_STEP)):
        key = (row.task_id, row.code, row.step)
        if expected.pop(key, None) != _told(row._asdict()):
            yield f"step {row.step} of incident {row.code}/{row.task_id} is not as the chain tells"
    for task_id, code, step in expected:
        yield f"the chain tells of step {step} of incident {code}/{task_id}; that row is gone"


def _refused(
    connection: Connection, entry: IncidentEntry, state: IncidentState, by: str, now: datetime
) -> StepRefusedError:
    why = f"{by!r} is no person with the role owner"
    body = {"incident": entry.incident_id, "step": state, "by": by, "why": why}
    audit.append(connection, _REFUSED, body, now, task_id=entry.task_id)
    return StepRefusedError(f"{why}; let an owner do it")


def _out_of_order(entry: IncidentEntry, state: IncidentState) -> StepConflictError:
    following = entry.state.next_step
    remedy = f"it is {following} next" if following else "nothing is left to do"
    msg = f"incident {entry.incident_id} is {entry.state} and cannot become {state}; {remedy}"
    return StepConflictError(msg)


def _found(connection: Connection, incident_id: str) -> IncidentEntry:
    code, _, subject = incident_id.partition("/")
    row = connection.execute(_FIND, {"of_task": subject, "of_code": code}).first()
    if row is None:
        msg = f"no incident has the id {incident_id!r}; see `pointwork incident list`"
        raise IncidentNotFoundError(msg)
    return _entry(row, connection.execute(_STEPS, {"of_incidents": [(subject, code)]}).all())


def _entry(row: Any, taken: Sequence[Any]) -> IncidentEntry:
    own = [each for each in taken if (each.task_id, each.code) == (row.task_id, row.code)]
    steps = [
        Step(state=IncidentState(each.step), by=each.taken_by, words=each.words, at=each.taken_at)
        for each in own
    ]
    order = list(IncidentState)
    return IncidentEntry(
        code=row.code,
        subject=row.task_id,
        detail=row.detail,
        occurred_at=row.occurred_at,
        steps=tuple(sorted(steps, key=lambda each: order.index(each.state))),
    )


def _row(entry: IncidentEntry, step: Step) -> dict[str, Any]:
    return {
        "task_id": entry.subject,
        "code": entry.code,
        "step": step.state,
        "taken_by": step.by,
        "words": step.words,
        "taken_at": step.at,
    }


def _told(row: dict[str, Any]) -> dict[str, Any]:
    """The step as the chain has it, and as its row must still say."""
    return row | {"step": str(row["step"]), "taken_at": row["taken_at"].isoformat()}


def _has(state: IncidentState) -> ColumnElement[bool]:
    of_it = (_STEP.c.task_id == _INCIDENT.c.task_id) & (_STEP.c.code == _INCIDENT.c.code)
    return exists().where(of_it, _STEP.c.step == state)


def _in_state(state: IncidentState) -> ColumnElement[bool]:
    is_reached = true() if state is IncidentState.OPEN else _has(state)
    following = state.next_step
    return and_(is_reached, not_(_has(following))) if following else is_reached


_INSERT = insert_if_absent(_STEP, "task_id", "code", "step")
_FIND = select(_INCIDENT).where(
    _INCIDENT.c.task_id == bindparam("of_task"), _INCIDENT.c.code == bindparam("of_code")
)
_LATEST = select(_INCIDENT).order_by(
    _INCIDENT.c.occurred_at.desc(), _INCIDENT.c.task_id, _INCIDENT.c.code
)
_STEPS = select(_STEP).where(
    tuple_(_STEP.c.task_id, _STEP.c.code).in_(bindparam("of_incidents", expanding=True))
)
_UNFINISHED = (
    select(func.count()).select_from(_INCIDENT).where(not_(_has(IncidentState.DOCUMENTED)))
)
_TOLD = select(_AUDIT.c.record).where(
    _AUDIT.c.kind.in_([f"{_KINDS}{each}" for each in IncidentState if each != IncidentState.OPEN])
)
