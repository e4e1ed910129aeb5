"""Who is signed in: a sealed cookie that every replica can open and none has to remember.

The seal is AES-256-GCM under a key made from a master key of the vault for this purpose alone. A
cookie names the master key it was sealed under, so that a rotation signs nobody out while the old
key is held. It proves that the access key was shown; whether that key still opens anything is
read from the ledger at every request.
"""

import base64
import binascii
import json
import os
import secrets
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from pointwork.ledger.master_keys import KEY_BYTES, MasterKeys

COOKIE = "pointwork_console"
PATH = "/console"
LIFE = timedelta(hours=12)
IDLE = timedelta(hours=1)
RENEWED_AFTER = timedelta(minutes=1)
"""A request this long after the last one moves the idle end on."""
_LABEL = b"pointwork console session 1"
_NONCE_BYTES = 12
_COOKIE_CHARACTERS_MAX = 2048


@dataclass(frozen=True, slots=True)
class Session:
    """What the cookie holds. Times are Unix seconds."""

    key_id: str
    """Of the access key that was shown."""
    name: str
    issued_at: int
    seen_at: int
    csrf: str
    """What every form of the session carries."""

    @classmethod
    def start(cls, key_id: str, name: str, now: datetime) -> "Session":
        at = int(now.timestamp())
        return cls(key_id, name, at, at, secrets.token_urlsafe(32))

    def is_live(self, now: datetime) -> bool:
        at = now.timestamp()
        is_young = at - self.issued_at + 1 >= 0 and at - self.issued_at < LIFE.total_seconds()
        return is_young and at - self.seen_at < IDLE.total_seconds()

    def renewed(self, now: datetime) -> "Session | None":
        """The session as seen now; None where it was seen a moment ago."""
        if now.timestamp() - self.seen_at < RENEWED_AFTER.total_seconds():
            return None
        return replace(self, seen_at=int(now.timestamp()))

    @property
    def ends_at(self) -> datetime:
        return datetime.fromtimestamp(self.issued_at, UTC) + LIFE


def seal(session: Session, keys: MasterKeys) -> str:
    """The cookie's value, under the active master key."""
    nonce = os.urandom(_NONCE_BYTES)
    data = json.dumps(asdict(session)).encode()
    sealed = nonce + AESGCM(_key(keys.keys[keys.active])).encrypt(nonce, data, _LABEL)
    return f"{keys.active}.{base64.urlsafe_b64encode(sealed).decode()}"


def unseal(value: str, keys: MasterKeys, now: datetime) -> Session | None:
    """The session in a cookie; None where it is none of ours, or is over."""
    key_id, _, text = value.rpartition(".")
    master = keys.keys.get(key_id)
    if master is None or len(value) > _COOKIE_CHARACTERS_MAX:
        return None
    try:
        sealed = base64.urlsafe_b64decode(text.encode())
        nonce, ciphertext = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
        data = AESGCM(_key(master)).decrypt(nonce, ciphertext, _LABEL)
        session = Session(**json.loads(data))
    except (InvalidTag, binascii.Error, ValueError, TypeError):
        return None
    return session if session.is_live(now) else None


def _key(master: bytes) -> bytes:
    return HKDF(SHA256(), KEY_BYTES, salt=None, info=_LABEL).derive(master)
