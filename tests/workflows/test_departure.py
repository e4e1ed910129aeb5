"""The door in a running system: what was tampered with before the call, it sees at the call."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from temporalio import activity
from temporalio.testing import WorkflowEnvironment

from pointwork.contract.decision import RedactionSummary, Site
from pointwork.contract.failures import FailureType, ProviderFailureKind
from pointwork.contract.names import ActivityName, TaskQueue
from pointwork.contract.outcome import AttemptState, TaskOutcome
from pointwork.contract.steps import Redact
from pointwork.contract.task import DataClass
from pointwork.ledger.invariants import check
from pointwork.policy.bundle import PolicyLibrary
from pointwork.privacy.placeholders import Placeholders
from tests.fakes.policy_facts import changed
from tests.fakes.scripted_provider import Says, Script
from tests.unit.privacy.canaries import CREDENTIALS
from tests.workflows.stack import Stack, open_test_parts, running
from workers.wiring import Parts, invoke_activities

CLOUD_CLASS = "high_stakes_logic"
TOKEN = CREDENTIALS[0].value
KEY_TEXT = f"Why is {TOKEN} refused?"
MAIL = "ada@example.org"

Standins = Callable[[Parts], dict[TaskQueue, Sequence[Callable[..., Any]]]]
Tampers = Callable[[Standins], AbstractAsyncContextManager[Stack]]


@pytest.fixture
def tampers(own_server: WorkflowEnvironment, library: PolicyLibrary, tmp_path: Path) -> Tampers:
    """A stack of its own in which some queue is not served as it should be."""

    @asynccontextmanager
    async def start(standins: Standins) -> AsyncIterator[Stack]:
        script = Script()
        parts = open_test_parts(tmp_path, library, script)
        async with running(own_server, parts, script, standins(parts)) as stack:
            yield stack
        parts.threads.shutdown()
        parts.engine.dispose()

    return start


def catalogue_moves(parts: Parts, *endpoints: str) -> dict[TaskQueue, Sequence[Callable[..., Any]]]:
    """The worker that calls models has a later catalogue, where ``endpoints`` stand elsewhere."""
    moved = []
    for name in parts.library.packs:
        bundle = parts.library.active(name)
        names = [n for n, each in bundle.models.items() if each.model.endpoint in endpoints]
        sites: dict[str, dict[str, Any]] = {n: {"site": Site.PRIVATE} for n in names}
        moved.append(changed(bundle, models=sites))
    later = replace(parts, library=PolicyLibrary(moved))
    return {TaskQueue.INVOKE: [invoke_activities(later, parts.providers).invoke_model]}


class RedactsNothing:
    """Says that it redacted, and gives the text back as it was."""

    def __init__(self, parts: Parts) -> None:
        self._content = parts.content

    @activity.defn(name=ActivityName.REDACT)
    async def redact(self, step: Redact) -> RedactionSummary:
        mapping = self._content.seal_placeholders(step.task_id, Placeholders().to_bytes())
        assert mapping is not None
        return RedactionSummary(
            content=step.content, placeholders=mapping, counts=(), rules=("credentials@1",)
        )


def redacts_nothing(parts: Parts) -> dict[TaskQueue, Sequence[Callable[..., Any]]]:
    return {TaskQueue.REDACT: [RedactsNothing(parts).redact]}


def assert_nobody_was_called(stack: Stack, outcome: TaskOutcome) -> None:
    assert outcome.failure is FailureType.PROVIDERS_EXHAUSTED
    assert not stack.script.calls[outcome.task_id]
    assert outcome.cost_nano_usd == 0
    assert outcome.attempts
    assert {(each.state, each.cost_nano_usd) for each in outcome.attempts} == {
        (AttemptState.PLANNED, 0)
    }
    assert check(stack.parts.engine) == []


def causes(outcome: TaskOutcome) -> set[str]:
    return {each.cause for each in outcome.fallbacks}


async def test_an_endpoint_that_moved_since_the_plan_is_passed_by_for_the_next(
    tampers: Tampers,
) -> None:
    async with tampers(lambda parts: catalogue_moves(parts, "openai")) as stack:
        task = stack.declare(task_class=CLOUD_CLASS)
        outcome = await stack.run(task)
        (call,) = stack.script.calls[task.task_id]
        assert call.endpoint == "anthropic"
        assert causes(outcome) == {ProviderFailureKind.EGRESS_REFUSED}
        unsent, sent = outcome.attempts
        assert (unsent.state, unsent.cost_nano_usd) == (AttemptState.PLANNED, 0)
        assert outcome.cost_nano_usd == sent.cost_nano_usd
        assert check(stack.parts.engine) == []


async def test_where_every_endpoint_moved_nobody_is_called_and_nothing_is_charged(
    tampers: Tampers,
) -> None:
    everywhere = ("openai", "anthropic", "google", "xai", "deepseek", "moonshot")
    async with tampers(lambda parts: catalogue_moves(parts, *everywhere)) as stack:
        outcome = await stack.run(stack.declare(task_class=CLOUD_CLASS))
        assert_nobody_was_called(stack, outcome)
        assert causes(outcome) == {ProviderFailureKind.EGRESS_REFUSED}


@pytest.mark.req("OM-50")
async def test_a_credential_that_the_redactor_left_in_is_seen_at_the_door(
    tampers: Tampers,
) -> None:
    async with tampers(redacts_nothing) as stack:
        task = stack.declare(pack="juggernaut", task_class="ops")
        outcome = await stack.run(task, KEY_TEXT)
        assert_nobody_was_called(stack, outcome)
        history = await stack.temporal.get_workflow_handle(task.task_id).fetch_history()
        assert TOKEN not in history.to_json()


async def test_a_schema_that_names_a_person_keeps_the_task_in(stack: Stack) -> None:
    """Nothing redacts a schema; so it counts before the plan, and not only at the door."""
    task = stack.declare(task_class=CLOUD_CLASS)
    stack.script.write(task.task_id, Says("{}"))
    outcome = await stack.run(task, schema={"type": "object", "examples": [{"mail": MAIL}]})
    (call,) = stack.script.calls[task.task_id]
    assert call.endpoint == "local-gpu"
    (first, *_) = stack.outcomes.decisions(task.task_id)
    assert first.input.classification.detected_data_classes == (DataClass.PERSONAL,)
    assert outcome.fallbacks == ()


async def test_an_adviser_is_given_the_redacted_text_although_the_owner_is_local(
    stack: Stack,
) -> None:
    task = stack.declare(
        pack="codex", task_class="implementer", marks=("user_requested_second_opinion",)
    )
    outcome = await stack.run(task, KEY_TEXT)
    own, advice = stack.script.calls[task.task_id]
    assert (own.endpoint, own.request.prompt.text) == ("local-gpu", KEY_TEXT)
    assert advice.endpoint == "anthropic"
    assert advice.request.prompt.text == KEY_TEXT.replace(TOKEN, "<SECRET_1>")
    assert outcome.advice is not None
