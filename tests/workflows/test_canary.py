"""Text of a prompt or an answer is in no history, no log line and no plain column."""

import base64
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from pointwork.contract.approval import ApprovalVerdict
from pointwork.contract.failures import ProviderFailureKind
from pointwork.contract.prompt import Prompt
from pointwork.contract.task import DataClass
from tests.fakes.scripted_provider import Fails, Says
from tests.workflows.stack import Stack

ASKED = "the heron stands in the mill pond at dusk"
ANSWERED = "seven lanterns drift below the old bridge"
KEY = "canary-schema-property"
SCHEMA = {"type": "object", "properties": {KEY: {"type": "string"}}, "required": [KEY]}


async def test_a_canary_in_prompt_schema_and_answer_is_found_nowhere_in_the_clear(
    stack: Stack, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    task_ids = [
        await succeeds(stack),
        await fails(stack),
        await breaks_its_schema(stack),
        await leaves_redacted(stack),
    ]
    places = {
        "log": "\n".join(record.getMessage() for record in caplog.records),
        "database": database_bytes(stack),
    }
    for task_id in task_ids:
        history = await stack.temporal.get_workflow_handle(task_id).fetch_history()
        places[f"history of {task_id}"] = "\n".join(strings(json.loads(history.to_json())))

    for canary in (ASKED, ANSWERED, KEY, "heron.keeper@example.com"):
        assert [place for place, text in places.items() if canary in text] == []


async def succeeds(stack: Stack) -> str:
    declaration = stack.declare()
    stack.script.write(declaration.task_id, Says(ANSWERED))
    outcome = await stack.run(declaration, ASKED)
    assert stack.client.answer_text(outcome) == ANSWERED
    return declaration.task_id


async def fails(stack: Stack) -> str:
    declaration = stack.declare(task_class="bulk_generation")
    stack.script.write(declaration.task_id, Fails(ProviderFailureKind.INVALID_REQUEST))
    await stack.run(declaration, ASKED)
    return declaration.task_id


async def breaks_its_schema(stack: Stack) -> str:
    declaration = stack.declare()
    stack.script.write(declaration.task_id, Says(ANSWERED), Says(json.dumps({KEY: ANSWERED})))
    await stack.run(declaration, ASKED, schema=SCHEMA)
    return declaration.task_id


async def leaves_redacted(stack: Stack) -> str:
    declaration = stack.declare(
        task_class="creative_synthesis", sensitivity=None, data_classes=(DataClass.PERSONAL,)
    )
    refused = Fails(ProviderFailureKind.INVALID_REQUEST)
    stack.script.write(declaration.task_id, refused, Says(f"{ANSWERED} <EMAIL_1>"))
    text = f"{ASKED}, says heron.keeper@example.com"
    await stack.client.submit(Prompt.from_text(text), declaration)
    request = await stack.open_approval(declaration.task_id)
    await stack.client.submit_verdict(stack.signed(request, ApprovalVerdict.APPROVED))
    await stack.recorded(declaration.task_id)
    return declaration.task_id


def database_bytes(stack: Stack) -> str:
    """The ledger's files as they lie on disk, its write-ahead log included."""
    folder = stack.parts.settings.state_dir
    return "".join(path.read_bytes().decode("latin-1") for path in folder.glob("ledger.db*"))


def strings(value: Any) -> Iterator[str]:
    """Every string of a history, and every payload decoded."""
    match value:
        case dict():
            for key, each in value.items():
                if key == "data" and isinstance(each, str):
                    yield base64.b64decode(each).decode("utf-8", "replace")
                yield from strings(each)
        case list():
            for each in value:
                yield from strings(each)
        case str():
            yield value
