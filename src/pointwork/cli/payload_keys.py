"""Which keys seal the payloads of the deployment that a command works on."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pointwork.privacy.codec import EncryptingCodec


@dataclass(frozen=True)
class _Given:
    keys: Path | None
    accepts_plaintext: bool


_NOTHING = _Given(keys=None, accepts_plaintext=False)
_GIVEN: ContextVar[_Given | None] = ContextVar("payload keys", default=None)


@contextmanager
def payload_keys_given(keys: Path | None, *, accepts_plaintext: bool) -> Iterator[None]:
    """Have every command use these keys, whatever the state directory remembers."""
    before = _GIVEN.set(_Given(keys, accepts_plaintext))
    try:
        yield
    finally:
        _GIVEN.reset(before)


def payload_keys_file(state_dir: Path) -> Path | None:
    """The file given, else the one the deployment on ``state_dir`` last ran with.

    Remembered, so that neither a second terminal nor a later start goes on in plain text.
    """
    given = _given().keys
    if given is not None:
        return given.absolute()
    from pointwork.embedded import StateDirectory

    endpoints = StateDirectory(state_dir).remembered_endpoints()
    return endpoints.payload_keys if endpoints is not None else None


def accepts_plaintext() -> bool:
    return _given().accepts_plaintext


def _given() -> _Given:
    return _GIVEN.get() or _NOTHING


def open_codec(state_dir: Path) -> "EncryptingCodec | None":
    """The codec of the deployment on ``state_dir``; None where it has no keys.

    Raises:
        MasterKeyError: the file of the keys cannot be used.
    """
    from pointwork.temporal import payload_codec

    path = payload_keys_file(state_dir)
    if path is None:
        return None
    return payload_codec(path, accepts_plaintext=accepts_plaintext())


def worker_arguments(keys: Path | None, *, accepts_plaintext: bool) -> tuple[str, ...]:
    """How a process of the deployment's own is told the same (``python -m workers``)."""
    told = () if keys is None else ("--payload-keys", str(keys))
    return (*told, "--accept-plaintext-payloads") if accepts_plaintext else told
