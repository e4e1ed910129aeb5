"""Which runtime served a local model instead of which, on the audit chain (CX-69, CX-84)."""

from datetime import datetime

from sqlalchemy import Connection, Engine

from pointwork.ledger import audit
from pointwork.ledger.engine import transact

FALLBACK = "runtime_fallback"
RESTORED = "runtime_restored"


class RuntimeLog:
    """Thread-safe; keeps no state outside the ledger."""

    def __init__(self, engine: Engine, host: str) -> None:
        """``host``: name of the host profile whose models are told of."""
        self._engine = engine
        self._host = host

    def append(
        self,
        *,
        model: str,
        from_runtime: str,
        to_runtime: str,
        cause: str,
        is_fallback: bool,
        now: datetime,
    ) -> None:
        """Tell that ``model`` is served by another runtime than before."""
        body = {
            "host": self._host,
            "model": model,
            "from": from_runtime,
            "to": to_runtime,
            "cause": cause,
        }

        def write(connection: Connection) -> None:
            audit.append(connection, FALLBACK if is_fallback else RESTORED, body, now)

        transact(self._engine, write)
