"""Answers that may serve an equal request, for packs that say so (JG-56, R-20).

The cache holds no text: an entry points at the sealed answer of the task that produced it and goes
with that answer. A hit is opened and sealed anew under the asking task's own key. Its key says
nothing without the master key.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, bindparam, delete, select, update

from pointwork.contract.canonical import canonical_bytes, sha256_hex
from pointwork.contract.decision import Candidate
from pointwork.contract.snapshot import PolicyRef
from pointwork.contract.task import ContentRef, DataClass, PrivacyTier, Sensitivity
from pointwork.ledger.engine import insert_or_update, read, transact
from pointwork.ledger.master_keys import MasterKeys
from pointwork.ledger.tables import CachedResponse, VaultContent, table_of
from pointwork.ledger.vault import ContentUnavailableError, Vault

SENSITIVITY_MAX = Sensitivity.INTERNAL
"""Nothing more careful than this is ever cached."""

_CACHE = table_of(CachedResponse)
_CONTENT = table_of(VaultContent)


@dataclass(frozen=True, kw_only=True, slots=True)
class CacheSubject:
    """A call as the cache tells it from others, and how careful its content is."""

    prompt: bytes = field(repr=False)
    """The prompt as it is sealed (canonical JSON)."""
    answer_schema: bytes | None = field(default=None, repr=False)
    candidate: Candidate
    """Who answers: model, its id at the endpoint, the endpoint, and the most tokens it may use."""
    temperature: float
    seed: int | None
    policy: PolicyRef
    privacy_tier: PrivacyTier
    sensitivity: Sensitivity | None
    """The decision's; None where nobody declared one and nothing was found."""
    data_classes: tuple[DataClass, ...] = ()
    has_findings: bool = False
    """Whether a detector found anything, however harmless."""
    is_redacted: bool = False


def cacheable(subject: CacheSubject) -> bool:
    """Whether the call may read or fill the cache: nothing sensitive, and nothing doubtful."""
    if subject.has_findings or subject.is_redacted or subject.data_classes:
        return False
    return subject.sensitivity is None or subject.sensitivity.rank <= SENSITIVITY_MAX.rank


@dataclass(frozen=True, kw_only=True, slots=True)
class CacheHit:
    """An answer, already sealed for the asking task, and where it came from."""

    answer: ContentRef
    model: str
    served_as: str
    source_task_id: str
    cached_at: datetime


class ResponseCache:
    """Finds and keeps answers. Thread-safe; keeps no state outside the ledger."""

    def __init__(self, engine: Engine, vault: Vault, master_keys: MasterKeys | None = None) -> None:
        """``master_keys`` make the keys of entries; the vault's own where they are not given.

        After a rotation the same call has another key: it misses what was kept before, and that
        expires. Two keys are never equal for calls that are not.
        """
        self._engine = engine
        self._vault = vault
        self._given_keys = master_keys

    def key(self, subject: CacheSubject) -> str | None:
        """The key of equal calls, in hex; None where the call is not to be cached.

        There is no other way to a key, so what is not ``cacheable`` is neither found nor kept.
        """
        if not cacheable(subject):
            return None
        candidate, policy, schema = subject.candidate, subject.policy, subject.answer_schema
        whole = {
            "prompt": self._digest(subject.prompt),
            "answer_schema": self._digest(schema) if schema is not None else None,
            "model": candidate.model,
            "served_as": candidate.served_as,
            "endpoint": candidate.endpoint,
            "max_output_tokens": candidate.max_output_tokens,
            "temperature": str(subject.temperature),
            "seed": subject.seed,
            "pack": policy.pack,
            "pack_sha256": policy.pack_sha256,
            "privacy_tier": subject.privacy_tier,
        }
        return sha256_hex(canonical_bytes(whole))

    def find(self, key: str, task_id: str, now: datetime) -> CacheHit | None:
        """The answer kept under ``key``, sealed for ``task_id``; None where there is none.

        An entry whose answer was erased or cannot be opened is deleted and counts as none.

        Raises:
            TaskNotFoundError: the vault does not know ``task_id``.
            ContentUnavailableError: the key of ``task_id`` was destroyed.
        """
        wanted = {"of_key": key, "at": now}
        with read(self._engine) as connection:
            if connection.execute(_FIND, wanted).first() is None:
                return None

        def take(connection: Connection) -> CacheHit | None:
            row = connection.execute(_FIND, wanted).first()
            if row is None:
                return None
            source = ContentRef(digest=row.digest, bytes=row.bytes, media_type=row.media_type)
            try:
                data = self._vault.open_within(connection, row.task_id, source)
            except ContentUnavailableError:
                connection.execute(_DELETE_KEY, {"of_key": key})
                return None
            had = connection.execute(_DIGESTS, {"of_task": task_id}).scalars().all()
            answer = self._vault.seal_within(connection, task_id, data, source.media_type, now)
            if answer.digest not in had:
                # Else it was handed to the task before, by a find whose answer was lost.
                connection.execute(_COUNT_HIT, {"of_key": key})
            return CacheHit(
                answer=answer,
                model=row.model,
                served_as=row.served_as,
                source_task_id=row.task_id,
                cached_at=row.created_at,
            )

        return transact(self._engine, take)

    def keep(
        self,
        key: str,
        *,
        task_id: str,
        answer: ContentRef,
        model: str,
        served_as: str,
        ttl_seconds: int,
        max_bytes: int,
        now: datetime,
    ) -> bool:
        """Let a sealed answer serve equal calls for ``ttl_seconds``; a later one replaces it.

        A repeat changes nothing.

        Args:
            key: what ``key`` returned for the call.
            task_id: whose answer it is.
            answer: the answer in the vault.
            model: the catalogue's id of the model that answered.
            served_as: the id the endpoint itself reported.
            ttl_seconds: how long it serves.
            max_bytes: the largest answer the pack keeps.
            now: when it was produced.

        Returns:
            False where it is larger than that, lies in a store outside the ledger, where finding
            it would keep a transaction waiting, or is no longer in the vault; nothing is kept then.
        """
        if answer.bytes > max_bytes or self._vault.is_outside(answer.bytes):
            return False
        row: dict[str, Any] = {
            "key": key,
            "task_id": task_id,
            **answer.model_dump(),
            "model": model,
            "served_as": served_as,
            "created_at": now,
            "expires_at": now + timedelta(seconds=ttl_seconds),
            "hits": 0,
        }
        sealed = {
            "of_task": task_id,
            "of_digest": answer.digest,
            "of_media": answer.media_type,
        }

        def write(connection: Connection) -> bool:
            connection.execute(_DELETE_EXPIRED, {"at": now})
            # Held until the commit, so that an erasure cannot pull it away in between.
            if connection.execute(_SEALED, sealed).first() is None:
                return False
            if connection.execute(_KEPT, {"of_key": key, **sealed}).first() is not None:
                return True
            connection.execute(_KEEP[connection.dialect.name], row)
            return True

        return transact(self._engine, write)

    def forget(self, task_id: str) -> int:
        """Delete every entry that points at the task's answer; how many there were.

        Erasing the task does it too. What was already sealed for other tasks is theirs.
        """
        return transact(
            self._engine, lambda c: c.execute(_DELETE_TASK, {"of_task": task_id}).rowcount
        )

    def _digest(self, data: bytes) -> str:
        keys = self._given_keys or self._vault.master_keys
        return keys.digest("response cache", data).hex()


_FIND = select(_CACHE).where(
    _CACHE.c.key == bindparam("of_key"), _CACHE.c.expires_at > bindparam("at")
)
_COUNT_HIT = (
    update(_CACHE).where(_CACHE.c.key == bindparam("of_key")).values(hits=_CACHE.c.hits + 1)
)
_DELETE_KEY = delete(_CACHE).where(_CACHE.c.key == bindparam("of_key"))
_DELETE_TASK = delete(_CACHE).where(_CACHE.c.task_id == bindparam("of_task"))
_DELETE_EXPIRED = delete(_CACHE).where(_CACHE.c.expires_at <= bindparam("at"))
_SEALED = (
    select(_CONTENT.c.digest)
    .where(
        _CONTENT.c.task_id == bindparam("of_task"),
        _CONTENT.c.digest == bindparam("of_digest"),
        _CONTENT.c.media_type == bindparam("of_media"),
    )
    .with_for_update(read=True)
)
_DIGESTS = select(_CONTENT.c.digest).where(_CONTENT.c.task_id == bindparam("of_task"))
_KEPT = select(_CACHE.c.key).where(
    _CACHE.c.key == bindparam("of_key"),
    _CACHE.c.task_id == bindparam("of_task"),
    _CACHE.c.digest == bindparam("of_digest"),
    _CACHE.c.media_type == bindparam("of_media"),
)
_KEEP = insert_or_update(
    _CACHE,
    "key",
    values=lambda new: {
        column.name: new[column.name] for column in _CACHE.c if column.name != "key"
    },
)
