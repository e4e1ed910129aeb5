"""The audit chain: every record's hash covers the record and the hash before it (design 9).

``h_n = SHA256(0x00 || h_(n-1) || record_n)`` over canonical JSON (RFC 8785), with 32 zero bytes
before the first. An edit, a deletion, an insertion or a swap breaks every hash after it.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import rfc8785
from sqlalchemy import Connection, Engine, bindparam, func, insert, select

from pointwork.failpoints import Failpoint, reach
from pointwork.ledger.engine import read
from pointwork.ledger.tables import Audit, table_of

GENESIS = bytes(32)
_JSON_INTEGER_MAX = 2**53 - 1
_CHAIN_LOCK = 0x506F696E74
_AUDIT = table_of(Audit)


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditRecord:
    """One link of the chain."""

    sequence: int
    kind: str
    task_id: str | None
    occurred_at: datetime
    body: dict[str, Any]
    hash: str
    """SHA-256 in hex."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RangeReport:
    """What reading the last records found; those before them were not looked at."""

    first_sequence: int
    last_sequence: int
    first_broken_sequence: int | None = None
    reason: str = ""

    @property
    def holds(self) -> bool:
        return self.first_broken_sequence is None


@dataclass(frozen=True, kw_only=True, slots=True)
class ChainReport:
    """What reading the whole chain found. The chain holds where ``reason`` is empty."""

    count: int
    """Records that hold, counted from the first."""
    head_hash: str
    """Hash of the last record that holds, in hex."""
    first_broken_sequence: int | None = None
    reason: str = ""

    @property
    def holds(self) -> bool:
        return self.first_broken_sequence is None


def append(
    connection: Connection,
    kind: str,
    body: Mapping[str, Any],
    now: datetime,
    *,
    task_id: str | None = None,
) -> int:
    """Add a record inside the caller's transaction, as its last lock, and return its sequence.

    One writer at a time: SQLite's write lock sees to it, an advisory lock on Postgres.
    """
    reach(Failpoint.BEFORE_AUDIT_APPEND)
    if connection.dialect.name == "postgresql":
        connection.execute(_LOCK_CHAIN)
    last = connection.execute(_LAST).first()
    sequence = last.sequence + 1 if last else 1
    record = _canonical(
        {
            "sequence": sequence,
            "kind": kind,
            "task_id": task_id,
            "occurred_at": now.astimezone(UTC).isoformat(),
            "body": body,
        }
    )
    before = bytes.fromhex(last.hash) if last else GENESIS
    connection.execute(
        _INSERT,
        {
            "sequence": sequence,
            "kind": kind,
            "task_id": task_id,
            "occurred_at": now,
            "record": record.decode(),
            "hash": _link(before, record).hex(),
        },
    )
    reach(Failpoint.AFTER_AUDIT_APPEND)
    return sequence


class AuditChain:
    """Reads and verifies the chain. Thread-safe; keeps no state."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def verify(self) -> ChainReport:
        """Recompute every hash from the first record on, in constant memory.

        A chain proves nothing about records cut off its end: compare ``count`` and ``head_hash``
        with a checkpoint kept elsewhere.
        """
        with read(self._engine) as connection:
            return verify_chain(connection)

    def verify_last(self, count: int) -> RangeReport:
        """Recompute the hashes of the last ``count`` records from the hash before them.

        That hash is taken as it stands: a change further back shows in ``verify`` alone.
        """
        with read(self._engine) as connection:
            last: int = connection.execute(_HEAD).scalar() or 0
            first = max(1, last - count + 1)
            values = {"since": first - 1, "most": count}
            before = GENESIS
            if first > 1:
                found = connection.execute(_HASH_OF, {"of_sequence": first - 1}).scalar()
                if found is None:
                    return RangeReport(
                        first_sequence=first,
                        last_sequence=last,
                        first_broken_sequence=first - 1,
                        reason=f"record {first - 1} is missing",
                    )
                before = bytes.fromhex(found)
            rows = connection.execute(_AFTER, values).all()
        for sequence, row in enumerate(rows, first):
            if reason := _fault(row, sequence, before):
                return RangeReport(
                    first_sequence=first,
                    last_sequence=last,
                    first_broken_sequence=sequence,
                    reason=reason,
                )
            before = bytes.fromhex(row.hash)
        return RangeReport(first_sequence=first, last_sequence=last)

    def latest(
        self, limit: int, *, before: int | None = None, kind: str = "", task_id: str = ""
    ) -> list[AuditRecord]:
        """Up to ``limit`` records below sequence ``before``, latest first; of one kind or task."""
        query = select(_AUDIT).order_by(_AUDIT.c.sequence.desc()).limit(limit)
        if before is not None:
            query = query.where(_AUDIT.c.sequence < before)
        if task_id:
            # A task has few records: no index of the kinds is to be preferred to that of the tasks.
            of_kind = _AUDIT.c.kind.concat("")
            query = query.where(_AUDIT.c.task_id == task_id)
        else:
            of_kind = _AUDIT.c.kind
        if kind:
            query = query.where(of_kind == kind)
        with read(self._engine) as connection:
            return [_record(row) for row in connection.execute(query)]

    def find(self, sequence: int) -> AuditRecord | None:
        """The record of this number; None where there is none."""
        found = self.records(1, sequence - 1)
        return found[0] if found and found[0].sequence == sequence else None

    def kinds(self) -> list[str]:
        """Every kind there is a record of, by name; one look into the index for each."""
        found: list[str] = []
        with read(self._engine) as connection:
            after = ""
            while (kind := connection.execute(_NEXT_KIND, {"after": after}).scalar()) is not None:
                found.append(kind)
                after = kind
        return found

    def records(self, limit: int, since_sequence: int = 0) -> list[AuditRecord]:
        """Up to ``limit`` records after ``since_sequence``, oldest first."""
        with read(self._engine) as connection:
            rows = connection.execute(_AFTER, {"since": since_sequence, "most": limit}).all()
        return [_record(row) for row in rows]


def verify_chain(connection: Connection) -> ChainReport:
    """As ``AuditChain.verify``, over a given connection."""
    count, before = 0, GENESIS
    # Closed whatever a damaged record raises.
    with connection.execute(_IN_ORDER, execution_options={"yield_per": 1000}) as rows:
        for row in rows:
            reason = _fault(row, count + 1, before)
            if reason:
                return ChainReport(
                    count=count,
                    head_hash=before.hex(),
                    first_broken_sequence=count + 1,
                    reason=reason,
                )
            count, before = count + 1, bytes.fromhex(row.hash)
    return ChainReport(count=count, head_hash=before.hex())


def _record(row: Any) -> AuditRecord:
    return AuditRecord(
        sequence=row.sequence,
        kind=row.kind,
        task_id=row.task_id,
        occurred_at=row.occurred_at,
        body=json.loads(row.record)["body"],
        hash=row.hash,
    )


def _fault(row: Any, sequence: int, before: bytes) -> str:
    """Why the row cannot be record number ``sequence``; empty where it can."""
    if row.sequence != sequence:
        return f"record {sequence} is missing; the next one found is {row.sequence}"
    if row.hash != _link(before, row.record.encode()).hex():
        return f"record {sequence} does not match its hash"
    record = json.loads(row.record)
    columns = {
        "sequence": row.sequence,
        "kind": row.kind,
        "task_id": row.task_id,
        "occurred_at": row.occurred_at.isoformat(),
    }
    for name, value in columns.items():
        if record[name] != value:
            return f"column {name} of record {sequence} differs from the record itself"
    return ""


def _link(before: bytes, record: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + before + record).digest()


def _canonical(value: dict[str, Any]) -> bytes:
    try:
        return rfc8785.dumps(value)
    except rfc8785.IntegerDomainError:
        return rfc8785.dumps(within_json(value))


def within_json(value: Any) -> Any:
    """RFC 8785 has no integers beyond 2**53; such a figure stands as its decimal digits."""
    match value:
        case dict():
            return {key: within_json(each) for key, each in value.items()}
        case list() | tuple():
            return [within_json(each) for each in value]
        case int() if not isinstance(value, bool) and abs(value) > _JSON_INTEGER_MAX:
            return str(value)
        case _:
            return value


_LOCK_CHAIN = select(func.pg_advisory_xact_lock(_CHAIN_LOCK))
_LAST = select(_AUDIT.c.sequence, _AUDIT.c.hash).order_by(_AUDIT.c.sequence.desc()).limit(1)
_HEAD = select(func.max(_AUDIT.c.sequence))
_HASH_OF = select(_AUDIT.c.hash).where(_AUDIT.c.sequence == bindparam("of_sequence"))
_NEXT_KIND = select(func.min(_AUDIT.c.kind)).where(_AUDIT.c.kind > bindparam("after"))
_INSERT = insert(_AUDIT)
_IN_ORDER = select(_AUDIT).order_by(_AUDIT.c.sequence)
_AFTER = (
    select(_AUDIT)
    .where(_AUDIT.c.sequence > bindparam("since"))
    .order_by(_AUDIT.c.sequence)
    .limit(bindparam("most"))
)
