"""The rules that decide new tasks, as they stand when a request comes in."""

import asyncio
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Request

from pointwork.policy.bundle import PolicyLibrary

if TYPE_CHECKING:
    from pointwork.gateway.app import Gateway


async def rules_of(request: Request) -> PolicyLibrary:
    """Read once for each request, so that all of its answer is of one version."""
    gateway: Gateway = request.app.state.gateway
    return await asyncio.to_thread(gateway.policies.now)


Rules = Annotated[PolicyLibrary, Depends(rules_of)]
