"""Temporal's payloads, sealed before they leave a process and bound to their workflow (ADR 15).

Each payload is AES-256-GCM under the active key. Its associated data names key, namespace and
workflow, so one that was altered, or moved between workflows, does not open.
"""

import hmac
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from temporalio.api.common.v1 import Payload
from temporalio.converter import (
    ActivitySerializationContext,
    PayloadCodec,
    SerializationContext,
    WithSerializationContext,
    WorkflowSerializationContext,
)

from pointwork.contract.canonical import canonical_bytes
from pointwork.contract.failures import PointworkError
from pointwork.contract.names import SWEEP_SCHEDULE

ENCODING = b"binary/encrypted"
ENCODING_FIELD, KEY_ID_FIELD = "encoding", "encryption-key-id"
WORKFLOW_FIELD = "bound-to-workflow"
"""Where a payload belongs, for who looks at it alone; within a workflow it is not read."""
KEYS_SETTING = "POINTWORK_PAYLOAD_KEYS"
PLAINTEXT_SETTING = "POINTWORK_PAYLOAD_PLAINTEXT_ACCEPTED"

_NONCE_BYTES = 12
_SHOWABLE = re.compile(r"[\w.-]{1,64}")
_FIRED_BY_SCHEDULE = re.compile(
    rf"(?P<schedule>{re.escape(SWEEP_SCHEDULE)})-\d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\dZ"
)


class PayloadRefusedError(PointworkError):
    """A payload cannot be opened or sealed. The text names the remedy; it never quotes content."""


class KeySource(Protocol):
    """Keys by id, of which one seals and all open."""

    @property
    def active(self) -> str:
        """Id of the key that seals."""
        ...

    def find(self, key_id: str) -> bytes | None:
        """32 bytes; None where no key has this id."""
        ...


@dataclass(frozen=True, slots=True)
class Shown:
    """A payload for a person's eyes."""

    payload: Payload
    workflow_id: str | None
    """The workflow it was sealed for; None where it was not opened."""


class EncryptingCodec(PayloadCodec, WithSerializationContext):
    """Seals every payload, those without content included, and opens no other.

    Used without a workflow's context it refuses, since nothing could be bound.
    """

    def __init__(self, keys: KeySource, *, accepts_plaintext: bool = False) -> None:
        """``accepts_plaintext`` also takes payloads that were never sealed, from anybody."""
        self._keys = keys
        self._accepts_plaintext = accepts_plaintext
        self._ciphers: dict[str, AESGCM] = {}
        self._place: tuple[str, str] | None = None

    def with_context(self, context: SerializationContext) -> Self:
        """The codec for one workflow's payloads; those of its activities are bound alike."""
        bound = type(self)(self._keys, accepts_plaintext=self._accepts_plaintext)
        bound._ciphers = self._ciphers
        match context:
            case WorkflowSerializationContext() | ActivitySerializationContext():
                if context.workflow_id:
                    bound._place = context.namespace, _family(context.workflow_id)
        return bound

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Seal each payload under the active key.

        Raises:
            PayloadRefusedError: there is no workflow to bind to.
        """
        key_id = self._keys.active
        cipher, bound_to = self._cipher(key_id), self._bound_to(key_id)
        place = self._place[1] if self._place else ""
        return [_sealed(each, key_id, cipher, bound_to, place) for each in payloads]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Open each payload.

        Raises:
            PayloadRefusedError: one is not sealed, its key is not at hand, or it was altered or
                made for another workflow.
        """
        return [self._opened(each) for each in payloads]

    def shown(self, payload: Payload, namespace: str) -> Shown:
        """The payload for a person's eyes, opened for the workflow it names itself.

        Only for showing: that it opens proves for which workflow it was sealed, not where it lies.
        One that is not sealed, or does not open, comes back as it is.
        """
        workflow_id = payload.metadata.get(WORKFLOW_FIELD, b"").decode(errors="replace")
        if not is_encrypted(payload) or not workflow_id:
            return Shown(payload, None)
        bound = self.with_context(WorkflowSerializationContext(namespace, workflow_id))
        try:
            return Shown(bound._opened(payload), workflow_id)
        except PayloadRefusedError:
            return Shown(payload, None)

    def _opened(self, payload: Payload) -> Payload:
        if payload.metadata.get(ENCODING_FIELD) != ENCODING:
            if self._accepts_plaintext:
                return payload
            raise PayloadRefusedError(
                "a payload is not encrypted although keys are set; whoever wrote it needs the "
                f"keys too ({KEYS_SETTING}), and what is older than the keys needs "
                f"{PLAINTEXT_SETTING}=true"
            )
        key_id = key_id_of(payload)
        cipher, bound_to = self._cipher(key_id), self._bound_to(key_id)
        nonce, ciphertext = payload.data[:_NONCE_BYTES], payload.data[_NONCE_BYTES:]
        try:
            return Payload.FromString(cipher.decrypt(nonce, ciphertext, bound_to))
        except (InvalidTag, ValueError):
            # ValueError: the nonce itself was cut short.
            raise PayloadRefusedError(
                f"a payload does not open under key {key_id!r}: it was altered, or made for "
                "another workflow or namespace; treat it as an incident"
            ) from None

    def _cipher(self, key_id: str) -> AESGCM:
        if key_id not in self._ciphers:
            key = self._keys.find(key_id)
            if key is None:
                raise PayloadRefusedError(
                    f"a payload is encrypted under key {key_id!r}, which the file of "
                    f"{KEYS_SETTING} does not hold; add that key to it"
                )
            # A key of its own, should the file also be used for something else.
            own = hmac.digest(key, b"pointwork temporal payload", "sha256")
            self._ciphers[key_id] = AESGCM(own)
        return self._ciphers[key_id]

    def _bound_to(self, key_id: str) -> bytes:
        if self._place is None:
            raise PayloadRefusedError(
                "a payload belongs to no workflow, so it cannot be bound to one; send it through "
                "a handle of its workflow"
            )
        return canonical_bytes(["pointwork payload 1", key_id, *self._place])


def is_encrypted(payload: Payload) -> bool:
    return payload.metadata.get(ENCODING_FIELD) == ENCODING


def key_id_of(payload: Payload) -> str:
    """The id of the key that a payload names; anybody can write one, so an odd one is not shown."""
    key_id = payload.metadata.get(KEY_ID_FIELD, b"").decode("ascii", "replace")
    return key_id if _SHOWABLE.fullmatch(key_id) else "(unreadable)"


def _sealed(
    payload: Payload, key_id: str, cipher: AESGCM, bound_to: bytes, workflow_id: str
) -> Payload:
    nonce = os.urandom(_NONCE_BYTES)
    return Payload(
        metadata={
            ENCODING_FIELD: ENCODING,
            KEY_ID_FIELD: key_id.encode(),
            WORKFLOW_FIELD: workflow_id.encode(),
        },
        data=nonce + cipher.encrypt(nonce, payload.SerializeToString(), bound_to),
    )


def _family(workflow_id: str) -> str:
    """The id that payloads are bound to.

    Temporal starts each firing of a schedule under the schedule's id and the time, with what the
    schedule and the firing before had encoded. So all firings of ours share one id here.
    """
    fired = _FIRED_BY_SCHEDULE.fullmatch(workflow_id)
    return fired["schedule"] if fired else workflow_id
