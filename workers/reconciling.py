"""Asks the vendors that keep records what became of calls whose fate is unknown."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime

from sqlalchemy import Engine

from pointwork.ledger.reconcile import ReconcileReport, reconcile_all
from pointwork.policy.bundle import PolicyLibrary
from pointwork.policy.documents.catalogue import Endpoint
from pointwork.providers.lookup import CallLookup, LookupKind, open_lookup
from workers.providers import is_usable
from workers.settings import Credentials


async def reconcile_unknown(
    engine: Engine, library: PolicyLibrary, credentials: Credentials, now: datetime
) -> ReconcileReport:
    """One run over every endpoint that has a look-up and a key; safe to repeat and to overlap."""
    async with lookups_of(library, credentials) as lookups:
        return await reconcile_all(engine, lookups, now)


@asynccontextmanager
async def lookups_of(
    library: PolicyLibrary, credentials: Credentials
) -> AsyncIterator[Mapping[str, CallLookup]]:
    """The records this process can ask, by endpoint; their connections close on leaving."""
    lookups: dict[str, CallLookup] = {}
    try:
        for name, endpoint in _looked_up(library).items():
            if endpoint.lookup and endpoint.base_url and is_usable(endpoint, credentials):
                key = credentials.of(endpoint.credential) if endpoint.credential else None
                lookups[name] = open_lookup(LookupKind(endpoint.lookup), endpoint.base_url, key)
        yield lookups
    finally:
        for lookup in lookups.values():
            await lookup.aclose()


def _looked_up(library: PolicyLibrary) -> dict[str, Endpoint]:
    """Endpoints any bundle has a look-up for: one it lost later may still have calls to ask of."""
    return {
        each.model.endpoint: each.endpoint
        for bundle in library.all()
        for each in bundle.models.values()
        if each.endpoint.lookup is not None
    }
