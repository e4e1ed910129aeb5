"""A Temporal server of these tests alone, and keys: workers of others could not read its tasks."""

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import WorkflowHistory
from temporalio.testing import WorkflowEnvironment

from pointwork.ledger.payload_keys import create_payload_keys
from pointwork.privacy.codec import EncryptingCodec
from pointwork.temporal import payload_codec
from tests.temporal_server import dev_server


@pytest.fixture(scope="package")
async def codec_server() -> AsyncIterator[WorkflowEnvironment]:
    async with dev_server() as server:
        yield server


@pytest.fixture(scope="package")
def address(codec_server: WorkflowEnvironment) -> str:
    return codec_server.client.service_client.config.target_host


@pytest.fixture
def keys_file(tmp_path: Path) -> Path:
    path = tmp_path / "payload.keys"
    create_payload_keys(path)
    return path


@pytest.fixture
def codec(keys_file: Path) -> EncryptingCodec:
    return payload_codec(keys_file)


def raw(history: WorkflowHistory) -> dict[str, Any]:
    """A history as anybody reads it who has the server and no key."""
    document: dict[str, Any] = json.loads(history.to_json())
    return document


def fields(value: Any, *names: str) -> Iterator[Any]:
    """Every value under one of these names, however deep."""
    match value:
        case dict():
            for key, each in value.items():
                if key in names:
                    yield each
                yield from fields(each, *names)
        case list():
            for each in value:
                yield from fields(each, *names)
