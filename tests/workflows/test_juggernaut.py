"""The juggernaut pack through the full workflow: its budget's pause, and its simpler tasks."""

from datetime import UTC, datetime, timedelta

import pytest

from pointwork.contract.decision import Plan, Trigger
from pointwork.contract.outcome import ReserveOutcome, TaskStatus
from pointwork.contract.reasons import ReasonCode
from pointwork.contract.task import Complexity
from pointwork.ledger.budgets import BudgetBook
from pointwork.policy.engine.windows import windows_at
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
