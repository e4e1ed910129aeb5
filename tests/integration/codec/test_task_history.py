"""With keys, the history of a whole task tells nothing to who has none (cases 76 and 77)."""

import base64
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.client import WorkflowFailureError, WorkflowHistory
from temporalio.exceptions import ChildWorkflowError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from examples.child_workflow import QUEUE, Digest, DigestActivities, digest
from pointwork.client import PointworkClient
from pointwork.client.child import failure_of
from pointwork.contract.approval import ApprovalVerdict
from pointwork.contract.failures import FailureType, ProviderFailureKind, TaskFailedError
from pointwork.contract.outcome import TaskStatus
from pointwork.contract.prompt import Prompt
from pointwork.ledger.payload_keys import create_payload_keys, rotate_payload_keys
from pointwork.policy.bundle import PolicyLibrary
from pointwork.providers.port import (
    CompletionRequest,
    CompletionResponse,
    OnProgress,
    Provider,
    ProviderError,
)
from pointwork.temporal import payload_codec
from tests.fakes.scripted_provider import Fails, Script
from tests.integration.codec.conftest import fields, raw
from tests.workflows.bulk import Bulk
from tests.workflows.stack import Stack, open_test_parts, running
from workers.replay import replay_task
from workers.sealed_history import opened
from workers.strict_replay import replay_strictly

DESCRIBED = "why the heron must not be told of the mill"
JUSTIFIED = "the bridge warden asked for it in person"
COMPLAINED = "upstream says the seven lanterns are out"
REASONED = "seen by the owner at the ferry house"
CANARIES = (DESCRIBED, JUSTIFIED, COMPLAINED, REASONED)


class Complains:
    """A provider whose failures carry a text of the vendor's."""

    def __init__(self, inner: Provider) -> None:
        self._inner = inner

    async def complete(
        self, request: CompletionRequest, on_progress: OnProgress | None = None
    ) -> CompletionResponse:
        try:
            return await self._inner.complete(request, on_progress)
        except ProviderError as error:
            raise ProviderError(error.kind, COMPLAINED) from error

    async def aclose(self) -> None:
        await self._inner.aclose()


@pytest.fixture(scope="package")
async def keyed_stack(
    codec_server: WorkflowEnvironment,
    library: PolicyLibrary,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Stack]:
    """The whole deployment with keys."""
    folder, script = tmp_path_factory.mktemp("keyed"), Script()
    create_payload_keys(folder / "payload.keys")
    parts = open_test_parts(folder, library, script)
    keyed = replace(
        parts,
        settings=parts.settings.model_copy(update={"payload_keys": folder / "payload.keys"}),
        providers={name: Complains(each) for name, each in parts.providers.items()},
    )
    async with running(codec_server, keyed, script) as started:
        yield started
    parts.threads.shutdown()
    parts.engine.dispose()


def keys_of(stack: Stack) -> Path:
    path = stack.parts.settings.payload_keys
    assert path is not None
    return path


async def failed(stack: Stack) -> str:
    """A task whose every model fails, after a person let it go on."""
    declaration = stack.declare(
        task_class="high_stakes_logic",
        sensitivity=None,
        description=DESCRIBED,
        justification=JUSTIFIED,
    )
    stack.script.write(declaration.task_id, *[Fails(ProviderFailureKind.INVALID_REQUEST)] * 9)
    await stack.client.submit(Prompt.from_text("Decide this."), declaration)
    request = await stack.open_approval(declaration.task_id)
    signed = stack.signed(request, ApprovalVerdict.APPROVED, reason=REASONED)
    await stack.client.submit_verdict(signed)
    await stack.recorded(declaration.task_id)
    return declaration.task_id


async def succeeded(stack: Stack) -> str:
    declaration = stack.declare(description=DESCRIBED)
    outcome = await stack.client.run(Prompt.from_text("Tidy up this line."), declaration)
    assert outcome.status is TaskStatus.SUCCEEDED
    await stack.recorded(declaration.task_id)
    return declaration.task_id


async def history_of(stack: Stack, task_id: str) -> WorkflowHistory:
    return await stack.temporal.get_workflow_handle(task_id).fetch_history()


def texts(value: Any) -> Iterator[str]:
    """Every string of a history, and every payload as bytes."""
    match value:
        case dict():
            for key, each in value.items():
                if key == "data" and isinstance(each, str):
                    yield base64.b64decode(each).decode("latin-1")
                yield from texts(each)
        case list():
            for each in value:
                yield from texts(each)
        case str():
            yield value


async def test_no_canary_and_no_readable_failure_stands_in_an_exported_history(
    keyed_stack: Stack,
) -> None:
    task_id = await failed(keyed_stack)
    history = await history_of(keyed_stack, task_id)
    document = raw(history)
    found = "\n".join(texts(document))
    assert [canary for canary in CANARIES if canary in found] == []
    assert set(fields(document, "message")) == {"Encoded failure"}
    assert not any(fields(document, "stackTrace"))
    # What Temporal itself decides by, and what people search by, stays readable.
    assert ProviderFailureKind.INVALID_REQUEST in found
    assert FailureType.PROVIDERS_EXHAUSTED in found
    assert task_id in found


async def test_who_has_the_key_reads_every_canary_in_the_same_history(keyed_stack: Stack) -> None:
    task_id = await failed(keyed_stack)
    found = await decrypted(keyed_stack, await history_of(keyed_stack, task_id))
    assert [canary for canary in CANARIES if canary not in found] == []


async def test_a_caller_with_the_key_is_told_why_its_task_failed(keyed_stack: Stack) -> None:
    declaration = keyed_stack.declare(task_class="no_such_class")
    with pytest.raises(TaskFailedError) as refused:
        await keyed_stack.client.run(Prompt.from_text("hello"), declaration)
    assert refused.value.failure is FailureType.POLICY_DENIED
    assert "Encoded" not in str(refused.value)


async def test_nothing_but_search_attributes_is_a_plain_payload(keyed_stack: Stack) -> None:
    document = raw(await history_of(keyed_stack, await succeeded(keyed_stack)))
    for attributes in fields(document, "searchAttributes"):
        attributes.clear()
    encodings = {base64.b64decode(each) for each in fields(document, "encoding")}
    assert encodings == {b"binary/encrypted"}


async def test_a_sealed_history_replays_with_its_key(keyed_stack: Stack) -> None:
    for task_id in (await failed(keyed_stack), await succeeded(keyed_stack)):
        report = await replay_task(task_id, keyed_stack.temporal, keyed_stack.parts)
        assert report.history.problems == []
        assert report.ok


async def test_an_exported_history_replays_with_the_key_of_then_after_a_rotation(
    keyed_stack: Stack, tmp_path: Path
) -> None:
    task_id = await succeeded(keyed_stack)
    export = tmp_path / "history.json"
    export.write_text((await history_of(keyed_stack, task_id)).to_json())
    rotated = tmp_path / "payload.keys"
    rotated.touch(0o600)
    rotated.write_bytes(keys_of(keyed_stack).read_bytes())
    rotate_payload_keys(rotated)
    settings = keyed_stack.parts.settings.model_copy(update={"payload_keys": rotated})
    parts = replace(keyed_stack.parts, settings=settings)
    assert (await replay_task(task_id, None, parts, export)).ok


async def test_workers_that_run_take_up_a_rotation_and_still_read_what_is_older(
    keyed_stack: Stack,
) -> None:
    before = await succeeded(keyed_stack)
    new_key_id = rotate_payload_keys(keys_of(keyed_stack))
    client = await PointworkClient.connect(
        keyed_stack.temporal.service_client.config.target_host,
        keyed_stack.parts.vault,
        keyed_stack.outcomes,
        codec=payload_codec(keys_of(keyed_stack)),
    )
    declaration = keyed_stack.declare()
    await client.run(Prompt.from_text("Tidy up this line."), declaration)
    await keyed_stack.recorded(declaration.task_id)
    after = raw(await history_of(keyed_stack, declaration.task_id))
    used = {base64.b64decode(each).decode() for each in fields(after, "encryption-key-id")}
    assert used == {new_key_id}
    for task_id in (before, declaration.task_id):
        assert (await replay_task(task_id, keyed_stack.temporal, keyed_stack.parts)).ok


async def test_without_the_key_a_replay_names_the_setting_that_is_missing(
    keyed_stack: Stack,
) -> None:
    task_id = await succeeded(keyed_stack)
    settings = keyed_stack.parts.settings.model_copy(update={"payload_keys": None})
    parts = replace(keyed_stack.parts, settings=settings)
    report = await replay_task(task_id, keyed_stack.temporal, parts)
    assert not report.ok
    [problem] = report.history.problems
    assert problem.startswith("event 1: a payload is encrypted under key 'pk-")
    assert problem.endswith("set POINTWORK_PAYLOAD_KEYS to the file that holds it")


async def test_with_another_key_a_replay_names_the_key_that_is_missing(
    keyed_stack: Stack, keys_file: Path
) -> None:
    history = await history_of(keyed_stack, await succeeded(keyed_stack))
    library = keyed_stack.parts.library
    [problem] = await replay_strictly(history, library, payload_codec(keys_file))
    assert "does not hold; add that key to it" in problem


def truncate(payload: Payload) -> None:
    payload.data = payload.data[:-1]


def expose(payload: Payload) -> None:
    payload.CopyFrom(Payload(metadata={"encoding": b"json/plain"}, data=b'{"injected": 1}'))


@pytest.mark.parametrize("spoil", [truncate, expose])
async def test_a_history_with_a_spoilt_payload_does_not_replay_and_the_event_is_named(
    keyed_stack: Stack, spoil: Any
) -> None:
    history = await history_of(keyed_stack, await succeeded(keyed_stack))
    event = next(
        each for each in history.events if each.HasField("activity_task_completed_event_attributes")
    )
    spoil(event.activity_task_completed_event_attributes.result.payloads[0])
    codec = payload_codec(keys_of(keyed_stack))
    [problem] = await replay_strictly(history, keyed_stack.parts.library, codec)
    assert problem.startswith(f"event {event.event_id}: a payload ")
    assert "injected" not in problem


async def test_a_history_with_a_result_of_another_task_does_not_replay(keyed_stack: Stack) -> None:
    one, other = [await history_of(keyed_stack, await succeeded(keyed_stack)) for _ in range(2)]
    mine, theirs = one.events[-1], other.events[-1]
    mine.workflow_execution_completed_event_attributes.CopyFrom(
        theirs.workflow_execution_completed_event_attributes
    )
    codec = payload_codec(keys_of(keyed_stack))
    [problem] = await replay_strictly(one, keyed_stack.parts.library, codec)
    assert "made for another workflow" in problem


async def test_a_history_does_not_replay_under_another_namespace(keyed_stack: Stack) -> None:
    history = await history_of(keyed_stack, await succeeded(keyed_stack))
    codec = payload_codec(keys_of(keyed_stack))
    [problem] = await replay_strictly(history, keyed_stack.parts.library, codec, "elsewhere")
    assert "namespace" in problem


async def decrypted(stack: Stack, history: WorkflowHistory) -> str:
    codec = payload_codec(keys_of(stack))
    document = json.loads((await opened(history, codec, stack.temporal.namespace)).to_json())
    return "\n".join(texts(document))


async def test_a_task_as_a_child_is_opened_by_both_workflows_and_tells_nothing_to_others(
    keyed_stack: Stack,
) -> None:
    stack, steps = keyed_stack, DigestActivities(keyed_stack.client)
    activities = [steps.seal_digest]
    async with Worker(stack.temporal, task_queue=QUEUE, workflows=[Digest], activities=activities):
        outcome = await digest(stack.temporal, stack.client, ["A line.", "Another line."])
        parent_id = outcome.task_id.removesuffix("-whole")
        denied = stack.declare(
            task_class="high_stakes_logic", sensitivity="proprietary", description=DESCRIBED
        )
        request = await stack.client.seal(Prompt.from_text("Decide this."), denied)
        with pytest.raises(WorkflowFailureError) as failed:
            await stack.temporal.execute_workflow(
                Digest.run,
                args=[[request], stack.declare()],
                id=f"{parent_id}-denied",
                task_queue=QUEUE,
            )
    assert outcome.status is TaskStatus.SUCCEEDED
    assert isinstance(failed.value.cause, ChildWorkflowError)
    assert failure_of(failed.value.cause) is FailureType.POLICY_DENIED
    histories = [await history_of(stack, each) for each in (parent_id, f"{parent_id}-denied")]
    read = [each for history in histories for each in texts(raw(history))]
    assert "RouteTask" in read
    # Pack and class stand in search attributes; nothing else of the request is to be read.
    assert not [each for each in read if DESCRIBED in each or "media_type" in each]


async def test_a_bulk_run_goes_on_over_its_histories_and_reads_how_each_item_failed(
    keyed_stack: Stack,
) -> None:
    bulk = Bulk(keyed_stack, 4, declared={"task_class": "bulk_generation"})
    keyed_stack.script.write(bulk.task_ids[1], Fails(ProviderFailureKind.INVALID_REQUEST))
    await bulk.start(page_items=2, items_per_history=2)
    await bulk.closed()
    progress = await bulk.handle.result()
    assert (progress.counts.done, progress.counts.failed) == (3, 1)
    document = raw(await bulk.handle.fetch_history())
    assert {base64.b64decode(each) for each in fields(document, "encoding")} == {
        b"binary/encrypted"
    }
