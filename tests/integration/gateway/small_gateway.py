"""A gateway in a process of its own, whose memory can be watched: ``small_gateway FOLDER``.

Its Temporal is never there, so nothing it is sent becomes a task. A line on stdout has its address
and a key; it serves until stdin ends.
"""

import asyncio
import json
import sys
from datetime import UTC, datetime
from pathlib import Path

from temporalio.client import Client

from pointwork.contract.identity import Identity, IdentityKind, Role
from pointwork.ledger.access_keys import AccessKeys
from pointwork.ledger.identities import Identities
from pointwork.policy.documents.load import load_library
from tests.conftest import REPOSITORY
from tests.fakes.scripted_provider import Script
from tests.workflows.stack import open_test_parts
from workers.gateway import build_gateway, serve_gateway
from workers.settings import GatewaySettings


async def serve(folder: Path) -> None:
    parts = open_test_parts(folder, load_library(REPOSITORY / "policies", "embedded"), Script())
    now = datetime.now(UTC)
    sender = Identity(
        name="sender",
        subject="sender",
        kind=IdentityKind.SERVICE,
        roles=(Role.SUBMITTER,),
        created_at=now,
    )
    Identities(parts.engine).add(sender, "owner")
    token = AccessKeys(parts.engine).create("sender", "owner", now)
    temporal = await Client.connect("127.0.0.1:9", lazy=True)
    settings, stopped = GatewaySettings(port=0), asyncio.Event()

    def serving(url: str) -> None:
        sys.stdout.write(f"{json.dumps([url, token])}\n")
        sys.stdout.flush()

    gateway = build_gateway(temporal, parts, settings)
    running = asyncio.create_task(serve_gateway(gateway, settings, stopped, serving))
    await asyncio.to_thread(sys.stdin.read)
    stopped.set()
    await running


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1])))
