"""A whole deployment whose outside vendors are their own adapters over a pretended network."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Interceptor

from pointwork.ledger.payload_keys import create_payload_keys
from pointwork.policy.bundle import PolicyLibrary
from tests.fakes.scripted_provider import Script
from tests.fakes.vendor_flavours import EVERY
from tests.fakes.vendor_reply import InProcessVendor, Reply
from tests.providers.conftest import KEY
from tests.workflows.stack import Stack, open_test_parts, running

VENDORS = ("openai", "anthropic", "google", "xai", "deepseek", "moonshot")


@dataclass
class Outside:
    stack: Stack
    vendors: dict[str, InProcessVendor]
    folder: Path

    @property
    def called(self) -> dict[str, str]:
        """What reached each vendor that was called at all."""
        return {
            name: json.dumps([each.body for each in vendor.received], ensure_ascii=False)
            + str([(each.path, each.headers) for each in vendor.received])
            for name, vendor in self.vendors.items()
            if vendor.received
        }


@asynccontextmanager
async def outside(
    server: WorkflowEnvironment,
    library: PolicyLibrary,
    folder: Path,
    *,
    refuses_with: str = "no",
    is_keyed: bool = False,
    interceptors: Sequence[Interceptor] = (),
) -> AsyncIterator[Outside]:
    """Each vendor refuses every request, in its own words around ``refuses_with``."""
    script = Script()
    flavours = {each.name: each for each in EVERY if each.name in VENDORS}
    vendors = {name: InProcessVendor(each.origin) for name, each in flavours.items()}
    for name, vendor in vendors.items():
        status, body = flavours[name].wire.refusals(refuses_with)["invalid"]
        vendor.reply = Reply.of_json(status, body, x_request_id=refuses_with[:80])
    adapters = {
        name: each.build(vendors[name].base_url + each.path, KEY, vendors[name].transport)
        for name, each in flavours.items()
    }
    parts = open_test_parts(folder, library, script)
    if is_keyed:
        create_payload_keys(folder / "payload.keys")
        settings = parts.settings.model_copy(update={"payload_keys": folder / "payload.keys"})
        parts = replace(parts, settings=settings)
    parts = replace(parts, providers={**parts.providers, **adapters})
    async with running(server, parts, script, interceptors=interceptors) as stack:
        yield Outside(stack, vendors, folder)
    for adapter in adapters.values():
        await adapter.aclose()
    parts.threads.shutdown()
    parts.engine.dispose()
