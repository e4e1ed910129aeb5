"""What ``pointwork doctor`` asks of the vault: does every key open, does the store answer."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pointwork.cli.checks import Check, Verdict
from pointwork.cli.deployment import open_ledger
from pointwork.cli.errors import CliError
from pointwork.cli.vault_place import master_key_path, open_store
from pointwork.contract.failures import PointworkError

if TYPE_CHECKING:
    from sqlalchemy import Engine


def check_vault(state_dir: Path) -> list[Check]:
    """Nothing where the ledger or the key file cannot be read: other checks say so."""
    from sqlalchemy.exc import SQLAlchemyError

    from pointwork.ledger.migrate import LedgerTooNewError, is_current

    try:
        engine = open_ledger(state_dir)
    except CliError:
        return []
    try:
        return [*_keys(engine, state_dir), *_store(engine)] if is_current(engine) else []
    except (SQLAlchemyError, LedgerTooNewError):
        return []
    finally:
        engine.dispose()


def _keys(engine: "Engine", state_dir: Path) -> Iterator[Check]:
    from pointwork.ledger.master_keys import MasterKeyError, MasterKeys
    from pointwork.ledger.rotation import Rotation

    path = master_key_path(state_dir)
    try:
        keys = MasterKeys.load(path)
    except (MasterKeyError, OSError) as error:
        if path.is_file() and not isinstance(error, PermissionError):
            yield Check("vault keys", Verdict.FAIL, str(error), "no content can be opened without")
        return
    wrapped = Rotation(engine).wrapped()
    lost = {key_id: count for key_id, count in wrapped.items() if key_id not in keys.keys}
    if lost:
        found = f"{path} lacks {', '.join(sorted(lost))}, which wraps {sum(lost.values())} tasks"
        remedy = "restore the key file from a backup; their content cannot be opened"
        yield Check("vault keys", Verdict.FAIL, found, remedy)
        return
    found = f"{sum(wrapped.values())} tasks can be opened, active key {keys.active}"
    yield Check("vault keys", Verdict.OK, found)


def _store(engine: "Engine") -> Iterator[Check]:
    from pointwork.ledger.sealed_bytes import InTable

    try:
        store = open_store(engine)
        if isinstance(store, InTable):
            return
        store.check()
    except PointworkError as error:
        problem, _, remedy = str(error).partition("; ")
        yield Check("vault store", Verdict.FAIL, problem, remedy)
        return
    yield Check("vault store", Verdict.OK, f"{store.place} takes, gives and deletes")
