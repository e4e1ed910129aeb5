"""``pointwork up``: everything on this machine, until it is told to stop."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from pointwork.cli.options import HOST_DEFAULT, STATE_DIR_DEFAULT, AsJson, HostName, StateDir
from pointwork.cli.screen import Screen, facts
from pointwork.cli.starting import cancel_on_signal, embedded, prepare

if TYPE_CHECKING:
    from pointwork.embedded import Endpoints


def up(
    state_dir: StateDir = STATE_DIR_DEFAULT,
    host: HostName = HOST_DEFAULT,
    as_json: AsJson = False,
) -> None:
    """Start Pointwork on this machine; Ctrl-C stops it.

    The first start creates the keys and the ledger, pulls the local model, and makes you the
    owner who may approve. State lives under one folder; a later start resumes what was unfinished.
    """
    screen = Screen(as_json=as_json)
    prepare(screen, state_dir, host)
    asyncio.run(_serve(screen, state_dir))


async def _serve(screen: Screen, state_dir: Path) -> None:
    cancel_on_signal()
    try:
        async with embedded(screen, state_dir) as running:
            _announce(screen, state_dir, running.endpoints)
            await running.wait()
    except asyncio.CancelledError:
        screen.say("Stopped; nothing is left running.")


def _announce(screen: Screen, state_dir: Path, endpoints: "Endpoints") -> None:
    if screen.as_json:
        return screen.document(endpoints.model_dump(mode="json") | {"state_dir": str(state_dir)})
    screen.line()
    screen.show(
        facts(
            [
                *_gateway(endpoints),
                ("Temporal", endpoints.temporal_address),
                ("Temporal's UI", endpoints.ui_url),
                ("ledger", endpoints.ledger_url),
                ("state", str(state_dir.absolute())),
                ("approvals", "the owner decides, with `pointwork approve ID --reason ...`"),
            ]
        )
    )
    screen.line()
    screen.line("Ready. Try, in another terminal and in this folder:")
    screen.line(f"  {_try(state_dir)}")
    return screen.line("Ctrl-C stops it.")


def _gateway(endpoints: "Endpoints") -> list[tuple[str, str]]:
    if endpoints.gateway_url is None:
        return []
    return [
        ("OpenAI's API", f"{endpoints.gateway_url}/v1"),
        ("console", f"{endpoints.gateway_url}/console"),
    ]


def _try(state_dir: Path) -> str:
    default = "" if state_dir == STATE_DIR_DEFAULT else f" --state-dir {state_dir}"
    return f'pointwork run{default} "Summarise in one sentence: the meeting moved to Friday."'
