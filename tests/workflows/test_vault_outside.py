"""Whole tasks on workers whose sealed contents lie on S3: nothing else is different."""

import json
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from temporalio.testing import WorkflowEnvironment

from pointwork.contract.outcome import TaskStatus
from pointwork.ledger.content import SealedContent
from pointwork.ledger.engine import open_engine
from pointwork.ledger.erasure import Eraser
from pointwork.ledger.migrate import migrate
from pointwork.ledger.sealed_bytes import InTable, SealedStoreError, VaultUrlError
from pointwork.ledger.vault import ContentUnavailableError, Vault
from pointwork.policy.bundle import PolicyLibrary
from tests.fakes.scripted_provider import Says, Script
from tests.integration.ledger.stores import BUCKET, S3Server, objects, running_s3
from tests.temporal_server import dev_server
from tests.workflows.stack import Stack, open_test_parts, running
from workers.settings import Settings
from workers.wiring import sealed_store

CANARY = "the heron stands in the mill pond at dusk. "


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with running_s3() as server:
        yield server


@pytest.fixture(scope="module")
async def own_server() -> AsyncIterator[WorkflowEnvironment]:
    """Workers with another vault would take these tasks from a shared one."""
    async with dev_server() as server:
        yield server


@pytest.fixture
def settings(tmp_path: Path, s3: S3Server) -> Settings:
    return Settings(
        state_dir=tmp_path,
        vault_url=f"s3://{BUCKET}/{uuid.uuid4().hex}",
        vault_options=s3.options,
        vault_inline_bytes=1000,
    )


@pytest.fixture
async def outside(
    own_server: WorkflowEnvironment, settings: Settings, library: PolicyLibrary
) -> AsyncIterator[Stack]:
    script = Script()
    parts = open_test_parts(settings.state_dir, library, script)
    store = sealed_store(settings, parts.engine)
    vault = Vault(parts.engine, parts.master_keys, store=store)
    parts = replace(parts, store=store, vault=vault, content=SealedContent(vault))
    async with running(own_server, parts, script) as started:
        yield started
    parts.threads.shutdown()
    parts.engine.dispose()


async def test_a_task_is_answered_and_erased_with_its_text_on_s3(outside: Stack) -> None:
    declaration = outside.declare()
    outside.script.write(declaration.task_id, Says(CANARY * 100))
    outcome = await outside.run(declaration, CANARY * 200)
    assert outcome.status is TaskStatus.SUCCEEDED, outcome.reason
    assert outside.client.answer_text(outcome) == CANARY * 100
    store = outside.parts.store
    assert len(objects(store)) == 2
    folder = outside.parts.settings.state_dir
    text = b"".join(path.read_bytes() for path in folder.glob("ledger.db*"))
    text += b"".join(store.get(each.name) or b"" for each in objects(store))
    assert CANARY.encode()[:20] not in text
    history = await outside.temporal.get_workflow_handle(declaration.task_id).fetch_history()
    assert CANARY[:20] not in json.dumps(json.loads(history.to_json()))

    erased = Eraser(outside.parts.engine, store).erase(
        [declaration.task_id], datetime.now(UTC), by="owner", reason="asked for"
    )
    assert erased.are_objects_deleted
    assert objects(store) == []
    with pytest.raises(ContentUnavailableError, match="was erased"):
        outside.client.answer_text(outcome)


async def test_small_texts_need_no_store(outside: Stack) -> None:
    outcome = await outside.run(outside.declare())
    assert outside.client.answer_text(outcome) == "A plain answer."
    assert objects(outside.parts.store) == []


def test_a_worker_without_a_store_has_the_table_alone(settings: Settings) -> None:
    engine = open_engine(settings.ledger_address)
    plain = settings.model_copy(update={"vault_url": None})
    assert isinstance(sealed_store(plain, engine), InTable)
    engine.dispose()


@pytest.mark.parametrize(
    ("url", "refused"),
    [("s3://no-such-bucket/x", SealedStoreError), ("ftp://x/y", VaultUrlError)],
)
def test_a_worker_whose_store_does_not_work_does_not_start(
    settings: Settings, url: str, refused: type[Exception]
) -> None:
    engine = open_engine(settings.ledger_address)
    migrate(engine)
    began = datetime.now(UTC)
    with pytest.raises(refused):
        sealed_store(settings.model_copy(update={"vault_url": url}), engine)
    assert datetime.now(UTC) - began < timedelta(seconds=60)
    engine.dispose()
