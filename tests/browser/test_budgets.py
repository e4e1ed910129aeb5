"""Budgets, performance and costs as people use them, in a real browser."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from playwright.async_api import expect

from pointwork.contract.failures import FailureType
from pointwork.contract.identity import Role
from pointwork.contract.outcome import TaskStatus
from pointwork.contract.prompt import Prompt
from pointwork.ledger.budgets import BudgetBook
from pointwork.policy.engine.windows import windows_at
from tests.browser.conftest import PHONE, Desk
from tests.browser.test_console import FAINT
from tests.fakes.lane_reports import BUSY, report_lane
from tests.integration.gateway.house import House
from tests.integration.ledger.records import decision
from tests.workflows.stack import LENIENT_PACK, STRICT_PACK

# One gateway and one browser for all of them, whichever process runs them.
pytestmark = pytest.mark.xdist_group("browser")

LIMIT = 10_000_000
"""Of each caller a day, in nano-USD, in both packs."""
WHY = "The customer pays for more."


def nearly_spend(house: House, pack: str, caller: str) -> None:
    """Leave a caller a nano-dollar of today; should midnight come, of tomorrow as well."""
    rules = house.stack.parts.library.active(pack).pack
    for day in range(2):
        moment, task_id = datetime.now(UTC) + timedelta(days=day), f"{caller}-{day}"
        BudgetBook(house.gateway.engine).reserve(
            record=decision(task_id),
            part_id=f"{task_id}/1",
            task_id=task_id,
            invoke=None,
            amount_nano_usd=LIMIT - 1,
            task_ceiling_nano_usd=LIMIT,
            windows=windows_at(rules, moment, caller=caller),
            price_version="test-1",
            expires_in_seconds=3600,
            now=moment,
        )


async def raise_limit(desk: Desk, pack: str, caller: str, dollars: str) -> None:
    await desk.open("/budgets")
    await desk.page.click(f"text={pack}, {caller}, a day")
    await desk.page.fill("#limit-usd", dollars)
    await desk.page.fill("#reason", WHY)
    await desk.page.click("text=Set the limit")
    await expect(desk.page.locator(".note.good")).to_contain_text("The limit holds from now on")


async def test_a_limit_raised_in_the_page_lets_the_next_task_run(desk: Desk) -> None:
    caller = f"denied-{uuid4().hex[:6]}"
    nearly_spend(desk.house, LENIENT_PACK, caller)
    stack = desk.house.stack

    async def ask() -> tuple[TaskStatus, FailureType | None]:
        task = stack.declare(pack=LENIENT_PACK, caller=caller, task_class="high_stakes_logic")
        await stack.client.submit(Prompt.from_text("Decide this."), task)
        outcome = await stack.recorded(task.task_id)
        return outcome.status, outcome.failure

    assert await ask() == (TaskStatus.DENIED, FailureType.BUDGET_EXCEEDED)
    await desk.sign_in(desk.house.person(Role.OWNER))
    await desk.page.keyboard.press("g")
    await desk.page.keyboard.press("b")
    await expect(desk.page.locator("h1")).to_have_text("Budgets")
    await desk.picture("budgets")
    await raise_limit(desk, LENIENT_PACK, caller, "5")
    await expect(desk.page.locator("main")).to_contain_text("$5.0000")
    await desk.picture("budget")
    assert await ask() == (TaskStatus.SUCCEEDED, None)


async def test_a_task_held_by_a_stopped_budget_runs_once_the_budget_is_raised_and_resumed(
    desk: Desk,
) -> None:
    caller, person = f"held-{uuid4().hex[:6]}", desk.house.person(Role.OWNER)
    await desk.sign_in(person)
    nearly_spend(desk.house, STRICT_PACK, caller)
    stack = desk.house.stack
    task = stack.declare(pack=STRICT_PACK, caller=caller, task_class="high_stakes_logic")
    await stack.client.submit(Prompt.from_text("Decide this."), task)
    await stack.open_approval(task.task_id)
    await raise_limit(desk, STRICT_PACK, caller, "5")
    await expect(desk.page.locator("#h-stop")).to_be_visible()
    await desk.picture("budget-stopped")
    await desk.page.fill("#resume-reason", WHY)
    await desk.page.click("#resume-button")
    await expect(desk.page.locator(".note.good")).to_contain_text("the tasks it held go on")
    assert (await stack.recorded(task.task_id)).status is TaskStatus.SUCCEEDED
    await desk.open("/budgets")
    alert = desk.page.locator("tr", has_text=caller).filter(has_text="until a person resumes")
    await alert.locator("text=Seen").click()
    await expect(desk.page.locator(".note.good")).to_contain_text("you have seen it")
    await expect(alert).to_have_count(0)


@pytest.mark.browsing(viewport=PHONE)
async def test_the_pages_of_money_fit_a_phone(desk: Desk) -> None:
    caller = f"phone-{uuid4().hex[:6]}"
    nearly_spend(desk.house, LENIENT_PACK, caller)
    report_lane(desk.house.stack.parts.engine, BUSY)
    await desk.house.stack.run(desk.house.stack.declare())
    await desk.sign_in(desk.house.person(Role.OWNER))
    of_caller = f"?pack={LENIENT_PACK}&scope=caller&subject={caller}&period=day"
    for name, path in (
        ("budgets", "/budgets"),
        ("budget", f"/budgets/one{of_caller}"),
        ("performance", "/performance"),
        ("gpu", "/gpu"),
        ("costs", "/costs"),
    ):
        await desk.open(path)
        assert await desk.is_no_wider_than_its_window(), path
        await desk.picture(f"phone-{name}")


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_the_words_of_the_pages_of_money_can_be_read(desk: Desk, scheme: str) -> None:
    await desk.page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    caller = f"read-{uuid4().hex[:6]}"
    nearly_spend(desk.house, LENIENT_PACK, caller)
    report_lane(desk.house.stack.parts.engine, BUSY)
    await desk.house.stack.run(desk.house.stack.declare())
    await desk.sign_in(desk.house.person(Role.OWNER))
    for name, path in (
        ("budgets", "/budgets"),
        ("budget", "/budgets/one?pack=omega&period=day"),
        ("performance", "/performance"),
        ("gpu", "/gpu"),
        ("costs", "/costs?by=caller"),
    ):
        await desk.open(path)
        assert await desk.page.evaluate(FAINT) == []
        await desk.picture(f"{name}-{scheme}")
