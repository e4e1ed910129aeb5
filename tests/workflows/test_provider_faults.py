"""What a task does when a provider fails: another model, a bounded wait, a plain end."""

import pytest

from pointwork.contract.decision import Trigger
from pointwork.contract.failures import FailureType, ProviderFailureKind
from pointwork.contract.outcome import AttemptState, TaskStatus
from tests.fakes.scripted_provider import Fails, Says
from tests.workflows.stack import Stack

KINDS = (
    ProviderFailureKind.STREAM_INTERRUPTED,
    ProviderFailureKind.RATE_LIMITED,
    ProviderFailureKind.OVERLOADED,
    ProviderFailureKind.TIMEOUT,
    ProviderFailureKind.MALFORMED_RESPONSE,
)
"""Every kind of docs/operating/provider-faults.md."""


@pytest.mark.parametrize("kind", KINDS)
async def test_another_permitted_model_goes_before_a_second_try(
    stack: Stack, kind: ProviderFailureKind
) -> None:
    declaration = stack.declare(task_class="high_stakes_logic")
    stack.script.write(declaration.task_id, Fails(kind), Says("Decided."))
    outcome = await stack.run(declaration)

    assert outcome.status is TaskStatus.SUCCEEDED
    first, second = outcome.attempts
    assert (first.failure, second.state) == (kind, AttemptState.DONE)
    assert first.vendor != second.vendor
    assert [each.trigger for each in outcome.fallbacks] == [Trigger.OUTAGE]


@pytest.mark.parametrize("kind", KINDS)
async def test_the_only_model_is_tried_as_often_as_the_pack_says_and_no_more(
    stack: Stack, kind: ProviderFailureKind
) -> None:
    retry = stack.parts.library.active("omega").pack.retry
    calls_max = 1 + retry.transport_retries_max
    declaration = stack.declare(task_class="bulk_generation")
    failure = Fails(kind, retry_after_seconds=1)
    stack.script.write(declaration.task_id, *[failure] * (calls_max + 2))
    outcome = await stack.run(declaration)

    assert outcome.failure is FailureType.PROVIDERS_EXHAUSTED
    assert len(stack.script.calls[declaration.task_id]) == calls_max
    assert [each.failure for each in outcome.attempts] == [kind] * calls_max
    charged = outcome.estimate_nano_usd if kind.may_have_been_charged else 0
    assert outcome.cost_nano_usd == charged
