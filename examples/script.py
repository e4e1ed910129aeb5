"""A script that uses a running `pointwork up`: ask one task, print its answer and its route.

    .venv/bin/python examples/script.py "Tidy up this line: the meeting are on tuesday."

It asks through the gateway, for which a key is enough. With `--direct` it starts the workflow on
Temporal itself and seals the text in its own process, for which it must hold the vault's key. What
it asks is the same. Ctrl-C lets go of the wait; the task goes on, and `--id` finds it again.
"""

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from pointwork.client import SyncGatewayClient, SyncPointworkClient, leave
from pointwork.contract.failures import PointworkError
from pointwork.contract.money import format_usd
from pointwork.contract.prompt import Prompt
from pointwork.contract.task import Sensitivity, TaskDeclaration, new_task_id
from pointwork.embedded import read_endpoints
from pointwork.ledger.engine import open_engine
from pointwork.ledger.outcomes import OutcomeLog
from pointwork.ledger.vault import MasterKeys, Vault
from pointwork.temporal import payload_codec

INTERRUPTED = 130


@contextmanager
def through_the_gateway(state_dir: Path) -> Iterator[SyncGatewayClient]:
    url = read_endpoints(state_dir).gateway_url or ""
    key = (state_dir / "keys" / "api.key").read_text()
    with SyncGatewayClient(url, key) as client:
        yield client


@contextmanager
def on_temporal(state_dir: Path) -> Iterator[SyncPointworkClient]:
    at = read_endpoints(state_dir)
    engine = open_engine(at.ledger_url)
    vault = Vault(engine, MasterKeys.load_or_create(state_dir / "master.key"))
    codec = payload_codec(at.payload_keys) if at.payload_keys else None
    with SyncPointworkClient.connect(
        at.temporal_address, vault, OutcomeLog(engine), namespace=at.namespace, codec=codec
    ) as client:
        yield client
    engine.dispose()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("text", nargs="?", default="Say hello.")
    parser.add_argument("--class", dest="task_class", default="summarisation_formatting")
    parser.add_argument("--sensitivity", type=Sensitivity)
    parser.add_argument("--id", default=new_task_id(datetime.now(UTC)))
    parser.add_argument("--direct", action="store_true")
    parser.add_argument("--state-dir", type=Path, default=Path(".pointwork"))
    given = parser.parse_args()
    declaration = TaskDeclaration(
        task_id=given.id,
        caller="local-service",
        task_class=given.task_class,
        sensitivity=given.sensitivity,
    )
    connected = on_temporal if given.direct else through_the_gateway
    try:
        with connected(given.state_dir) as client:
            outcome = client.run(Prompt.from_text(given.text), declaration)
            sys.stdout.write(f"{client.answer_text(outcome)}\n")
    except PointworkError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write(f"the task goes on; wait for it again with --id {given.id}\n")
        return INTERRUPTED
    cost = format_usd(outcome.cost_nano_usd)
    sys.stderr.write(f"{outcome.task_id}: {outcome.served_model}, {cost}\n")
    return 0


if __name__ == "__main__":
    leave(main())
