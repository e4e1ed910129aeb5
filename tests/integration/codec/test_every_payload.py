"""Every kind of payload is sealed, and client, worker and replayer read each other's (case 77)."""

import asyncio
import base64
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from temporalio.api.failure.v1 import Failure
from temporalio.client import Client, WorkflowHandle, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError
from temporalio.worker import Replayer, Worker

from pointwork.privacy.codec import EncryptingCodec
from pointwork.temporal import payload_codec, pointwork_plugin
from tests.integration.codec.conftest import fields, raw
from tests.integration.codec.every_payload import (
    ACTIVITIES,
    ONLY_WRITTEN,
    SEEN,
    Child,
    EveryPayload,
)

Handle = WorkflowHandle[EveryPayload, list[str]]


@pytest.fixture
def queue() -> str:
    return f"queue-{uuid.uuid4().hex}"


@pytest.fixture
async def temporal(address: str, codec: EncryptingCodec, queue: str) -> AsyncIterator[Client]:
    client = await Client.connect(address, plugins=[pointwork_plugin(codec=codec)])
    workflows = [EveryPayload, Child]
    async with Worker(client, task_queue=queue, workflows=workflows, activities=ACTIVITIES):
        yield client


def new_id() -> str:
    return f"task-{uuid.uuid4().hex}"


async def started(temporal: Client, queue: str) -> Handle:
    return await temporal.start_workflow(
        EveryPayload.run,
        args=["canary-start", []],
        id=new_id(),
        task_queue=queue,
        memo={"m": "canary-memo"},
        static_summary="canary-summary",
        static_details="canary-details",
    )


async def refusal(handle: Handle, word: str) -> ApplicationError:
    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await handle.execute_update(EveryPayload.change, word)
    assert isinstance(refused.value.cause, ApplicationError)
    return refused.value.cause


async def task_failure(handle: WorkflowHandle[Any, Any]) -> Failure:
    """Why the workflow's first task could not be done."""
    async with asyncio.timeout(60):
        async for event in handle.fetch_history_events(wait_new_event=True):
            if event.HasField("workflow_task_failed_event_attributes"):
                return event.workflow_task_failed_event_attributes.failure
    raise AssertionError("the workflow ended")


async def test_whatever_one_side_seals_the_other_reads_and_the_server_cannot(
    temporal: Client, codec: EncryptingCodec, queue: str
) -> None:
    handle = await started(temporal, queue)
    assert await handle.query(EveryPayload.ask, "canary-query-input") == "canary-query-result"
    failed, refused = await refusal(handle, "fail"), await refusal(handle, "refuse")
    assert (failed.message, failed.type) == ("canary-update-error", "VISIBLE")
    assert (refused.message, refused.type) == ("canary-validator-error", "VISIBLE")
    changed = await handle.execute_update(EveryPayload.change, "canary-update-input")
    assert changed == "canary-update-result"
    await handle.signal(EveryPayload.tell, "canary-signal")
    seen = await handle.result()
    assert sorted(seen) == sorted(SEEN)
    run = temporal.get_workflow_handle(handle.id, run_id=handle.first_execution_run_id)
    described = await run.describe()
    assert await described.memo() == {"m": "canary-memo", "later": "canary-later-memo"}
    assert await described.static_summary() == "canary-summary"
    assert await described.static_details() == "canary-details"

    first = await run.fetch_history()
    found = first.to_json()
    decoded = "".join(
        base64.b64decode(each).decode("latin-1")
        for each in fields(raw(first), "data")
        if isinstance(each, str)
    )
    hidden = {*SEEN, *ONLY_WRITTEN} - {"VISIBLE"}
    assert [word for word in hidden if word in found or word in decoded] == []
    assert "VISIBLE" in found

    replayer = Replayer(
        workflows=[EveryPayload],
        plugins=[pointwork_plugin(codec=codec)],
        namespace=temporal.namespace,
    )
    await replayer.replay_workflow(first)


def type_of(failure: Failure) -> str:
    return failure.application_failure_info.type


async def test_a_run_whose_payload_was_made_for_another_waits_and_is_not_answered(
    temporal: Client, address: str, queue: str
) -> None:
    """The sealed input of one workflow, put into the start of another by who has no key."""
    handle = await started(temporal, queue)
    history = await handle.fetch_history()
    stolen = history.events[0].workflow_execution_started_event_attributes.input.payloads
    keyless = await Client.connect(address)
    other = await keyless.start_workflow(
        "EveryPayload",
        args=list(stolen),
        id=new_id(),
        task_queue=queue,
    )
    assert type_of(await task_failure(other)) == "PayloadRefusedError"
    await other.terminate()
    await handle.terminate()


async def test_a_run_that_somebody_without_a_key_starts_is_not_begun(
    temporal: Client, address: str, queue: str
) -> None:
    keyless = await Client.connect(address)
    injected = await keyless.start_workflow(
        "EveryPayload",
        args=["canary-start", []],
        id=new_id(),
        task_queue=queue,
    )
    assert type_of(await task_failure(injected)) == "PayloadRefusedError"
    await injected.terminate()


async def test_where_plaintext_is_accepted_a_run_from_before_the_keys_goes_on(
    address: str, keys_file: Path, queue: str
) -> None:
    keyless = await Client.connect(address, plugins=[pointwork_plugin()])
    lenient = payload_codec(keys_file, accepts_plaintext=True)
    keyed = await Client.connect(address, plugins=[pointwork_plugin(codec=lenient)])
    before = await keyless.start_workflow(Child.run, "plain-input", id=new_id(), task_queue=queue)
    async with Worker(keyed, task_queue=queue, workflows=[Child]):
        after = keyed.get_workflow_handle_for(Child.run, before.id)
        await after.signal(Child.tell, "canary-child-signal")
        assert await after.result() == "canary-child-result"
    history = await keyless.get_workflow_handle(before.id).fetch_history()
    encodings = {base64.b64decode(each) for each in fields(raw(history), "encoding")}
    assert encodings == {b"json/plain", b"binary/encrypted"}


async def test_a_worker_without_keys_says_which_setting_it_lacks(
    address: str, codec: EncryptingCodec, queue: str
) -> None:
    keyed = await Client.connect(address, plugins=[pointwork_plugin(codec=codec)])
    keyless = await Client.connect(address, plugins=[pointwork_plugin()])
    handle = await keyed.start_workflow(Child.run, "canary", id=new_id(), task_queue=queue)
    async with Worker(keyless, task_queue=queue, workflows=[Child]):
        failure = await task_failure(handle)
    assert "set POINTWORK_PAYLOAD_KEYS" in failure.cause.message
    await handle.terminate()
