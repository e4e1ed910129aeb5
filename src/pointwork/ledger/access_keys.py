"""Keys by which somebody calls the API: shown once, kept as an Argon2id hash, revocable."""

import secrets
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from sqlalchemy import Connection, Engine, bindparam, insert, select, update

from pointwork.contract.identity import Identity
from pointwork.ledger import audit, identities
from pointwork.ledger.engine import read, transact
from pointwork.ledger.identity_tables import AccessKeyRow
from pointwork.ledger.tables import table_of

_KEY = table_of(AccessKeyRow)
_PREFIX = "pwk"
_SECRET_BYTES = 32
_SALT_BYTES = 16
_MEMORY_KIB, _ITERATIONS = 19_456, 2
"""OWASP's least for Argon2id; a random secret of 256 bits would stand far less."""


@dataclass(frozen=True, slots=True)
class AccessKey:
    """A key as it is on record; the secret is nowhere."""

    key_id: str
    name: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


class AccessKeys:
    """Creates, checks and revokes keys; every change joins the audit chain. Thread-safe."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def create(self, name: str, by: str, now: datetime, expires_at: datetime | None = None) -> str:
        """A new key of an account, as its holder sends it. It cannot be shown again.

        Raises:
            IdentityConflictError: nobody has the name, or they were disabled.
        """
        key_id, secret = secrets.token_hex(6), secrets.token_urlsafe(_SECRET_BYTES)
        kdf = Argon2id(
            salt=secrets.token_bytes(_SALT_BYTES),
            length=_SECRET_BYTES,
            iterations=_ITERATIONS,
            lanes=1,
            memory_cost=_MEMORY_KIB,
        )
        row = {
            "key_id": key_id,
            "name": name,
            "secret_hash": kdf.derive_phc_encoded(secret.encode()),
            "created_at": now,
            "expires_at": expires_at,
        }

        def write(connection: Connection) -> None:
            holder = identities.find(connection, name)
            if holder is None or holder.disabled_at is not None:
                msg = f"{name!r} is nobody who may have a key; see `pointwork person list`"
                raise identities.IdentityConflictError(msg)
            connection.execute(_ADD, row)
            body = {"key_id": key_id, "name": name, "by": by}
            audit.append(connection, "access_key_created", body, now)

        transact(self._engine, write)
        return f"{_PREFIX}_{key_id}_{secret}"

    def holder(self, token: str, now: datetime) -> Identity | None:
        """Whose key this is; None where it is no key, or one that opens nothing now."""
        prefix, _, rest = token.partition("_")
        key_id, _, secret = rest.partition("_")
        if prefix != _PREFIX or not key_id or not secret:
            return None
        with read(self._engine) as connection:
            row = connection.execute(_FIND, {"of_key": key_id}).first()
            holder = identities.find(connection, row.name) if row else None
        if row is None or holder is None or not _opens(row, holder, now):
            return None
        try:
            Argon2id.verify_phc_encoded(secret.encode(), row.secret_hash)
        except InvalidKey:
            return None
        return holder

    def holder_of(self, key_id: str, now: datetime) -> Identity | None:
        """Whose key has this id; the secret is the caller's to have checked before."""
        with read(self._engine) as connection:
            row = connection.execute(_FIND, {"of_key": key_id}).first()
            holder = identities.find(connection, row.name) if row else None
        return holder if row and holder and _opens(row, holder, now) else None

    def revoke(self, key_id: str, by: str, now: datetime) -> bool:
        """Let a key open nothing more; False where it opened nothing already."""

        def write(connection: Connection) -> bool:
            values = {"of_key": key_id, "at": now}
            if connection.execute(_REVOKE, values).rowcount == 0:
                return False
            audit.append(connection, "access_key_revoked", {"key_id": key_id, "by": by}, now)
            return True

        return transact(self._engine, write)

    def all(self) -> list[AccessKey]:
        """Every key, revoked ones too, the newest first."""
        with read(self._engine) as connection:
            return [_key(row) for row in connection.execute(_ALL)]


def _opens(row: Any, holder: Identity, now: datetime) -> bool:
    is_live = row.revoked_at is None and (row.expires_at is None or now < row.expires_at)
    return is_live and holder.disabled_at is None


def _key(row: Any) -> AccessKey:
    return AccessKey(**{each.name: getattr(row, each.name) for each in fields(AccessKey)})


_ADD = insert(_KEY)
_FIND = select(_KEY).where(_KEY.c.key_id == bindparam("of_key"))
_ALL = select(_KEY).order_by(_KEY.c.created_at.desc(), _KEY.c.key_id)
_REVOKE = (
    update(_KEY)
    .where(_KEY.c.key_id == bindparam("of_key"), _KEY.c.revoked_at.is_(None))
    .values(revoked_at=bindparam("at"))
)
