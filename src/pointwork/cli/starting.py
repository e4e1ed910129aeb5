"""Makes a state directory ready to run on, and runs it: what ``up`` and ``demo`` share."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pointwork.cli.deployment import app_root
from pointwork.cli.models import pull_weights
from pointwork.cli.owner import ensure_access_keys, ensure_owner, key_path
from pointwork.cli.payload_keys import accepts_plaintext, open_codec, payload_keys_file
from pointwork.cli.screen import FAIL, OK, Screen

if TYPE_CHECKING:
    from pointwork.embedded import Embedded, EmbeddedEvent
    from pointwork.policy.bundle import PolicyLibrary

_WORDS = {
    "temporal": "Temporal server",
    "all": "workers",
    "gpu": "local model's worker",
    "gateway": "gateway",
}


def prepare(screen: Screen, state_dir: Path, host: str) -> None:
    """Keys, ledger, weights and the owner; each is made once and left alone after.

    Raises:
        EmbeddedError, ModelPullError, PolicyError: something cannot be had; nothing was started.
        MasterKeyError: a key file cannot be used.
        LedgerFileError: the ledger is gone or cannot be written.
    """
    from pointwork.embedded import StateDirectory
    from pointwork.ledger.engine import open_engine
    from pointwork.ledger.ledger_file import check_ledger_file
    from pointwork.ledger.migrate import migrate
    from pointwork.ledger.rotation import open_master_keys

    is_encrypted = open_codec(state_dir) is not None
    library = _library_on_record(state_dir, app_root() / "policies", host)
    directory = StateDirectory(state_dir)
    directory.create()
    key = directory.path / "master.key"
    is_first = not key.exists()
    check_ledger_file(directory.ledger_db, was_used=not is_first)
    engine = open_engine(f"sqlite:///{directory.ledger_db}")
    migrate(engine)
    # After the ledger: the key is the sign that there was one.
    open_master_keys(engine, key)
    tick(screen, "ledger", "created" if is_first else "ready")
    for model in library.of_this_host.host.local_models:
        pull_weights(screen, model, directory.path)
        tick(screen, f"model {model}", "verified")
    key_id, is_new = ensure_owner(engine, directory.path)
    api_key, console_key = ensure_access_keys(engine, directory.path)
    engine.dispose()
    if is_encrypted:
        tick(screen, "payloads", f"encrypted with {payload_keys_file(state_dir)}")
    made = f"created, key {key_path(directory.path, 'owner')}" if is_new else f"key {key_id}"
    tick(screen, "owner", f"may approve; {made}")
    tick(screen, "API key", f"for programs, in {api_key}")
    tick(screen, "console key", f"to sign in as the owner, in {console_key}")


def _library_on_record(state_dir: Path, policies: Path, host: str) -> "PolicyLibrary":
    """The packs on disk. One that was changed past the record is an incident (OM-83)."""
    from pointwork.embedded import StateDirectory
    from pointwork.ledger.engine import open_engine
    from pointwork.ledger.incidents import record_policy_incident
    from pointwork.ledger.migrate import migrate
    from pointwork.policy.documents.load import load_library
    from pointwork.policy.documents.revisions import TamperedPolicyError

    try:
        return load_library(policies, host)
    except TamperedPolicyError as error:
        directory = StateDirectory(state_dir)
        directory.create()
        engine = open_engine(f"sqlite:///{directory.ledger_db}")
        migrate(engine)
        now = datetime.now(UTC)
        record_policy_incident(engine, error.pack, error.version, error.fault, str(error), now)
        engine.dispose()
        raise


def is_running(state_dir: Path) -> bool:
    """Whether a deployment runs on ``state_dir`` already."""
    from pointwork.embedded import NotRunningError, read_endpoints

    try:
        read_endpoints(state_dir)
    except NotRunningError:
        return False
    return True


def cancel_on_signal() -> None:
    """Let SIGINT and SIGTERM cancel the running task, once: the stop that follows is let finish."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    told = False

    def cancel() -> None:
        nonlocal told
        if not told and task is not None:
            told = True
            task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, cancel)


@asynccontextmanager
async def embedded(screen: Screen, state_dir: Path) -> "AsyncIterator[Embedded]":
    """Everything running, from ready until the block is left.

    Raises:
        EmbeddedError: a part did not come up; what was started is stopped again.
    """
    from pointwork.embedded import Embedded

    running = Embedded(
        state_dir,
        app_root(),
        payload_keys=payload_keys_file(state_dir),
        accepts_plaintext=accepts_plaintext(),
    )

    def show(event: "EmbeddedEvent") -> None:
        _show(screen, event)

    await running.start(show)
    try:
        yield running
    finally:
        await running.stop()


def _show(screen: Screen, event: "EmbeddedEvent") -> None:
    from pointwork.embedded import PartState

    name = _WORDS.get(event.part, event.part)
    match event.state:
        case PartState.READY:
            tick(screen, name, event.detail)
        case PartState.DIED:
            screen.say(f"  ! {name:<22} ended ({event.detail}); it is started again", FAIL)
        case PartState.STOPPED:
            screen.note(f"  - {name:<22} stopped")
        case PartState.STARTING:
            screen.note(f"  . {name:<22} starts")


def tick(screen: Screen, name: str, detail: str) -> None:
    screen.say(f"  ✓ {name:<22} {detail}", OK)
