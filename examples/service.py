"""A service that uses a running `pointwork up`: submit one task and print its answer and its route.

.venv/bin/python examples/service.py "Tidy up this line: the meeting are on tuesday."
"""

import asyncio
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

from pointwork.client import PointworkClient
from pointwork.contract.failures import PointworkError
from pointwork.contract.money import format_usd
from pointwork.contract.prompt import Prompt
from pointwork.contract.task import Sensitivity, TaskDeclaration, new_task_id
from pointwork.embedded import read_endpoints
from pointwork.ledger.engine import open_engine
from pointwork.ledger.outcomes import OutcomeLog
from pointwork.ledger.vault import MasterKeys, Vault
from pointwork.temporal import payload_codec

STATE_DIR = Path(".pointwork")
PAYLOAD_KEYS: Path | None = None
"""The file that the workers' POINTWORK_PAYLOAD_KEYS names, where they have one."""


async def main(text: str) -> int:
    endpoints = read_endpoints(STATE_DIR)
    engine = open_engine(endpoints.ledger_url)
    vault = Vault(engine, MasterKeys.load_or_create(STATE_DIR / "master.key"))
    codec = payload_codec(PAYLOAD_KEYS) if PAYLOAD_KEYS else None
    client = await PointworkClient.connect(
        endpoints.temporal_address, vault, OutcomeLog(engine), codec=codec
    )
    declaration = TaskDeclaration(
        task_id=new_task_id(datetime.now(UTC)),
        caller="example-service",
        task_class="summarisation_formatting",
        sensitivity=Sensitivity.INTERNAL,
    )
    outcome = await client.run(Prompt.from_text(text), declaration)
    sys.stdout.write(f"{client.answer_text(outcome)}\n")
    cost = format_usd(outcome.cost_nano_usd)
    sys.stderr.write(f"{outcome.task_id}: {outcome.served_model}, {cost}\n")
    return 0


if __name__ == "__main__":
    try:
        code = asyncio.run(main(" ".join(sys.argv[1:]) or "Say hello."))
    except PointworkError as error:
        sys.stderr.write(f"error: {error}\n")
        code = 1
    sys.stdout.flush()
    os._exit(code)
