"""Content larger than the vault takes is refused once, in words, and never tried for ever."""

from dataclasses import dataclass

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.redact import RedactActivities
from pointwork.contract.decision import FindingCount
from pointwork.contract.failures import FailureType, ProviderFailureKind, TaskRefusedError
from pointwork.contract.outcome import AttemptState, Settlement, TaskStatus
from pointwork.contract.prompt import Prompt
from pointwork.contract.steps import Redact
from pointwork.contract.task import CONTENT_BYTES_MAX, DataClass
from pointwork.ledger.invariants import check
from tests.fakes.scripted_provider import Says
from tests.workflows.stack import Stack

TOO_LARGE = "x" * (CONTENT_BYTES_MAX + 1)


async def test_an_answer_the_vault_does_not_take_is_paid_once_and_the_next_model_asked(
    stack: Stack,
) -> None:
    declaration = stack.declare()
    stack.script.write(declaration.task_id, Says(TOO_LARGE), Says("A shorter one."))
    outcome = await stack.run(declaration)
    first, second = outcome.attempts[0], outcome.attempts[-1]
    assert (first.state, first.failure) == (AttemptState.FAILED, ProviderFailureKind.TRUNCATED)
    assert first.settlement is Settlement.EXACT
    assert second.state is AttemptState.DONE
    assert outcome.status is TaskStatus.SUCCEEDED
    assert stack.client.answer_text(outcome) == "A shorter one."
    assert len(stack.script.calls[declaration.task_id]) == len(outcome.attempts) == 2
    assert [v for v in check(stack.parts.engine) if declaration.task_id in str(v)] == []


async def test_where_every_answer_is_too_large_each_model_is_asked_once(stack: Stack) -> None:
    declaration = stack.declare(task_class="bulk_generation")
    stack.script.write(declaration.task_id, *(Says(TOO_LARGE) for _ in range(20)))
    outcome = await stack.run(declaration)
    assert (outcome.status, outcome.failure) == (
        TaskStatus.FAILED,
        FailureType.PROVIDERS_EXHAUSTED,
    )
    models = [each.model for each in outcome.attempts]
    assert len(models) == len(set(models)) == len(stack.script.calls[declaration.task_id])
    history = await stack.temporal.get_workflow_handle(declaration.task_id).fetch_history()
    tries = [
        event.activity_task_started_event_attributes.attempt
        for event in history.events
        if event.HasField("activity_task_started_event_attributes")
    ]
    assert set(tries) == {1}


async def test_a_schema_the_vault_does_not_take_is_refused_at_the_edge(stack: Stack) -> None:
    schema = {"type": "object", "description": TOO_LARGE}
    with pytest.raises(TaskRefusedError, match=r"answer_schema has .* ask for less"):
        await stack.client.submit(Prompt.from_text("x"), stack.declare(), schema)


@dataclass(frozen=True)
class Redacted:
    """A redaction that outgrew its text."""

    prompt: Prompt
    mapping: bytes
    counts: tuple[FindingCount, ...] = ()
    rules: tuple[str, ...] = ()
    data_classes: tuple[DataClass, ...] = ()
    read_bytes: int | None = None

    def redact(self, prompt: Prompt, *, secrets_only: bool) -> "Redacted":
        return self


@pytest.mark.parametrize("what", ["prompt", "mapping"])
async def test_a_redaction_the_vault_does_not_take_fails_for_good(stack: Stack, what: str) -> None:
    declaration = stack.declare()
    outcome = await stack.run(declaration)
    record = stack.outcomes.decisions(declaration.task_id)[0]
    prompt = Prompt.from_text(TOO_LARGE if what == "prompt" else "short")
    redactor = Redacted(prompt, TOO_LARGE.encode() if what == "mapping" else b"{}")
    activity = RedactActivities(stack.parts.content, redactor)
    step = Redact(task_id=outcome.task_id, content=record.input.request.content, secrets_only=False)
    with pytest.raises(ApplicationError) as refused:
        ActivityEnvironment().run(activity.redact, step)
    assert refused.value.non_retryable
    assert refused.value.type == FailureType.REDACTION_FAILED
