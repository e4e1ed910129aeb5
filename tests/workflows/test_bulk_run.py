"""Bulk runs on real workers: every item ends once, whatever becomes of the run meanwhile."""

import asyncio
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from temporalio.client import WorkflowExecutionStatus
from temporalio.testing import WorkflowEnvironment

from pointwork.client.bulk import PRIORITY_LOWEST, BulkRunEndedError
from pointwork.contract.bulk import PauseReason
from pointwork.contract.failures import FailureType, PointworkError, ProviderFailureKind
from pointwork.contract.outcome import TaskStatus
from pointwork.contract.prompt import Prompt
from pointwork.ledger.bulk_runs import BulkRunReusedError, BulkState
from pointwork.ledger.invariants import check
from pointwork.policy.bundle import PolicyLibrary
from tests.fakes.scripted_provider import Fails, Hangs, Says, Script, Writes
from tests.workflows.bulk import Bulk
from tests.workflows.stack import LENIENT_PACK, Stack, open_test_parts, running
from tests.workflows.test_hard_stop import LIMIT, spend

SUCCEEDED, FAILED, CANCELLED = TaskStatus.SUCCEEDED, TaskStatus.FAILED, TaskStatus.CANCELLED
INVALID = Fails(ProviderFailureKind.INVALID_REQUEST)
HELD = Writes(("Be",), Says("Begun and ended."))


async def test_every_item_ends_once_and_the_workflow_continues_as_new_between(
    stack: Stack,
) -> None:
    bulk = Bulk(stack, 23)
    await bulk.start(page_items=4, items_per_history=8)
    first = (await bulk.handle.describe()).run_id
    view = await bulk.until(state=BulkState.COMPLETED)

    assert (view.counts.done, view.counts.failed, view.counts.cancelled) == (23, 0, 0)
    assert bulk.statuses() == [SUCCEEDED] * 23
    assert bulk.calls() == [1] * 23
    continued = stack.temporal.get_workflow_handle(bulk.handle.id, run_id=first)
    status = (await continued.describe()).status
    assert status is WorkflowExecutionStatus.CONTINUED_AS_NEW
    assert await bulk.closed() is WorkflowExecutionStatus.COMPLETED


async def test_a_run_started_twice_at_once_calls_each_model_once(stack: Stack) -> None:
    bulk = Bulk(stack, 12)
    await asyncio.gather(bulk.start(), bulk.start(), bulk.start())
    await bulk.until(state=BulkState.COMPLETED)
    await bulk.start()
    assert bulk.calls() == [1] * 12


async def test_a_run_id_is_refused_for_other_items_other_texts_and_other_options(
    stack: Stack,
) -> None:
    bulk = Bulk(stack, 3)
    await bulk.start()
    for other in (
        Bulk(stack, 4, run_id=bulk.run_id),
        Bulk(stack, 3, run_id=bulk.run_id, declared={"task_class": "bulk_generation"}),
        Bulk(stack, 3, run_id=bulk.run_id, declared={"priority": 4}),
    ):
        with pytest.raises(BulkRunReusedError, match=r"another file.*another --id"):
            await other.start()
    changed = [*bulk.items[:2], *bulk.items[2:]]
    object.__setattr__(changed[1], "prompt", Prompt.from_text("Another text."))
    with pytest.raises(BulkRunReusedError, match=r"item 'i2': .*was used before"):
        await bulk.runs.seal(bulk.draft, changed)
    await bulk.until(state=BulkState.COMPLETED)
    assert bulk.calls() == [1] * 3


async def test_sealing_that_was_cut_off_goes_on(stack: Stack) -> None:
    bulk = Bulk(stack, 150)

    def cut_off(count: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await bulk.runs.seal(bulk.draft, bulk.items, cut_off)
    assert (await bulk.runs.start(bulk.run_id)).state is BulkState.SEALING
    with pytest.raises(PointworkError, match="not started"):
        await bulk.runs.pause(bulk.run_id)
    run = await bulk.runs.seal(bulk.draft, bulk.items)
    assert run.state is BulkState.SEALED
    assert len(list(bulk.book.entries(bulk.run_id))) == 150


async def test_a_failed_item_is_its_own_outcome_and_the_run_goes_on(stack: Stack) -> None:
    bulk = Bulk(stack, 6, declared={"task_class": "bulk_generation"})
    stack.script.write(bulk.task_ids[1], INVALID)
    await bulk.start()
    view = await bulk.until(state=BulkState.COMPLETED)
    assert (view.counts.done, view.counts.failed) == (5, 1)
    assert bulk.statuses() == [SUCCEEDED, FAILED, *[SUCCEEDED] * 4]


async def test_no_more_items_run_than_may_be_in_flight_and_a_pause_lets_those_end(
    stack: Stack,
) -> None:
    bulk = Bulk(stack, 5, in_flight=2)
    for task_id in bulk.task_ids[:2]:
        stack.script.write(task_id, HELD)
    await bulk.start()
    await asyncio.gather(*map(stack.script.called, bulk.task_ids[:2]))
    await bulk.until(in_flight=2)

    await bulk.runs.pause(bulk.run_id)
    await bulk.until(paused=PauseReason.PERSON)
    for task_id in bulk.task_ids[:2]:
        stack.script.let_go_on(task_id)
    await bulk.until(ended=2, in_flight=0, paused=PauseReason.PERSON)
    assert bulk.calls() == [1, 1, 0, 0, 0]

    await bulk.runs.resume(bulk.run_id)
    await bulk.until(state=BulkState.COMPLETED)
    assert bulk.statuses() == [SUCCEEDED] * 5
    with pytest.raises(BulkRunEndedError, match="has ended, completed"):
        await bulk.runs.pause(bulk.run_id)


@pytest.mark.parametrize("by_temporal", [False, True])
async def test_a_cancelled_run_cancels_what_runs_and_records_what_never_began(
    stack: Stack, by_temporal: bool
) -> None:
    bulk = Bulk(stack, 7, in_flight=3)
    for task_id in bulk.task_ids[1:3]:
        stack.script.write(task_id, Hangs())
    stack.script.write(bulk.task_ids[3], Hangs())
    await bulk.start(page_items=2)
    await asyncio.gather(*map(stack.script.called, bulk.task_ids[1:4]))

    if by_temporal:
        await bulk.handle.cancel()
    else:
        await bulk.runs.cancel(bulk.run_id)
    view = await bulk.until(state=BulkState.CANCELLED)

    assert (view.counts.done, view.counts.cancelled) == (1, 6)
    assert bulk.statuses() == [SUCCEEDED, *[CANCELLED] * 6]
    assert bulk.calls()[4:] == [0, 0, 0]
    reasons = [each.reason for each in bulk.outcomes() if each]
    assert reasons[4:] == ["The bulk run was cancelled before this item began."] * 3
    ended = await bulk.closed()
    assert ended is WorkflowExecutionStatus[("COMPLETED", "CANCELED")[by_temporal]]
    assert [each for each in check(stack.parts.engine) if bulk.run_id in each.sentence] == []
    with pytest.raises(BulkRunEndedError, match="another --id"):
        await bulk.start()


async def test_a_run_cancelled_before_it_is_sealed_never_starts(stack: Stack) -> None:
    bulk = Bulk(stack, 70)

    def cut_off(count: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await bulk.runs.seal(bulk.draft, bulk.items, cut_off)
    await bulk.runs.cancel(bulk.run_id)
    with pytest.raises(BulkRunEndedError, match="another --id"):
        await bulk.start()
    assert bulk.statuses() == [*[CANCELLED] * 64, *[None] * 6]


async def test_a_run_ended_from_outside_goes_on_when_it_is_started_again(stack: Stack) -> None:
    bulk = Bulk(stack, 6, in_flight=2)
    stack.script.write(bulk.task_ids[2], Hangs())
    await bulk.start()
    await stack.script.called(bulk.task_ids[2])
    await bulk.handle.terminate()
    await bulk.until(was_terminated=True)

    await bulk.start()
    view = await bulk.until(state=BulkState.COMPLETED)
    assert bulk.statuses()[2] is CANCELLED
    assert None not in bulk.statuses()
    assert view.counts.ended == 6
    assert max(bulk.calls()) == 1


async def test_an_item_whose_task_was_started_before_counts_as_it_ended(stack: Stack) -> None:
    bulk = Bulk(stack, 3)
    stack.script.write(bulk.task_ids[0], HELD)
    item = bulk.items[0]
    await stack.client.submit(item.prompt, item.declaration)
    await stack.script.called(item.declaration.task_id)

    await bulk.start()
    await bulk.until(ended=2, in_flight=1)
    stack.script.let_go_on(bulk.task_ids[0])
    view = await bulk.until(state=BulkState.COMPLETED)
    assert view.counts.done == 3
    assert bulk.calls() == [1, 1, 1]


async def test_a_cancel_reaches_an_item_that_something_else_started(stack: Stack) -> None:
    bulk = Bulk(stack, 2)
    stack.script.write(bulk.task_ids[0], Hangs())
    item = bulk.items[0]
    await stack.client.submit(item.prompt, item.declaration)
    await stack.script.called(item.declaration.task_id)
    await bulk.start()
    await bulk.until(ended=1, in_flight=1)
    await bulk.runs.cancel(bulk.run_id)
    await bulk.until(state=BulkState.CANCELLED)
    assert bulk.statuses() == [CANCELLED, SUCCEEDED]


async def test_a_budget_that_covers_no_item_pauses_the_run_before_the_file_is_burnt(
    stack: Stack,
) -> None:
    spend(stack, LENIENT_PACK, "bulk-spender", LIMIT)
    declared = {
        "pack": LENIENT_PACK,
        "caller": "bulk-spender",
        "task_class": "high_stakes_logic",
    }
    bulk = Bulk(stack, 20, in_flight=1, declared=declared)
    await bulk.start()
    view = await bulk.until(paused=PauseReason.BUDGET, in_flight=0)

    assert view.counts.failed == 10
    denied = [each for each in bulk.outcomes() if each is not None]
    assert {each.failure for each in denied} == {FailureType.BUDGET_EXCEEDED}
    assert len(denied) == 10
    await bulk.runs.resume(bulk.run_id)
    await bulk.until(state=BulkState.COMPLETED)
    assert bulk.statuses() == [TaskStatus.DENIED] * 20


async def test_an_outage_of_every_model_pauses_the_run_too(stack: Stack) -> None:
    bulk = Bulk(stack, 14, in_flight=1, declared={"task_class": "bulk_generation"})
    for task_id in bulk.task_ids[:11]:
        stack.script.write(task_id, INVALID)
    await bulk.start(page_items=5, items_per_history=5)
    await bulk.until(paused=PauseReason.PROVIDERS, ended=10)
    await bulk.runs.resume(bulk.run_id)
    view = await bulk.until(state=BulkState.COMPLETED)
    assert (view.counts.done, view.counts.failed) == (3, 11)


async def test_failures_that_an_answer_comes_between_pause_nothing(stack: Stack) -> None:
    bulk = Bulk(stack, 14, in_flight=1, declared={"task_class": "bulk_generation"})
    for task_id in (*bulk.task_ids[:9], *bulk.task_ids[10:]):
        stack.script.write(task_id, INVALID)
    await bulk.start()
    view = await bulk.until(state=BulkState.COMPLETED)
    assert (view.counts.done, view.counts.failed) == (1, 13)


async def test_workers_replaced_in_the_middle_lose_no_item_and_repeat_none(
    own_server: WorkflowEnvironment, library: PolicyLibrary, tmp_path: Path
) -> None:
    script, key = Script(), Ed25519PrivateKey.generate()
    parts = open_test_parts(tmp_path, library, script)
    async with running(own_server, parts, script, owner_key=key) as stack:
        bulk = Bulk(stack, 12, in_flight=3)
        script.write(bulk.task_ids[5], Hangs(), Says("After all."))
        await bulk.start(page_items=3, items_per_history=6)
        await script.called(bulk.task_ids[5])
        # Nothing else is under way then: the history hands out no more before this one has ended.
        await bulk.until(ended=5)
    async with running(own_server, parts, script, owner_key=key) as stack:
        again = Bulk(stack, 12, run_id=bulk.run_id)
        view = await again.until(state=BulkState.COMPLETED)
        assert view.counts.done == 12
        assert again.statuses() == [SUCCEEDED] * 12
        assert [calls for calls in again.calls() if calls != 1] == [2]
        assert check(parts.engine) == []
    parts.threads.shutdown()
    parts.engine.dispose()


async def test_the_run_and_its_items_wait_behind_everything_else(stack: Stack) -> None:
    bulk = Bulk(stack, 2)
    await bulk.start()
    await bulk.until(state=BulkState.COMPLETED)
    started = [
        (await stack.temporal.get_workflow_handle(each).fetch_history())
        .events[0]
        .workflow_execution_started_event_attributes
        for each in (bulk.handle.id, *bulk.task_ids)
    ]
    assert [each.priority.priority_key for each in started] == [PRIORITY_LOWEST] * 3
    assert [each.parent_workflow_execution.workflow_id for each in started[1:]] == [
        bulk.handle.id
    ] * 2


async def test_a_runs_history_holds_no_text(stack: Stack) -> None:
    bulk = Bulk(stack, 3)
    canary = "nine herons count the evening trains"
    stack.script.write(bulk.task_ids[0], Says(canary))
    await bulk.start()
    await bulk.until(state=BulkState.COMPLETED)
    history = (await bulk.handle.fetch_history()).to_json()
    assert canary not in history
    assert "Tidy up." not in history
    assert bulk.run_id in history
