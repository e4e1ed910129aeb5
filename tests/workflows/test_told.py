"""Who is named in the settings is told when a task waits, still waits, and waited in vain."""

from dataclasses import replace
from pathlib import Path

from temporalio.testing import WorkflowEnvironment

from pointwork.contract.outcome import TaskStatus
from pointwork.policy.bundle import PolicyLibrary
from tests.fakes.scripted_provider import Script
from tests.fakes.vendor_reply import LoopbackVendor, Reply
from tests.workflows.stack import QUICK_PACK, open_test_parts, running
from workers.settings import NoticeSettings

TEXT = "the heron stands in the mill pond at dusk"
DESCRIBED = "why the heron must not be told"


async def test_each_stage_of_waiting_is_told_once_and_without_a_word_of_the_task(
    own_server: WorkflowEnvironment, library: PolicyLibrary, tmp_path: Path
) -> None:
    script = Script()
    async with LoopbackVendor() as receiver:
        receiver.reply = Reply.of_json(200, {})
        parts = open_test_parts(tmp_path, library, script)
        notices = NoticeSettings.model_validate({"webhook_url": receiver.base_url})
        settings = parts.settings.model_copy(update={"notices": notices})
        async with running(own_server, replace(parts, settings=settings), script) as stack:
            task = stack.declare(
                task_class="high_stakes_logic",
                sensitivity=None,
                pack=QUICK_PACK,
                description=DESCRIBED,
            )
            outcome = await stack.run(task, TEXT)
        parts.threads.shutdown()
        parts.engine.dispose()
    assert outcome.status is TaskStatus.EXPIRED
    told = [each.body["kind"] for each in receiver.received]
    assert told == ["opened", "reminder", "escalation", "expired"]
    assert {each.body["task_id"] for each in receiver.received} == {task.task_id}
    assert not any(word in str(receiver.received) for word in (TEXT, DESCRIBED))
