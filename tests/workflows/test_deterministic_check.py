"""The verifier by default is a tool: an answer is checked without one more model call."""

import pytest

from pointwork.contract.outcome import TaskStatus
from tests.fakes.scripted_provider import Says
from tests.workflows.stack import Stack
from tests.workflows.test_route_task import SCHEMA, scheduled


@pytest.mark.req("SP-39")
@pytest.mark.parametrize(
    ("pack", "task_class"),
    [
        ("socioprophet", "triage"),
        ("socioprophet", "summarization"),
        ("omega", "summarisation_formatting"),
        ("codex", "librarian"),
    ],
)
async def test_an_answer_is_checked_by_a_tool_and_no_other_model_is_called(
    stack: Stack, pack: str, task_class: str
) -> None:
    task = stack.declare(pack=pack, task_class=task_class)
    stack.script.write(task.task_id, Says('{"name": "Ada"}'))
    outcome = await stack.run(task, "Who was it?", schema=SCHEMA)
    steps = [name for name, _ in await scheduled(stack, task.task_id)]

    assert outcome.status is TaskStatus.SUCCEEDED, outcome.reason
    assert steps.count("parallel-verify") == 1
    assert steps.count("invoke-model") == 1
    assert len(outcome.attempts) == 1
