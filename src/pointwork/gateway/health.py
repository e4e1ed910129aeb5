"""Whether this replica serves: what a load balancer asks."""

import asyncio

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

router = APIRouter(tags=["health"])


@router.get("/healthz")
async def alive() -> dict[str, str]:
    """The process answers."""
    return {"status": "alive"}


@router.get("/readyz")
async def ready(request: Request) -> JSONResponse:
    """The ledger and Temporal answer."""
    gateway = request.app.state.gateway

    def ask() -> bool:
        try:
            with gateway.engine.connect() as connection:
                connection.execute(text("SELECT 1"))
        except SQLAlchemyError:
            return False
        return True

    has_ledger, has_temporal = await asyncio.gather(
        asyncio.to_thread(ask), gateway.client.is_served()
    )
    parts = {"ledger": has_ledger, "temporal": has_temporal}
    return JSONResponse(parts, 200 if all(parts.values()) else 503)
