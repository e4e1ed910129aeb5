"""Changes to the file of the master keys: whole or not at all, one at a time, for its owner alone.

A key is on disk before anything is wrapped under it, and leaves the file only when nothing is.
"""

import base64
import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from pointwork.ledger.master_keys import KEY_BYTES, MasterKeyError, MasterKeys


def stage_key(path: Path, *, prefix: str = "mk") -> str:
    """Add a random key that wraps nothing yet, and return its id.

    For hosts with a copy of the file each: it goes to all of them before anything is wrapped.

    Raises:
        PermissionError, MasterKeyError: as for ``MasterKeys.load``.
        OSError: the file cannot be written.
    """
    # A random id: a key made after a file was lost never passes for the lost one.
    key_id = f"{prefix}-{secrets.token_hex(4)}"
    with _changing(path) as file:
        keys = MasterKeys.load(file)
        _write(file, replace(keys, keys={**keys.keys, key_id: os.urandom(KEY_BYTES)}))
    return key_id


def activate_key(path: Path, key_id: str) -> MasterKeys:
    """Make a key of the file the one that wraps new data keys; all others stay.

    Raises:
        MasterKeyError: the file has no such key.
        PermissionError, OSError: as for ``stage_key``.
    """
    with _changing(path) as file:
        keys = _holding(MasterKeys.load(file), key_id, path)
        if keys.active != key_id:
            keys = replace(keys, active=key_id)
            _write(file, keys)
        return keys


def remove_key(path: Path, key_id: str) -> None:
    """Take a key out of the file, for good; nothing happens where it is gone already.

    Raises:
        MasterKeyError: it is the active one.
        PermissionError, OSError: as for ``stage_key``.
    """
    with _changing(path) as file:
        keys = MasterKeys.load(file)
        if key_id == keys.active:
            msg = f"{key_id} is the active master key of {path}; rotate it before it is retired"
            raise MasterKeyError(msg)
        if key_id in keys.keys:
            rest = {name: key for name, key in keys.keys.items() if name != key_id}
            _write(file, replace(keys, keys=rest))


@contextmanager
def _changing(path: Path) -> Iterator[Path]:
    """The file behind ``path``, which nobody else changes meanwhile."""
    file = path.resolve()
    if not file.parent.is_dir():
        msg = f"the folder of {path} does not exist; correct the path"
        raise MasterKeyError(msg)
    # The folder is locked and not the file, which is replaced by another.
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield file
        os.fsync(folder)
    finally:
        os.close(folder)


def _holding(keys: MasterKeys, key_id: str, path: Path) -> MasterKeys:
    if key_id not in keys.keys:
        msg = f"{path} holds no key {key_id!r}; it holds {', '.join(sorted(keys.keys))}"
        raise MasterKeyError(msg)
    return keys


def _write(file: Path, keys: MasterKeys) -> None:
    encoded = {key_id: base64.b64encode(key).decode() for key_id, key in keys.keys.items()}
    document = json.dumps({"active": keys.active, "keys": encoded}, indent=2)
    owner = file.stat()
    draft = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as written:
            written.write(document)
            written.flush()
            if (owner.st_uid, owner.st_gid) != (os.geteuid(), os.getegid()):
                # Else a rotation by root would lock the workers out.
                os.fchown(written.fileno(), owner.st_uid, owner.st_gid)
            os.fsync(written.fileno())
        draft.replace(file)
    except OSError:
        draft.unlink(missing_ok=True)
        raise
