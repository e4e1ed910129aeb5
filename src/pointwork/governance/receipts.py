"""The embedded governance ledger: signed files in one folder, read anew for every decision.

``keys.json`` lists who may sign; the owner of the machine keeps it. ``receipts.json`` and
``evaluations.json`` hold signed entries. What is missing, forged, or signed by a key that is not
listed does not count (SP-47); taking an entry or a key out revokes it from the next decision on.
"""

import base64
import binascii
import json
import logging
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import ValidationError

from pointwork.contract.canonical import canonical_json
from pointwork.contract.snapshot import EvalSignal, Receipt
from pointwork.contract.task import Message, Name, TaskId

KEYS_FILE, RECEIPTS_FILE, EVALUATIONS_FILE = "keys.json", "receipts.json", "evaluations.json"
FILE_BYTES_MAX = 4_000_000

_log = logging.getLogger(__name__)
_Entry = TypeVar("_Entry", bound=Message)


class GovernanceKey(Message):
    """A public key of a governing authority."""

    key_id: Name
    issuer: Name
    """Only receipts of this issuer may be signed with it."""
    public_key: str
    """Base64 of the 32 raw bytes of an Ed25519 key."""


class SignedReceipt(Message):
    """A receipt with an Ed25519 signature over its canonical JSON (RFC 8785)."""

    receipt: Receipt
    key_id: Name
    signature: str


class SignedEvaluation(Message):
    """An evaluation, signed like a receipt."""

    evaluation: EvalSignal
    key_id: Name
    signature: str


def sign_receipt(receipt: Receipt, key: Ed25519PrivateKey, key_id: str) -> SignedReceipt:
    return SignedReceipt(receipt=receipt, key_id=key_id, signature=_signature(receipt, key))


def sign_evaluation(
    evaluation: EvalSignal, key: Ed25519PrivateKey, key_id: str
) -> SignedEvaluation:
    signature = _signature(evaluation, key)
    return SignedEvaluation(evaluation=evaluation, key_id=key_id, signature=signature)


def _signature(message: Message, key: Ed25519PrivateKey) -> str:
    return base64.b64encode(key.sign(canonical_json(message))).decode()


class FileGovernanceLedger:
    """The port ``GovernanceLedger`` over one folder. Thread-safe; it never writes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def receipts(self, task_id: TaskId, subject: str | None, now: datetime) -> tuple[Receipt, ...]:
        """Verified receipts for this task, or for its user, that have not expired."""
        keys = self._keys()
        signed = self._entries(RECEIPTS_FILE, SignedReceipt) if keys else ()
        return tuple(
            each.receipt
            for each in signed
            if _concerns(each.receipt, task_id, subject)
            and each.receipt.expires_at > now
            and (key := keys.get(each.key_id)) is not None
            and key.issuer == each.receipt.issuer
            and _is_signed(each.receipt, each.signature, key)
        )

    def evaluations(self) -> tuple[EvalSignal, ...]:
        """Verified evaluations; of two of one model and class the lower counts."""
        keys = self._keys()
        signed = self._entries(EVALUATIONS_FILE, SignedEvaluation) if keys else ()
        found: dict[tuple[str, str], EvalSignal] = {}
        for each in signed:
            key = keys.get(each.key_id)
            if key is None or not _is_signed(each.evaluation, each.signature, key):
                continue
            of, known = each.evaluation, (each.evaluation.model, each.evaluation.task_class)
            if known not in found or of.confidence < found[known].confidence:
                found[known] = of
        return tuple(found[known] for known in sorted(found))

    def _keys(self) -> dict[str, GovernanceKey]:
        return {each.key_id: each for each in self._entries(KEYS_FILE, GovernanceKey)}

    def _entries(self, name: str, kind: type[_Entry]) -> Iterator[_Entry]:
        """The entries of a file that read as ``kind``; a wrong one is left out and logged."""
        for number, raw in enumerate(self._read(name)):
            try:
                yield kind.model_validate(raw)
            except ValidationError as error:
                where = error.errors(include_input=False, include_url=False)[0]["loc"]
                field = ".".join(str(each) for each in where)
                _log.warning("%s: entry %d: %s is wrong, so it is not listed", name, number, field)

    def _read(self, name: str) -> list[object]:
        path = self._folder / name
        if not path.is_file():
            return []
        if path.stat().st_size > FILE_BYTES_MAX:
            _log.warning("%s is over %d bytes, so nothing of it counts", path, FILE_BYTES_MAX)
            return []
        try:
            found = json.loads(path.read_bytes())
        except (OSError, ValueError, RecursionError):
            _log.warning("%s is no JSON this process can read, so nothing of it counts", path)
            return []
        if not isinstance(found, list):
            _log.warning("%s is no list, so nothing of it counts", path)
            return []
        return found


def _concerns(receipt: Receipt, task_id: str, subject: str | None) -> bool:
    """A receipt bound to neither a task nor a user would hold for anybody, so it holds for none."""
    if receipt.task_id is None and receipt.subject is None:
        return False
    return receipt.task_id in (None, task_id) and receipt.subject in (None, subject)


def _is_signed(message: Message, signature: str, key: GovernanceKey) -> bool:
    try:
        public = Ed25519PublicKey.from_public_bytes(base64.b64decode(key.public_key, validate=True))
        public.verify(base64.b64decode(signature, validate=True), canonical_json(message))
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return True
