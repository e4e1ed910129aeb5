"""The master keys that wrap every task's data key; they live in a file beside the ledger."""

import base64
import hmac
import json
import os
import secrets
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from pointwork.contract.canonical import canonical_bytes

KEY_BYTES = 32
_NONCE_BYTES = 12


class MasterKeyError(ValueError):
    """The master keys cannot be used. The text names the file and the remedy, never a key."""


@dataclass(frozen=True)
class MasterKeys:
    """Keys by id; ``active`` wraps new data keys, the others only open old ones."""

    active: str
    keys: Mapping[str, bytes] = field(repr=False)
    """32 bytes each."""
    file: Path | None = field(default=None, compare=False)
    """Where they were read from; None where they were made in memory."""

    def __post_init__(self) -> None:
        if self.active not in self.keys:
            msg = f"the active master key {self.active!r} is not among the keys; add it"
            raise MasterKeyError(msg)
        for key_id, key in self.keys.items():
            if len(key) != KEY_BYTES:
                msg = f"master key {key_id!r} is {len(key)} bytes; it must be {KEY_BYTES}"
                raise MasterKeyError(msg)

    @classmethod
    def load_or_create(cls, path: Path) -> "MasterKeys":
        """The keys in the JSON file at ``path``; a new file with one random key if there is none.

        Raises:
            PermissionError: other users may read the file.
            MasterKeyError: it is not a master key file, or its folder does not exist.
        """
        if not path.parent.is_dir():
            msg = f"the folder of {path} does not exist; create it or give another path"
            raise MasterKeyError(msg)
        if not path.exists():
            new_key_file(path, prefix="mk")
        return cls.load(path)

    @classmethod
    def load(cls, path: Path) -> "MasterKeys":
        """The keys in the JSON file at ``path``.

        Raises:
            PermissionError: other users may read the file.
            MasterKeyError: it is not a master key file, or there is none.
        """
        if not path.is_file():
            msg = f"there is no key file {path}; correct the path, or restore it from your backup"
            raise MasterKeyError(msg)
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o077:
            msg = f"{path} can be read by other users (mode {mode:o}); run: chmod 600 {path}"
            raise PermissionError(msg)
        try:
            document = json.loads(path.read_bytes())
            keys = {
                key_id: base64.b64decode(key, validate=True)
                for key_id, key in document["keys"].items()
            }
            return cls(active=document["active"], keys=keys, file=path.absolute())
        except (AttributeError, KeyError, TypeError, ValueError):
            # Only the path: what the parser quotes may be a key.
            msg = f"{path} is not a master key file; restore it from your backup"
            raise MasterKeyError(msg) from None

    def wrap(self, data_key: bytes, task_id: str) -> bytes:
        """``data_key`` sealed under the active key, bound to the task."""
        nonce = os.urandom(_NONCE_BYTES)
        bound_to = _bound_to(self.active, task_id)
        return nonce + AESGCM(self.keys[self.active]).encrypt(nonce, data_key, bound_to)

    def digest(self, purpose: str, data: bytes) -> bytes:
        """HMAC-SHA256 of ``data`` under a key made from the active one for ``purpose`` alone.

        Equal data gives equal digests across tasks; without the master key no guess can be tested.
        """
        key = hmac.digest(self.keys[self.active], f"pointwork {purpose}".encode(), "sha256")
        return hmac.digest(key, data, "sha256")

    def unwrap(self, wrapped: bytes, task_id: str, key_id: str) -> bytes | None:
        """The data key, or None where ``key_id`` is unknown or is not the key that wrapped it."""
        master_key = self.keys.get(key_id)
        if master_key is None:
            return None
        nonce, ciphertext = wrapped[:_NONCE_BYTES], wrapped[_NONCE_BYTES:]
        try:
            return AESGCM(master_key).decrypt(nonce, ciphertext, _bound_to(key_id, task_id))
        except InvalidTag:
            return None


def new_key_file(path: Path, *, prefix: str) -> str:
    """Write a file with one random key, for its owner alone, and return the key's id.

    Nothing happens where another process made the file in the meantime: its key is the one.

    Raises:
        OSError: the file cannot be written.
    """
    key_id, key = _new_key(prefix)
    # Linked into place whole, so that two processes starting together agree on one file.
    draft = _draft(path, key_id, {key_id: key})
    try:
        os.link(draft, path)
    except FileExistsError:
        key_id = MasterKeys.load(path).active
    finally:
        draft.unlink()
    return key_id


def _new_key(prefix: str) -> tuple[str, bytes]:
    # A random id: a key made after the file was lost never passes for the lost one.
    return f"{prefix}-{secrets.token_hex(4)}", os.urandom(KEY_BYTES)


def _draft(path: Path, active: str, keys: Mapping[str, bytes]) -> Path:
    """The whole file under another name beside ``path``, safely on disk."""
    encoded = {key_id: base64.b64encode(key).decode() for key_id, key in keys.items()}
    document = json.dumps({"active": active, "keys": encoded}, indent=2)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(document)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        draft.unlink()
        raise
    return draft


def _bound_to(key_id: str, task_id: str) -> bytes:
    return canonical_bytes(["pointwork data key", key_id, task_id])
