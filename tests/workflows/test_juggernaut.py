"""The juggernaut pack through the full workflow: its budget's pause, and its simpler tasks."""

from datetime import UTC, datetime, timedelta

import pytest
from temporalio.api.enums.v1 import EventType

from pointwork.contract.decision import Plan, Trigger
from pointwork.contract.failures import ProviderFailureKind
from pointwork.contract.outcome import ReserveOutcome, TaskStatus
from pointwork.contract.reasons import ReasonCode
from pointwork.contract.task import Complexity
from pointwork.ledger.budgets import BudgetBook
from pointwork.ledger.selections import PACK
from pointwork.policy.engine.windows import windows_at
from tests.fakes.scripted_provider import Fails, Says
from tests.integration.ledger.records import decision
from tests.workflows.stack import THRIFTY_PACK, Stack

CODE = "Fix this:\n```python\nprint(1 + '1')\n```"
BUDGET = 10_000_000_000


def commit(stack: Stack, moment: datetime, name: str) -> None:
    """Use the day's budget up, as of ``moment``, for as long as the test may last."""
    pack = stack.parts.library.active(THRIFTY_PACK).pack
    held = BudgetBook(stack.parts.engine).reserve(
        record=decision(name),
        part_id=f"{name}/1",
        task_id=name,
        invoke=None,
        amount_nano_usd=BUDGET,
        task_ceiling_nano_usd=BUDGET,
        windows=windows_at(pack, moment, caller="test-service"),
        price_version="test-1",
        expires_in_seconds=3600,
        now=moment,
    )
    assert held.outcome is ReserveOutcome.RESERVED


async def served(stack: Stack, task_class: str) -> tuple[str | None, Plan]:
    declaration = stack.declare(pack=THRIFTY_PACK, task_class=task_class)
    outcome = await stack.run(declaration, CODE)
    assert outcome.status is TaskStatus.SUCCEEDED, outcome.reason
    (decided,) = stack.outcomes.decisions(declaration.task_id)
    return outcome.served_model, decided.plan


@pytest.mark.req("JG-29")
async def test_expensive_models_pause_while_the_day_is_over_its_budget_and_no_longer(
    stack: Stack,
) -> None:
    now, day = datetime.now(UTC), timedelta(days=1)
    commit(stack, now - day, "thrift-yesterday")
    assert (await served(stack, "code"))[0] == "gpt-4o"
    for number in range(2):  # should midnight come between, tomorrow is over its budget too
        commit(stack, now + number * day, f"thrift-{number}")
    model, plan = await served(stack, "code")
    assert model == "gpt-4o-mini"
    assert plan.candidates[0].trigger is Trigger.BUDGET_LOW
    paused = {each.model for each in plan.rejected if each.reason is ReasonCode.PAUSED_OVER_BUDGET}
    assert paused == {"gpt-4o", "claude-3-5-sonnet", "claude-3-opus"}
    assert (await served(stack, "ops"))[0] == "gpt-3.5-turbo"


@pytest.mark.parametrize(
    ("text", "found", "model"),
    [
        (CODE + "\nWell?", Complexity.MEDIUM, "gpt-4o"),
        ("Tidy up this one line.", Complexity.LOW, "gpt-4o-mini"),
    ],
)
async def test_a_task_whose_text_is_simpler_than_its_type_goes_to_a_cheaper_model(
    stack: Stack, text: str, found: Complexity, model: str
) -> None:
    declaration = stack.declare(pack="juggernaut", task_class=None, task_type="fix_bug")
    outcome = await stack.run(declaration, text)
    (decided,) = stack.outcomes.decisions(declaration.task_id)

    assert outcome.served_model == model, outcome.reason
    assert decided.input.classification.complexity is found
    assert decided.snapshot_sha256


@pytest.mark.req("JG-39")
async def test_a_model_that_answers_503_is_followed_by_the_next_within_the_task(
    stack: Stack,
) -> None:
    declaration = stack.declare(pack=PACK, task_class="normal")
    down = Fails(ProviderFailureKind.OVERLOADED)
    stack.script.write(declaration.task_id, down, Says("Fixed."))
    outcome = await stack.run(declaration, f"Look at {declaration.task_id}.")

    assert outcome.status is TaskStatus.SUCCEEDED
    assert [(each.model, each.failure) for each in outcome.attempts] == [
        ("gpt-4o-mini", ProviderFailureKind.OVERLOADED),
        ("claude-3-5-sonnet", None),
    ]


@pytest.mark.req("JG-40")
async def test_a_rate_limit_is_waited_for_as_long_as_it_says_and_only_the_answer_is_charged(
    stack: Stack,
) -> None:
    declaration = stack.declare(pack=PACK, task_class="normal", requested_model="gpt-4o-mini")
    limited = Fails(ProviderFailureKind.RATE_LIMITED, retry_after_seconds=2)
    stack.script.write(declaration.task_id, limited, Says("Fixed."))
    outcome = await stack.run(declaration, f"Look at {declaration.task_id}.")

    assert outcome.status is TaskStatus.SUCCEEDED, outcome.reason
    handle = stack.temporal.get_workflow_handle(declaration.task_id)
    timers = [
        event.timer_started_event_attributes.start_to_fire_timeout.ToTimedelta()
        for event in (await handle.fetch_history()).events
        if event.event_type == EventType.EVENT_TYPE_TIMER_STARTED
    ]
    assert timedelta(seconds=2) in timers
    refused, answered = outcome.attempts
    assert (refused.model, refused.cost_nano_usd) == (answered.model, 0)
    assert outcome.cost_nano_usd == answered.cost_nano_usd > 0
