"""What the ledger keeps twice must agree: the chain has its own word on most of it (design 9).

An edit, or a byte that a disk turned, shows where one copy differs from the other.
"""

import json
from collections.abc import Iterator
from itertools import groupby
from operator import attrgetter
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    ColumnElement,
    Connection,
    and_,
    cast,
    func,
    literal,
    not_,
    or_,
    select,
)

from pointwork.contract.canonical import sha256_hex
from pointwork.contract.outcome import Settlement
from pointwork.ledger.activations import changed_activations
from pointwork.ledger.holds import ATTEMPT, OUTCOME, PART
from pointwork.ledger.incident_steps import changed_steps
from pointwork.ledger.tables import (
    Approval,
    ApproverKey,
    Audit,
    Decision,
    PolicyRevision,
    Task,
    VaultContent,
    VaultKey,
    table_of,
)

_APPROVAL = table_of(Approval)
_AUDIT = table_of(Audit)
_DECISION = table_of(Decision)
_KEY = table_of(ApproverKey)
_REVISION = table_of(PolicyRevision)
_TASK = table_of(Task)
_CONTENT = table_of(VaultContent)
_VAULT_KEY = table_of(VaultKey)
_ROWS_PER_FETCH = 500

_CANDIDATE_FIELDS = ("model", "vendor", "endpoint", "site")
_HAS_CANDIDATES = '"candidates":[{'
_OUTCOME_FIELDS = (
    "task_id",
    "status",
    "failure",
    "class_source",
    "task_class",
    "served_model",
    "settlement",
)
_DECISION_FIELDS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("task_id", ("task_id",)),
    ("effect", ("plan", "effect")),
    ("sensitivity", ("plan", "sensitivity")),
    ("bundle_sha256", ("plan", "policy", "bundle_sha256")),
    ("conversation", ("input", "request", "conversation")),
)


def disagreements(connection: Connection) -> Iterator[str]:
    """Rows that another copy contradicts: rules, decisions, outcomes, approvals, keys, answers.

    Reads the body of every decision once to hash it, and lets the database compare columns with
    bodies; the chain itself is I7's matter.
    """
    yield from _changed_rules(connection)
    yield from changed_activations(connection)
    yield from changed_steps(connection)
    yield from _changed_decisions(connection)
    yield from _changed_columns(connection)
    yield from _changed_attempts(connection)
    yield from _changed_approvals(connection)
    yield from _lost_answers(connection)
    yield from _mislaid_tasks(connection)


def _changed_rules(connection: Connection) -> Iterator[str]:
    for row in connection.execute(select(_REVISION)):
        if sha256_hex(row.canonical_json.encode()) != row.bundle_sha256:
            yield f"the rules {row.pack} {row.version} on record do not match their hash"


def _changed_decisions(connection: Connection) -> Iterator[str]:
    """Each outcome's record in the chain holds the hash of every decision of its task."""
    query = (
        select(_AUDIT.c.sequence, _AUDIT.c.task_id, _AUDIT.c.record)
        .add_columns(_DECISION.c.decision_id, _DECISION.c.body)
        .outerjoin(_DECISION, _DECISION.c.task_id == _AUDIT.c.task_id)
        .where(_AUDIT.c.kind == "outcome")
        .order_by(_AUDIT.c.sequence)
    )
    options = {"yield_per": _ROWS_PER_FETCH}
    with connection.execute(query, execution_options=options) as rows:
        for _, of_task in groupby(rows, attrgetter("sequence")):
            told: dict[str, str] | None = None
            for row in of_task:
                if told is None:
                    told, task_id = _hashes_in(row.record), row.task_id
                if row.body and told.get(row.decision_id) == sha256_hex(row.body.encode()):
                    del told[row.decision_id]
            for decision_id in told or ():
                yield f"decision {decision_id} of task {task_id} is not the one the chain tells of"


def _hashes_in(record: str) -> dict[str, str]:
    """Hashes by decision, without reading the whole record: it is canonical JSON."""
    _, _, rest = record.partition('"decisions_sha256":')
    hashes: dict[str, str] = json.loads(rest[: rest.index("}") + 1])
    return hashes


def _changed_columns(connection: Connection) -> Iterator[str]:
    cost = cast(_within(connection, OUTCOME.c.body, "cost_nano_usd"), BigInteger)
    outcomes = select(OUTCOME.c.task_id).where(
        or_(
            OUTCOME.c.cost_nano_usd.is_distinct_from(cost),
            *(
                OUTCOME.c[name].is_distinct_from(_within(connection, OUTCOME.c.body, name))
                for name in _OUTCOME_FIELDS
            ),
        )
    )
    for task_id in connection.execute(outcomes).scalars():
        yield f"a column of the outcome of task {task_id} differs from the outcome itself"
    decisions = select(_DECISION.c.decision_id).where(
        or_(
            *(
                _DECISION.c[name].is_distinct_from(_within(connection, _DECISION.c.body, *path))
                for name, path in _DECISION_FIELDS
            )
        )
    )
    for decision_id in connection.execute(decisions).scalars():
        yield f"a column of decision {decision_id} differs from the decision itself"


def _changed_attempts(connection: Connection) -> Iterator[str]:
    """Whom a call went to is what its decision permitted.

    Looks for the bytes of the field in the canonical JSON, where a text's quotes would be escaped.
    """
    query = (
        select(ATTEMPT.c.attempt_id)
        .join(PART, PART.c.part_id == ATTEMPT.c.attempt_id)
        .outerjoin(_DECISION, _DECISION.c.decision_id == PART.c.decision_id)
        .where(
            or_(
                _DECISION.c.decision_id.is_(None),
                ATTEMPT.c.settlement.not_in([*Settlement]),
                and_(
                    _holds(connection, _DECISION.c.body, literal(_HAS_CANDIDATES)),
                    or_(
                        *(
                            not_(_says(connection, _DECISION.c.body, name, ATTEMPT.c[name]))
                            for name in _CANDIDATE_FIELDS
                        )
                    ),
                ),
            )
        )
    )
    for attempt_id in connection.execute(query).scalars():
        yield f"attempt {attempt_id} is not a call that its decision tells of"


def _says(
    connection: Connection, body: ColumnElement[str], name: str, value: ColumnElement[Any]
) -> ColumnElement[bool]:
    """Unknown, which no condition counts, where there is no body or no value."""
    return _holds(connection, body, literal(f'"{name}":"') + value + literal('"'))


def _holds(
    connection: Connection, body: ColumnElement[str], text: ColumnElement[str]
) -> ColumnElement[bool]:
    place = func.strpos if connection.dialect.name == "postgresql" else func.instr
    return place(body, text) > 0


def _lost_answers(connection: Connection) -> Iterator[str]:
    """An answer stays in the vault until its task's key is destroyed."""
    query = (
        select(ATTEMPT.c.attempt_id)
        .join(_VAULT_KEY, _VAULT_KEY.c.task_id == ATTEMPT.c.task_id)
        .outerjoin(
            _CONTENT,
            and_(
                _CONTENT.c.task_id == ATTEMPT.c.task_id,
                _CONTENT.c.digest == ATTEMPT.c.answer_digest,
                _CONTENT.c.media_type == ATTEMPT.c.answer_media_type,
                _CONTENT.c.bytes_count == ATTEMPT.c.answer_bytes,
            ),
        )
        .where(
            ATTEMPT.c.answer_digest.is_not(None),
            _VAULT_KEY.c.wrapped.is_not(None),
            _CONTENT.c.task_id.is_(None),
        )
    )
    for attempt_id in connection.execute(query).scalars():
        yield f"the answer of attempt {attempt_id} is not in the vault"


def _mislaid_tasks(connection: Connection) -> Iterator[str]:
    """A task is open exactly while it has no outcome."""
    query = (
        select(_TASK.c.task_id, _TASK.c.is_open)
        .outerjoin(OUTCOME, OUTCOME.c.task_id == _TASK.c.task_id)
        .where(_TASK.c.is_open == OUTCOME.c.task_id.is_not(None))
    )
    for row in connection.execute(query):
        said = "open, and has an outcome" if row.is_open else "closed, and has no outcome"
        yield f"task {row.task_id} is marked as {said}"


def _within(connection: Connection, body: ColumnElement[str], *path: str) -> ColumnElement[Any]:
    """A field of a JSON body, as the database reads it."""
    if connection.dialect.name == "postgresql":
        return func.json_extract_path_text(cast(body, JSON), *path)
    return func.json_extract(body, "$." + ".".join(path))


def _changed_approvals(connection: Connection) -> Iterator[str]:
    """Who could approve, what was asked, and how it ended, against the chain's last word on it."""
    keys: dict[str, Any] = {}
    asked: dict[str, Any] = {}
    ended: dict[str, Any] = {}
    kinds = ("approver_key_added", "approval_opened", "approval_closed")
    query = select(_AUDIT.c.kind, _AUDIT.c.record).where(_AUDIT.c.kind.in_(kinds))
    for row in connection.execute(query.order_by(_AUDIT.c.sequence)):
        body = json.loads(row.record)["body"]
        match row.kind:
            case "approver_key_added":
                keys[body["key_id"]] = body
            case "approval_opened":
                asked[body["approval_id"]] = body
            case _:
                ended[body["approval_id"]] = body
    for row in connection.execute(select(_KEY)):
        if keys.get(row.key_id) != {
            "key_id": row.key_id,
            "approver": row.approver,
            "public_key": row.public_key,
        }:
            yield f"key {row.key_id} of {row.approver} is not the one the chain tells of"
    for row in connection.execute(select(_APPROVAL)):
        end = ended.get(row.approval_id, {"state": "waiting", "approver": None, "token_id": None})
        found = {"state": row.state, "approver": row.approver, "token_id": row.token_id}
        is_told = asked.get(row.approval_id) == json.loads(row.body)
        if not is_told or found != {name: end[name] for name in found}:
            yield f"approval {row.approval_id} is not as the chain tells of it"
