"""The pages of policies in a real browser: a person reads what changed, and rolls back."""

from collections.abc import Iterator

import pytest
from playwright.async_api import expect

from pointwork.contract.identity import Role
from tests.browser.conftest import PHONE, Desk
from tests.integration.gateway.console.test_policies import put_in_force
from tests.integration.gateway.house import House
from tests.workflows.stack import REVISED_PACK

# One gateway and one browser for all of them, whichever process runs them.
pytestmark = pytest.mark.xdist_group("browser")


@pytest.fixture(autouse=True)
def newest(house: House) -> Iterator[None]:
    put_in_force(house, "1.1")
    yield
    put_in_force(house, "1.1")


async def bulk(house: House) -> str:
    """A task of the pack; the version that decided it."""
    task = house.stack.declare(pack=REVISED_PACK, task_class="bulk_generation")
    outcome = await house.stack.run(task)
    assert outcome.policy is not None
    return outcome.policy.version


@pytest.mark.req("OM-85")
async def test_a_person_reads_what_changed_rolls_back_and_the_next_task_follows(
    desk: Desk,
) -> None:
    assert await bulk(desk.house) == "1.1"
    await desk.sign_in(desk.house.person(Role.OWNER))
    await desk.page.keyboard.press("g")
    await desk.page.keyboard.press("o")
    await expect(desk.page.locator("h1")).to_have_text("Policies")
    await desk.picture("policies")
    await desk.page.click(f'[data-row="{REVISED_PACK}"] a.open')
    await expect(desk.page.locator("h1")).to_have_text("revised 1.1")
    await desk.picture("policy")
    await desk.page.click('[data-row="1.0"] a.open')
    await desk.page.click("text=Compare with 1.1")
    await expect(desk.page.locator("li.privacy")).to_contain_text("redact")
    await desk.picture("policy-diff")
    await desk.page.go_back()
    await desk.page.click("#to-rollback")
    await expect(desk.page.locator("#crossing")).to_contain_text("further out than before")
    await desk.picture("policy-rollback")
    await desk.page.fill("#reason", "The vendor's answers were better.")
    await desk.page.click("text=Put version 1.0 in force")
    await expect(desk.page.locator(".note.good")).to_contain_text("Version 1.0 decides")
    await expect(desk.page.locator("h1")).to_have_text("revised 1.0")
    await expect(desk.page.locator("#activations li").first).to_contain_text("1.1 → 1.0")
    await desk.picture("policy-rolled-back")
    assert await bulk(desk.house) == "1.0"


@pytest.mark.browsing(viewport=PHONE, color_scheme="dark")
async def test_the_pages_of_policies_fit_a_phone(desk: Desk) -> None:
    await bulk(desk.house)
    await desk.sign_in(desk.house.person(Role.OWNER))
    pages = {"": "policies", f"/{REVISED_PACK}": "policy", "/juggernaut": "policy-juggernaut"}
    pages |= {f"/{REVISED_PACK}/diff?b=1.0": "policy-diff"}
    pages |= {f"/{REVISED_PACK}/rollback?to=1.0": "policy-rollback"}
    for path, name in pages.items():
        await desk.open(f"/policies{path}")
        await desk.picture(f"{name}-phone")
        assert await desk.is_no_wider_than_its_window(), path
