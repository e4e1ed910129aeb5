"""The real Temporal server that tests run on, from its PyPI package."""

import asyncio
import sysconfig
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from temporalio.common import SearchAttributeKey
from temporalio.testing import WorkflowEnvironment

from pointwork.contract.names import SearchAttribute

SEARCH_ATTRIBUTES: list[SearchAttributeKey[str] | SearchAttributeKey[float]] = [
    SearchAttributeKey.for_float(each)
    if each is SearchAttribute.COST_USD
    else SearchAttributeKey.for_keyword(each)
    for each in SearchAttribute
]
TUNING = "history.transferProcessorMaxPollRPS=10000"
STARTS = 3
START_SECONDS_MAX = 60


@asynccontextmanager
async def dev_server(*dynamic_config: str) -> AsyncIterator[WorkflowEnvironment]:
    """A server tuned as `pointwork up` tunes it, with these settings besides.

    One that idles takes a fiftieth of a processor. A folder's own is therefore a fixture of scope
    "package", for which the folder has an ``__init__.py``: it ends when its tests are through.
    """
    server = await _started((TUNING, *dynamic_config))
    try:
        yield server
    finally:
        await server.shutdown()


async def _started(dynamic_config: tuple[str, ...]) -> WorkflowEnvironment:
    """Where many start at once one may find no free port for its inner services, and panics."""
    for _ in range(STARTS - 1):
        with suppress(RuntimeError, TimeoutError):
            return await _start(dynamic_config)
    return await _start(dynamic_config)


async def _start(dynamic_config: tuple[str, ...]) -> WorkflowEnvironment:
    async with asyncio.timeout(START_SECONDS_MAX):
        return await WorkflowEnvironment.start_local(
            dev_server_existing_path=str(Path(sysconfig.get_path("scripts")) / "temporal"),
            dev_server_log_level="error",
            search_attributes=SEARCH_ATTRIBUTES,
            dev_server_extra_args=[
                word for each in dynamic_config for word in ("--dynamic-config-value", each)
            ],
        )
