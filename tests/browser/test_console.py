"""The console as people use it, in a real browser."""

import httpx2
import pytest
from playwright.async_api import expect

from pointwork.contract.identity import Role
from pointwork.contract.local_run import LocalRun
from pointwork.contract.outcome import TaskStatus
from pointwork.contract.prompt import Prompt
from tests.browser.conftest import PHONE, Desk
from tests.fakes.lane_reports import BUSY
from tests.fakes.scripted_provider import Says
from tests.integration.gateway.house import House
from tests.workflows.stack import SIDE_BY_SIDE_PACK

# One gateway and one browser for all of them, whichever process runs them.
pytestmark = pytest.mark.xdist_group("browser")

ANSWERS = (
    "The bridge opened in 1932 and carries eight lanes.",
    "The bridge opened in 1933 and carries eight lanes.",
    "The bridge opened in 1932 and carries six lanes.",
)


async def held(house: House, text: str = "Is the ledger exact?", **declared: str) -> str:
    task = house.stack.declare(task_class="high_stakes_logic", sensitivity=None, **declared)
    await house.stack.client.submit(Prompt.from_text(text), task)
    await house.stack.open_approval(task.task_id)
    return task.task_id


async def differing(house: House, *texts: str) -> str:
    task = house.stack.declare(pack=SIDE_BY_SIDE_PACK, task_class="high_stakes_logic")
    for endpoint, text in zip(("openai", "anthropic", "google"), texts, strict=True):
        house.stack.script.write_at(task.task_id, endpoint, Says(text))
    await house.stack.client.submit(Prompt.from_text("When did it open?"), task)
    await house.stack.open_approval(task.task_id)
    return task.task_id


async def test_a_task_sent_over_the_api_appears_ends_and_opens_by_keys_alone(desk: Desk) -> None:
    person = desk.house.person(Role.SUBMITTER)
    await desk.open("/")
    await desk.picture("sign-in")
    await desk.sign_in(person)
    await expect(desk.page.locator(".empty")).to_be_visible()
    await expect(desk.page.locator("[data-live-state]")).to_have_text("live")
    await desk.picture("tasks-empty")
    key, task_id = desk.house.scripted(person, Says("It is tidy."))
    body = {
        "model": "omega/summarisation_formatting",
        "messages": [{"role": "user", "content": "Tidy up this line."}],
        "pointwork": {"sensitivity": "public"},
    }
    async with httpx2.AsyncClient(base_url=desk.house.api, timeout=60) as http:
        headers = person.headers(idempotency_key=key)
        answered = await http.post("/chat/completions", json=body, headers=headers)
    assert answered.status_code == 200
    row = desk.page.locator(f'[data-row="{task_id}"]')
    await expect(row.locator(".badge")).to_have_text("succeeded")
    await desk.picture("tasks")
    await desk.page.keyboard.press("j")
    await desk.page.keyboard.press("Enter")
    await expect(desk.page.locator("h1")).to_have_text(task_id)
    await desk.page.click("#show-text")
    await expect(desk.page.locator(".content").last).to_have_text("It is tidy.")
    await desk.page.click("#replay")
    await expect(desk.page.locator(".note.good")).to_contain_text("the same bytes")
    await desk.picture("task")
    await desk.page.keyboard.press("g")
    await desk.page.keyboard.press("i")
    await expect(desk.page.locator("h1")).to_have_text("Inbox")
    await desk.page.keyboard.press("?")
    await expect(desk.page.locator("#keys")).to_be_visible()
    await desk.page.keyboard.press("Escape")
    await desk.page.click("text=Sign out")
    await expect(desk.page.locator("#key")).to_be_focused()


async def test_an_approval_is_given_from_the_inbox_and_the_task_page_follows_by_itself(
    desk: Desk,
) -> None:
    person = desk.house.person(Role.APPROVER)
    await desk.sign_in(person)
    await desk.open("/inbox")
    await expect(desk.page.locator("[data-live-state]")).to_have_text("live")
    task_id = await held(desk.house)
    await expect(desk.page.locator(f'[data-row="{task_id}"]')).to_be_visible()
    await desk.picture("inbox")
    await desk.page.click(f'[data-row="{task_id}"] a.open')
    await desk.picture("approval")
    await desk.page.fill("#reason", "The text is public; I read it.")
    await desk.page.click("text=Approve, up to")
    await expect(desk.page.locator(".note.good")).to_contain_text("You approved this.")
    await expect(desk.page.locator(".head .badge")).to_have_text("succeeded")
    await desk.picture("task-approved")


@pytest.mark.browsing(color_scheme="dark")
async def test_one_of_the_answers_that_differ_is_chosen_with_models_hidden(desk: Desk) -> None:
    person = desk.house.person(Role.APPROVER)
    task_id = await differing(desk.house, *ANSWERS)
    await desk.sign_in(person)
    await desk.open(f"/inbox/{task_id}")
    await expect(desk.page.locator("mark").first).to_be_visible()
    await desk.picture("choice-dark")
    await desk.page.click("#blind-switch")
    await expect(desk.page.locator(".answer").first).to_contain_text("model hidden")
    chosen = await desk.page.locator(".answer").nth(1).locator(".content").inner_text()
    await desk.page.check("input[name=choice][value=B]")
    await desk.page.fill("#reason", "The record office says the same.")
    await desk.page.click("button:has-text('Choose')")
    await expect(desk.page.locator(".note.good")).to_contain_text("You chose.")
    outcome = await desk.house.stack.recorded(task_id)
    assert desk.house.stack.client.answer_text(outcome) == chosen


@pytest.mark.browsing(viewport=PHONE)
async def test_every_page_fits_a_phone(desk: Desk) -> None:
    task_id, choice = await held(desk.house), await differing(desk.house, *ANSWERS)
    declared = desk.house.stack.declare()
    run = LocalRun(build=BUSY["build"], energy_millijoules=41_500, electricity_nano_usd=3_689)
    desk.house.stack.script.write(declared.task_id, Says(local_run=run))
    ended = await desk.house.stack.run(declared)
    await desk.open("/")
    assert await desk.is_no_wider_than_its_window()
    await desk.sign_in(desk.house.person(Role.OWNER))
    for name, path in (
        ("tasks", "/tasks"),
        ("task", f"/tasks/{ended.task_id}"),
        ("inbox", "/inbox"),
        ("approval", f"/inbox/{task_id}"),
        ("choice", f"/inbox/{choice}"),
    ):
        await desk.open(path)
        assert await desk.is_no_wider_than_its_window(), path
        await desk.picture(f"phone-{name}")


@pytest.mark.browsing(java_script_enabled=False)
async def test_everything_but_live_updates_works_without_scripts(desk: Desk) -> None:
    person = desk.house.person(Role.APPROVER)
    task_id = await held(desk.house)
    await desk.sign_in(person)
    await desk.page.fill("[name=q]", task_id[:10])
    await desk.page.click("text=Show")
    await desk.page.click(f'[data-row="{task_id}"] a.open')
    await desk.page.click("text=Look at it and decide")
    await desk.page.fill("#reason", "This stays in the house.")
    await desk.page.click("button.bad:has-text('Deny')")
    await expect(desk.page.locator(".note.good")).to_contain_text("You denied this.")
    outcome = await desk.house.stack.recorded(task_id)
    assert outcome.status is TaskStatus.DENIED


async def test_the_theme_that_was_switched_to_stays(desk: Desk) -> None:
    await desk.sign_in(desk.house.person(Role.OWNER))
    ground = "getComputedStyle(document.body).backgroundColor"
    before = await desk.page.evaluate(ground)
    await desk.page.click("[data-theme-switch]")
    after = await desk.page.evaluate(ground)
    assert after != before
    await desk.open("/inbox")
    assert await desk.page.evaluate(ground) == after


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_every_word_can_be_read_against_what_is_behind_it(desk: Desk, scheme: str) -> None:
    """WCAG AA: 4.5 to 1 for text of this size."""
    await desk.page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    ended = await desk.house.stack.run(desk.house.stack.declare())
    task_id, choice = await held(desk.house), await differing(desk.house, *ANSWERS)
    await desk.sign_in(desk.house.person(Role.OWNER))
    for path in (
        "/tasks",
        f"/tasks/{ended.task_id}",
        "/inbox",
        f"/inbox/{task_id}",
        f"/inbox/{choice}",
    ):
        await desk.open(path)
        assert await desk.page.evaluate(FAINT) == []


FAINT = """() => {
  const parsed = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
  const channel = (value) => (value / 255 <= 0.04045
    ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4);
  const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const behind = (node) => {
    for (let at = node; at; at = at.parentElement) {
      const found = parsed(getComputedStyle(at).backgroundColor);
      if (found.length === 3 || found[3] > 0.99) return found;
    }
    return [255, 255, 255];
  };
  const faint = [];
  for (const node of document.querySelectorAll("body *")) {
    const own = [...node.childNodes].some((each) => each.nodeType === 3 && each.data.trim());
    if (!own || !node.checkVisibility()) continue;
    const [one, two] = [light(parsed(getComputedStyle(node).color)), light(behind(node))];
    const ratio = (Math.max(one, two) + 0.05) / (Math.min(one, two) + 0.05);
    if (ratio < 4.5) faint.push(`${node.tagName}.${node.className} ${ratio.toFixed(2)}`);
  }
  return faint;
}"""
