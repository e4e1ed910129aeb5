"""One way to write a message as bytes, so that a hash of it means the same everywhere."""

import hashlib
import json

from pydantic import BaseModel


def canonical_json(message: BaseModel) -> bytes:
    """UTF-8 JSON with sorted keys and no spaces; equal messages give equal bytes."""
    return canonical_bytes(message.model_dump(mode="json"))


def canonical_bytes(value: object) -> bytes:
    """As ``canonical_json`` for plain JSON values. Floats that are not finite are refused."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode()


def sha256_hex(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
