"""What one sweep of this deployment does, put together."""

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sqlalchemy import Engine
from temporalio.client import Client

from pointwork.juggernaut.publishing import publish_policies
from pointwork.ledger.juggernaut_tables import project
from pointwork.ledger.retention import Retention
from pointwork.ledger.selections import PACK
from workers.audit_feed import audit_feed
from workers.reconciling import reconcile_unknown
from workers.sweep import LedgerSweep
from workers.vault_upkeep import VaultUpkeep

if TYPE_CHECKING:
    from workers.wiring import Parts

_log = logging.getLogger(__name__)


def ledger_sweep(client: Client, parts: "Parts") -> LedgerSweep:
    async def reconcile() -> int:
        credentials, now = parts.settings.credentials, datetime.now(UTC)
        return (await reconcile_unknown(parts.engine, parts.library, credentials, now)).corrected

    def write_tables(engine: Engine, now: datetime) -> None:
        project(engine, now)
        try:
            publish_policies(engine, parts.policies.now().active(PACK), now)
        except (LookupError, ValueError) as error:
            # No such pack, or one of another make: what else is swept does not wait for it.
            _log.info("routing_policies stays as it is: %s", type(error).__name__)

    retention = Retention.over_defaults(parts.settings.content_retention_days)
    return LedgerSweep(
        client,
        parts.engine,
        reconcile,
        write_tables,
        upkeep=VaultUpkeep(parts.engine, parts.store, retention),
        feed=audit_feed(parts.engine, parts.settings.state_dir),
    )
