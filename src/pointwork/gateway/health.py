"""Whether this replica serves: what a load balancer asks."""

import asyncio
from collections.abc import Awaitable

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

router = APIRouter(tags=["health"])

_PROBE_SECONDS_MAX = 2.0


@router.head("/healthz", include_in_schema=False)
@router.get("/healthz")
async def alive() -> dict[str, str]:
    """The process answers."""
    return {"status": "alive"}


@router.head("/readyz", include_in_schema=False)
@router.get("/readyz")
async def ready(request: Request) -> JSONResponse:
    """The ledger and Temporal answer, each within two seconds."""
    gateway = request.app.state.gateway

    def ask() -> bool:
        try:
            with gateway.engine.connect() as connection:
                connection.execute(text("SELECT 1"))
        except SQLAlchemyError:
            return False
        return True

    has_ledger, has_temporal = await asyncio.gather(
        _in_time(asyncio.to_thread(ask)), _in_time(gateway.client.is_served())
    )
    parts = {"ledger": has_ledger, "temporal": has_temporal}
    return JSONResponse(parts, 200 if all(parts.values()) else 503)


async def _in_time(probe: Awaitable[bool]) -> bool:
    try:
        async with asyncio.timeout(_PROBE_SECONDS_MAX):
            return await probe
    except TimeoutError:
        return False
