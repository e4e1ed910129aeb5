"""Finds what the commands work on: the deployment's folder, its policy, its ledger, its Temporal.

The command line never imports the deployment's packages; it only knows where they lie.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pointwork.cli.errors import CliError, ExitCode
from pointwork.cli.payload_keys import open_codec
from pointwork.cli.vault_place import existing_master_key, open_store

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from pointwork.client import PointworkClient
    from pointwork.contract.decision import DecisionRecord
    from pointwork.ledger.outcomes import OutcomeLog
    from pointwork.ledger.vault import Vault
    from pointwork.policy.bundle import PolicyBundle, PolicyLibrary


def app_root() -> Path:
    """The deployment that the current folder belongs to.

    Raises:
        EmbeddedError: no folder above this one holds ``workers/`` and ``policies/``.
    """
    from pointwork.embedded import find_app_root

    return find_app_root(Path.cwd())


def policies_folder(given: Path | None) -> Path:
    folder = given if given is not None else app_root() / "policies"
    if not folder.is_dir():
        raise CliError(f"--policies-dir {folder} is not a folder", "give the folder of the packs")
    return folder


def deployed_policy(given: Path | None, host: str) -> "PolicyLibrary":
    """The documents alone, whose newest versions are taken for active."""
    from pointwork.policy.documents.load import load_library

    return load_library(policies_folder(given), host)


def load_policy(given: Path | None, host: str, state_dir: Path) -> "PolicyLibrary":
    """The rules as they decide new tasks now: the documents, and what an owner went back to.

    Where Pointwork never ran with ``state_dir``, nobody can have gone back.
    """
    library = deployed_policy(given, host)
    engine = ledger_of_activations(state_dir)
    if engine is None:
        return library
    from pointwork.rollback import active_policies

    return active_policies(engine, library).now()


def ledger_of_activations(state_dir: Path) -> "Engine | None":
    """The ledger of ``state_dir``; None where there is none, or none yet with such a log.

    One that an earlier version wrote gets the log when its workers start anew.
    """
    from sqlalchemy import inspect

    if not has_ledger(state_dir):
        return None
    engine = open_ledger(state_dir)
    return engine if inspect(engine).has_table("policy_activation") else None


def stored_bundle(engine: "Engine", bundle_sha256: str) -> "PolicyBundle | None":
    """The rules a decision was made by, as the ledger keeps them; None where it has them not."""
    from pointwork.ledger.policies import RevisionStore
    from pointwork.policy.bundle import PolicyBundle

    text = RevisionStore(engine).find(bundle_sha256)
    return PolicyBundle.model_validate_json(text) if text is not None else None


_ELSEWHERE: ContextVar["Engine | None"] = ContextVar("elsewhere", default=None)


@contextmanager
def ledger_elsewhere(url: str | None) -> Iterator[None]:
    """Have ``open_ledger`` open the ledger at ``url``, whatever the folder; None changes nothing.

    Raises:
        LedgerUrlError: the address cannot be used.
    """
    if url is None:
        yield
        return
    from pointwork.ledger.engine import open_engine

    engine = open_engine(url)
    before = _ELSEWHERE.set(engine)
    try:
        yield
    finally:
        _ELSEWHERE.reset(before)
        engine.dispose()


def has_ledger(state_dir: Path) -> bool:
    """Whether there is one to open; one elsewhere is taken to be there."""
    return _ELSEWHERE.get() is not None or (state_dir / "ledger.db").is_file()


def open_ledger(state_dir: Path) -> "Engine":
    """The ledger elsewhere if there is one, else that of ``state_dir``; it must be there already.

    Raises:
        CliError: Pointwork never ran with this folder, or this database.
    """
    from pointwork.ledger.engine import open_engine

    if (elsewhere := _ELSEWHERE.get()) is not None:
        return _checked(elsewhere)
    path = state_dir / "ledger.db"
    if not path.is_file():
        raise CliError(
            f"--state-dir {state_dir} holds no ledger",
            "start Pointwork with `pointwork up`, or give the folder it runs with",
            ExitCode.UNAVAILABLE,
        )
    return open_engine(f"sqlite:///{path.absolute()}")


def _checked(engine: "Engine") -> "Engine":
    """A ledger elsewhere, if it can be reached and has this code's schema."""
    from sqlalchemy.exc import OperationalError

    from pointwork.ledger.migrate import is_current

    try:
        if is_current(engine):
            return engine
    except OperationalError:
        raise CliError(
            f"the ledger {engine.url!r} cannot be reached",
            "check --ledger-url and that the database runs",
            ExitCode.UNAVAILABLE,
        ) from None
    raise CliError(
        f"{engine.url!r} holds no ledger of this version",
        "start the workers with it, which brings its schema up to date",
        ExitCode.UNAVAILABLE,
    )


def open_vault(engine: "Engine", state_dir: Path) -> "Vault":
    """The vault beside the ledger. A missing key file is never replaced by a new one here.

    Raises:
        CliError: the master key file is gone, so no content can be opened.
        VaultUrlError: sealed bytes lie in a store whose address cannot be used.
    """
    from pointwork.ledger.master_keys import MasterKeys
    from pointwork.ledger.vault import Vault

    keys = MasterKeys.load(existing_master_key(state_dir))
    return Vault(engine, keys, store=open_store(engine))


@dataclass(frozen=True)
class Running:
    """A deployment that runs, as one command sees it."""

    client: "PointworkClient"
    outcomes: "OutcomeLog"
    engine: "Engine"
    state_dir: Path

    async def last_decision(self, task_id: str) -> "DecisionRecord | None":
        decisions = await asyncio.to_thread(self.outcomes.decisions, task_id)
        return decisions[-1] if decisions else None


async def connect(state_dir: Path) -> Running:
    """Reach the Pointwork that runs with ``state_dir``.

    Raises:
        NotRunningError, ServiceUnavailableError: nothing runs there.
        MasterKeyError: its payloads are encrypted, and the keys cannot be read.
    """
    from pointwork.client import PointworkClient
    from pointwork.embedded import read_endpoints
    from pointwork.ledger.outcomes import OutcomeLog

    endpoints = read_endpoints(state_dir)
    codec = open_codec(state_dir)
    engine = open_ledger(state_dir)
    outcomes = OutcomeLog(engine)
    client = await PointworkClient.connect(
        endpoints.temporal_address,
        open_vault(engine, state_dir),
        outcomes,
        namespace=endpoints.namespace,
        codec=codec,
    )
    return Running(client, outcomes, engine, state_dir)
