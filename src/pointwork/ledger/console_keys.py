"""The keys by which the console signs for whoever is signed in.

A person's key is made from a master key of the vault, the person's name and a generation, so that
every replica has it and none stores it. Its public half is registered like any approver's key,
which joins the audit chain; an owner revokes it the same way, and it signs no more until its
person signs in anew, which makes the next generation.
"""

import base64
import hashlib
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from pointwork.contract.approval import ApproverKey
from pointwork.contract.failures import PointworkError
from pointwork.ledger.approvals import ApprovalBook
from pointwork.ledger.approver_keys import ApprovalConflictError
from pointwork.ledger.identities import Identities
from pointwork.ledger.master_keys import KEY_BYTES, MasterKeys

_LABEL = "pointwork console verdict 1"
_GENERATIONS_MAX = 64


class NoConsoleKeyError(PointworkError):
    """The person's console key was revoked."""


class ConsoleKeys:
    """Derives, registers and finds the keys. Thread-safe, no state."""

    def __init__(self, approvals: ApprovalBook, identities: Identities) -> None:
        self._approvals = approvals
        self._identities = identities

    def register_all(self, keys: MasterKeys, now: datetime) -> None:
        """Let everybody who may approve have a key; one that was revoked stays so."""
        live = self._live()
        for person in self._identities.all():
            if not person.may_approve or self._found(person.name, keys, live):
                continue
            with suppress(ApprovalConflictError):
                self._approvals.add_key(_public(person.name, next(_made(person.name, keys))), now)

    def ensure(self, name: str, keys: MasterKeys, now: datetime) -> None:
        """Let ``name`` have a key: the next generation where the last one was revoked."""
        live = self._live()
        if self._found(name, keys, live):
            return
        for private in _made(name, keys):
            with suppress(ApprovalConflictError):
                self._approvals.add_key(_public(name, private), now)
                return

    def of(self, name: str, keys: MasterKeys) -> tuple[str, Ed25519PrivateKey]:
        """The id and the key by which ``name`` signs now.

        Raises:
            NoConsoleKeyError: it was revoked.
        """
        live = self._live()
        found = self._found(name, keys, live)
        if found is None:
            raise NoConsoleKeyError(
                f"the console's key of {name!r} was revoked; sign out and in again for a new one"
            )
        return key_id_of(name, found), found

    def _live(self) -> set[str]:
        listed = self._approvals.keys()
        return {each.key_id for each in listed}

    def _found(self, name: str, keys: MasterKeys, live: set[str]) -> Ed25519PrivateKey | None:
        if not any(each.startswith(f"console-{name}-") for each in live):
            return None
        # The one registered first, so that what opened under it before a rotation still counts.
        known = {*keys.keys} - {keys.active}
        for master_id in (*sorted(known), keys.active):
            for private in _made(name, keys, master_id):
                if key_id_of(name, private) in live:
                    return private
        return None


def key_id_of(name: str, private: Ed25519PrivateKey) -> str:
    digest = hashlib.sha256(private.public_key().public_bytes_raw()).hexdigest()
    return f"console-{name}-{digest[:12]}"


def _made(name: str, keys: MasterKeys, master_id: str | None = None) -> Iterator[Ed25519PrivateKey]:
    """The generations of a person's key, the first one first."""
    master = keys.keys[master_id or keys.active]
    for generation in range(1, _GENERATIONS_MAX + 1):
        info = f"{_LABEL}|{generation}|{name}".encode()
        seed = HKDF(SHA256(), KEY_BYTES, salt=None, info=info).derive(master)
        yield Ed25519PrivateKey.from_private_bytes(seed)


def _public(name: str, private: Ed25519PrivateKey) -> ApproverKey:
    public = base64.b64encode(private.public_key().public_bytes_raw()).decode()
    return ApproverKey(key_id=key_id_of(name, private), approver=name, public_key=public)
