"""Incidents that no task caused: what somebody did to a policy document on disk (OM-83)."""

from datetime import datetime

from sqlalchemy import Connection, Engine

from pointwork.contract.canonical import sha256_hex
from pointwork.ledger import audit
from pointwork.ledger.engine import insert_if_absent, transact
from pointwork.ledger.tables import Incident, table_of

_INCIDENT = table_of(Incident)
_DETAIL_CHARACTERS = 12


def policy_incident_id(pack: str, version: str, detail: str) -> str:
    """Stands where a task's id would. It holds slashes, as no task's id may."""
    return f"policy/{pack}/{version}/{sha256_hex(detail.encode())[:_DETAIL_CHARACTERS]}"


def record_policy_incident(
    engine: Engine, pack: str, version: str, code: str, detail: str, now: datetime
) -> bool:
    """Record that a policy document was refused, with an audit record of it.

    Every process that starts finds the same document: the same finding is one incident.

    Args:
        engine: the ledger.
        pack: whose document it is.
        version: the version it claims, or that is missing.
        code: which rule it breaks (``PolicyFault``).
        detail: the loader's sentence: file, hashes and remedy.
        now: when it was found.

    Returns:
        Whether the incident is new.
    """
    row = {
        "task_id": policy_incident_id(pack, version, detail),
        "code": code,
        "detail": detail,
        "occurred_at": now,
    }

    def write(connection: Connection) -> bool:
        if connection.execute(_INSERT[connection.dialect.name], row).rowcount == 0:
            return False
        record = {"pack": pack, "version": version, "code": code, "detail": detail}
        audit.append(connection, "policy_incident", record, now)
        return True

    return transact(engine, write)


_INSERT = insert_if_absent(_INCIDENT, "task_id", "code")
