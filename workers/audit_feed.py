"""Hands the audit chain to the governing authority (SP-47). The chain itself is the queue."""

import logging
from dataclasses import asdict
from pathlib import Path

from sqlalchemy import Engine

from pointwork.governance.audit_file import FileAuditReceiver
from pointwork.governance.ports import AuditEvent, AuditReceiver
from pointwork.ledger.audit import AuditChain
from workers.governed_signals import GOVERNANCE_FOLDER

_ROWS = 1_000
_ROWS_A_SWEEP = 50_000

_log = logging.getLogger(__name__)


class AuditFeed:
    """Gives every record of the chain once, in order; what is not taken is given again later."""

    def __init__(self, engine: Engine, receiver: AuditReceiver) -> None:
        self._chain = AuditChain(engine)
        self._receiver = receiver

    def run(self, rows_max: int = _ROWS_A_SWEEP) -> int:
        """How many records were taken; the rest waits for the next run."""
        taken = 0
        try:
            since = self._receiver.taken_until()
            while taken < rows_max:
                records = self._chain.records(min(_ROWS, rows_max - taken), since)
                if not records:
                    break
                self._receiver.take([AuditEvent(**asdict(each)) for each in records])
                taken, since = taken + len(records), records[-1].sequence
        except OSError as error:
            _log.warning("the audit events were not taken and wait: %s", error)
        return taken


def audit_feed(engine: Engine, state_dir: Path) -> AuditFeed | None:
    """Into the deployment's governance folder; None where nobody governs it from there."""
    folder = state_dir / GOVERNANCE_FOLDER
    return AuditFeed(engine, FileAuditReceiver(folder)) if folder.is_dir() else None
