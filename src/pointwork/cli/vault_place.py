"""Where the vault of a deployment has its master keys and its sealed bytes, as settings say."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pointwork.cli.errors import CliError, ExitCode

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from pointwork.ledger.sealed_bytes import SealedBytes


@dataclass(frozen=True, kw_only=True)
class _Given:
    url: str | None = None
    options: Mapping[str, str] = field(default_factory=dict, repr=False)
    inline_bytes: int | None = None
    master_key_file: Path | None = None


_NOTHING = _Given()
_GIVEN: ContextVar[_Given | None] = ContextVar("vault place", default=None)


@contextmanager
def vault_given(
    *,
    url: str | None,
    options: str | None,
    inline_bytes: int | None,
    master_key_file: Path | None,
) -> Iterator[None]:
    """Have every command use the vault that the workers' settings name.

    Raises:
        CliError: ``options`` is no JSON object of texts.
    """
    before = _GIVEN.set(
        _Given(
            url=url,
            options=_parsed(options),
            inline_bytes=inline_bytes,
            master_key_file=master_key_file,
        )
    )
    try:
        yield
    finally:
        _GIVEN.reset(before)


def master_key_path(state_dir: Path) -> Path:
    return _given().master_key_file or state_dir / "master.key"


def existing_master_key(state_dir: Path) -> Path:
    """The master key file. A missing one is never replaced by a new one here.

    Raises:
        CliError: it is gone, so no content can be opened.
    """
    path = master_key_path(state_dir)
    if not path.is_file():
        raise CliError(
            f"{path} is missing, so sealed content cannot be opened",
            "restore it from your backup",
            ExitCode.UNAVAILABLE,
        )
    return path


def open_store(engine: "Engine") -> "SealedBytes":
    """Where sealed bytes lie outside the ledger's table, if anywhere.

    Raises:
        VaultUrlError: the address or an option cannot be used.
    """
    from pointwork.ledger.sealed_bytes import INLINE_BYTES_MAX, InTable

    given = _given()
    if given.url is None:
        return InTable()
    # Imported here: most deployments have no store, and nothing needs its library then.
    from pointwork.ledger.object_store import open_object_store
    from pointwork.ledger.vault_rows import ledger_id

    return open_object_store(
        given.url,
        given.options,
        ledger_id=ledger_id(engine),
        inline_bytes_max=INLINE_BYTES_MAX if given.inline_bytes is None else given.inline_bytes,
    )


def _given() -> _Given:
    return _GIVEN.get() or _NOTHING


def _parsed(options: str | None) -> dict[str, str]:
    if not options:
        return {}
    try:
        found = json.loads(options)
    except ValueError:
        found = None
    if not isinstance(found, dict) or not all(isinstance(each, str) for each in found.values()):
        # What stands in it may be a key, so it is not quoted.
        raise CliError(
            "POINTWORK_VAULT_OPTIONS is no JSON object of texts",
            'give one such as {"endpoint": "https://HOST"}',
        )
    return found
