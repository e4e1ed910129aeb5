"""The people who may answer approvals on this machine: one key file each, under ``keys/``."""

import base64
import hashlib
import os
import secrets
import stat
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import TypeAdapter, ValidationError

from pointwork.cli.errors import CliError, ExitCode
from pointwork.contract.identity import Role
from pointwork.contract.task import Name

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from sqlalchemy import Engine

OWNER = "owner"
SERVICE = "local-service"
"""Whose key programs on this machine take, until they have accounts of their own."""


def key_path(state_dir: Path, name: str) -> Path:
    """Where the key of ``name`` lies.

    Raises:
        CliError: the name is no name, so it could point anywhere.
    """
    try:
        TypeAdapter(Name).validate_python(name)
    except ValidationError:
        raise CliError(f"--as {name!r} is no name", "give the name of an approver") from None
    if "/" in name:
        raise CliError(f"--as {name!r} holds a slash", "give the name of an approver")
    return state_dir / "keys" / f"{name}.key"


def ensure_owner(engine: "Engine", state_dir: Path) -> tuple[str, bool]:
    """Make the owner's key where there is none, and let it sign verdicts.

    Returns:
        The key's id, and whether it was made now.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from pointwork.contract.approval import ApproverKey
    from pointwork.ledger.approvals import ApprovalBook
    from pointwork.ledger.approver_keys import ApprovalConflictError
    from pointwork.ledger.identities import Identities, IdentityConflictError, person_of

    path = key_path(state_dir, OWNER)
    is_new = not path.exists()
    if is_new:
        write_new_key(path, Ed25519PrivateKey.generate())
    public = load_key(state_dir, OWNER).public_key().public_bytes_raw()
    key_id = key_id_of(OWNER, public)
    key = ApproverKey(key_id=key_id, approver=OWNER, public_key=base64.b64encode(public).decode())
    now = datetime.now(UTC)
    # What somebody changed since then, be it a role or a key that was revoked, stays as it is.
    with suppress(IdentityConflictError):
        Identities(engine).add(person_of(OWNER, Role.OWNER, now), OWNER)
    with suppress(ApprovalConflictError):
        ApprovalBook(engine).add_key(key, now)
    return key_id, is_new


def ensure_access_keys(engine: "Engine", state_dir: Path) -> tuple[Path, Path]:
    """Make the keys to the HTTP API that were not made here: a service's, and the owner's.

    Two, because nobody approves what they asked for: what a program submits with the first, the
    owner may decide on.

    Returns:
        Where the service's key lies, and the owner's.
    """
    from pointwork.ledger.identities import Identities, IdentityConflictError, service_of

    now = datetime.now(UTC)
    # What somebody changed since then stays as it is.
    with suppress(IdentityConflictError):
        Identities(engine).add(service_of(SERVICE, now), OWNER)
    paths = (state_dir / "keys" / "api.key", state_dir / "keys" / "console.key")
    for path, name in zip(paths, (SERVICE, OWNER), strict=True):
        _ensure_access_key(engine, path, name, now)
    return paths


def _ensure_access_key(engine: "Engine", path: Path, name: str, now: datetime) -> None:
    from pointwork.ledger.access_keys import AccessKeys
    from pointwork.ledger.identities import IdentityConflictError

    if path.exists():
        return
    # An account that was disabled gets none.
    with suppress(IdentityConflictError):
        token = AccessKeys(engine).create(name, OWNER, now)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(token + "\n")


def load_key(state_dir: Path, name: str) -> "Ed25519PrivateKey":
    """The private key of ``name``.

    Raises:
        CliError: there is none, others may read it, or it is no Ed25519 key.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    path = key_path(state_dir, name)
    if not path.is_file():
        problem = f"{name} has no key on this machine ({path})"
        raise CliError(problem, "use --as with a name that has one, or run `pointwork up` first")
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        problem = f"{path} can be read by other users"
        raise CliError(problem, f"run: chmod 600 {path}", ExitCode.BAD_INPUT)
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except ValueError:
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise CliError(f"{path} is no Ed25519 key", "restore it from your backup")
    return key


def key_id_of(name: str, public: bytes) -> str:
    return f"{name}-{hashlib.sha256(public).hexdigest()[:12]}"


def write_new_key(path: Path, key: "Ed25519PrivateKey") -> None:
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
    )

    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Linked into place whole, so that a crash never leaves half a key.
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
