"""A deployment inside a network namespace that holds nothing but loopback; prints what it saw.

    unshare --user --map-root-user --net python -m tests.faults.offline_house tasks|reading FOLDER

Vendors have keys, so that nothing but the rules keeps a task from them. The kernel counts what any
process of the namespace tried to send where no route leads, Temporal's native parts included.
"""

import asyncio
import fcntl
import json
import socket
import struct
import sys
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from temporalio.client import Client

from pointwork.client import PointworkClient
from pointwork.contract.failures import TaskFailedError
from pointwork.contract.outcome import TaskOutcome
from pointwork.contract.prompt import Prompt
from pointwork.contract.task import Sensitivity, TaskDeclaration
from pointwork.leaving import leave
from pointwork.ledger.engine import open_engine
from pointwork.ledger.migrate import migrate
from pointwork.ledger.outcomes import OutcomeLog
from pointwork.ledger.vault import MasterKeys, Vault
from pointwork.privacy.language.host import LanguageHost
from pointwork.temporal import pointwork_plugin
from tests.fakes.connections import outside, watched
from tests.fakes.slow_model import slow_model
from tests.faults.conftest import write_policies
from tests.faults.processes import temporal
from workers.process import ALL, serve
from workers.settings import Credentials, Settings

TASKS = 50
MAIL = "ada@example.org"
NAMED = "Please write to Ada Lovelace, 12 Baker Street, London, about the contract."
_SIOCSIFFLAGS = 0x8914
_IFF_UP = 0x1


def main() -> int:
    what, folder = sys.argv[1:]
    loopback_up()
    seen = reading() if what == "reading" else asyncio.run(tasks(Path(folder)))
    sys.stdout.write(json.dumps(seen) + "\n")
    sys.stdout.flush()
    return 0


def loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", _IFF_UP))


def interfaces() -> dict[str, int]:
    """Packets received and sent by each interface of this namespace."""
    packets = {}
    for line in Path("/proc/self/net/dev").read_text().splitlines()[2:]:
        name, _, figures = line.partition(":")
        counted = figures.split()
        packets[name.strip()] = int(counted[1]) + int(counted[9])
    return packets


def sent_nowhere() -> int:
    """How often a process of this namespace tried to reach an address that no route leads to."""
    names, values = (
        line.split()[1:]
        for line in Path("/proc/self/net/snmp").read_text().splitlines()
        if line.startswith("Ip:")
    )
    counted = dict(zip(names, map(int, values), strict=True))["OutNoRoutes"]
    for line in Path("/proc/self/net/snmp6").read_text().splitlines():
        name, value = line.split()
        counted += int(value) if name == "Ip6OutNoRoutes" else 0
    return counted


def observed(hosts: list[str]) -> dict[str, Any]:
    return {
        "outside": outside(hosts),
        "sent_nowhere": sent_nowhere(),
        "others": {name: n for name, n in interfaces().items() if name != "lo"},
        "loopback_packets": interfaces()["lo"],
    }


def reading() -> dict[str, Any]:
    """The language models are loaded and read a text, in the child process they have."""
    host = LanguageHost()
    with watched() as hosts:
        found = host.find(NAMED)
        host.close()
    return {"found": len(found), **observed(hosts)}


async def tasks(folder: Path) -> dict[str, Any]:
    async with slow_model() as model, temporal(folder / "server") as server:
        model.gate.set()
        settings = Settings(
            state_dir=folder / "state",
            temporal_address=server.address,
            policies_dir=write_policies(folder, model),
            language_reading=False,
            credentials=Credentials.model_construct(
                openai_api_key=SecretStr("sk-none"), anthropic_api_key=SecretStr("sk-none")
            ),
        )
        settings.state_dir.mkdir()
        engine = open_engine(settings.ledger_address)
        migrate(engine)
        vault = Vault(engine, MasterKeys.load_or_create(settings.master_key_path))
        with watched() as hosts:
            serving = asyncio.create_task(serve(settings, ALL))
            connected = await Client.connect(server.address, plugins=[pointwork_plugin()])
            client = PointworkClient(connected, vault, OutcomeLog(engine))
            ended = await asyncio.gather(*(run(client, *sensitive(n)) for n in range(TASKS)))
            seen = observed(hosts)
        with watched() as hosts:
            let_out = await run(
                client, declaration("control", Sensitivity.PUBLIC), "Compare trees."
            )
            control = observed(hosts)
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        engine.dispose()
    return {
        "ended": ended,
        "model_calls": model.calls,
        **seen,
        "control": {"ended": let_out, **control},
    }


def sensitive(number: int) -> tuple[TaskDeclaration, str]:
    """Every second one is called public by its caller, and by its text is not."""
    text = f"Weigh both options of {number}, and write what you find to {MAIL}."
    level = Sensitivity.SENSITIVE if number % 2 else Sensitivity.PUBLIC
    return declaration(f"task-{number}", level), text


def declaration(task_id: str, level: Sensitivity) -> TaskDeclaration:
    """Of a class whose own models all stand outside."""
    return TaskDeclaration(
        task_id=task_id, caller="tester", task_class="high_stakes_logic", sensitivity=level
    )


async def run(client: PointworkClient, task: TaskDeclaration, text: str) -> str:
    await client.submit(Prompt.from_text(text), task)
    try:
        outcome: TaskOutcome = await client.result(task.task_id)
    except TaskFailedError as failed:
        return str(failed)
    return f"{outcome.status}, {outcome.served_model}"


if __name__ == "__main__":
    leave(main())
