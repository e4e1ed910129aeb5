"""Stores for sealed bytes: a folder, and an S3 server on loopback that speaks the real protocol."""

import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from sqlalchemy import Engine

from pointwork.ledger.object_store import ObjectBytes, open_object_store
from pointwork.ledger.sealed_bytes import SHARDS, InTable, SealedBytes, StoredObject
from pointwork.ledger.vault_rows import ledger_id

KINDS = ("table", "folder", "s3")
OUTSIDE = ("folder", "s3")
BUCKET = "vault"


@dataclass(frozen=True)
class S3Server:
    """Where it listens, and what an S3 store needs to be told to reach it."""

    endpoint: str
    options: dict[str, str] = field(default_factory=dict)


@contextmanager
def running_s3() -> Iterator[S3Server]:
    # Imported here: most tests that use this folder's fixtures need no such server.
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    request = urllib.request.Request(f"{endpoint}/{BUCKET}", method="PUT")
    with urllib.request.urlopen(request) as made:
        assert made.status == 200
    yield S3Server(
        endpoint,
        {
            "endpoint": endpoint,
            "region": "us-east-1",
            "access_key_id": "pointwork",
            "secret_access_key": "not-a-secret",
            "allow_http": "true",
        },
    )
    server.stop()


def new_store(
    kind: str,
    engine: Engine,
    folder: Path,
    request: pytest.FixtureRequest,
    inline_bytes_max: int = 0,
) -> SealedBytes:
    """An empty store of this kind; everything goes into it unless told otherwise."""
    if kind == "table":
        return InTable()
    url, options = f"file://{folder / 'objects'}", None
    if kind == "s3":
        server: S3Server = request.getfixturevalue("s3_server")
        url, options = f"s3://{BUCKET}/{uuid.uuid4().hex}", server.options
    whose = ledger_id(engine)
    return open_object_store(url, options, ledger_id=whose, inline_bytes_max=inline_bytes_max)


def shards_in_use(store: SealedBytes) -> list[int]:
    """Those that hold something; to ask 256 of them one by one takes a second on S3."""
    if not isinstance(store, ObjectBytes):
        return [*range(SHARDS)]
    names = (each["path"] for page in store._store.list() for each in page)
    return sorted({int(name.split("/")[-3], 16) for name in names})


def objects(store: SealedBytes) -> list[StoredObject]:
    """Everything that lies in it."""
    return [each for shard in shards_in_use(store) for page in store.listed(shard) for each in page]


def replace(store: SealedBytes, name: str, data: bytes) -> None:
    """Put other bytes under a name, as somebody with access to the bucket could."""
    assert isinstance(store, ObjectBytes)
    store._store.put(name, data)


def of_another_ledger(store: SealedBytes) -> SealedBytes:
    """The same bucket and folder, as a second ledger that was pointed at it uses it."""
    assert isinstance(store, ObjectBytes)
    return ObjectBytes(store._store, store.place, "another-ledger", 0)
