"""Text that others wrote is inert in a browser: it is read, and never runs."""

import pytest
from playwright.async_api import expect

from pointwork.contract.identity import Role
from pointwork.contract.prompt import Prompt
from tests.browser.conftest import Desk
from tests.fakes.scripted_provider import Says
from tests.workflows.stack import SIDE_BY_SIDE_PACK

# One gateway and one browser for all of them, whichever process runs them.
pytestmark = pytest.mark.xdist_group("browser")

HOSTILE = (
    "<script>alert('run')</script>",
    '"><img src=x onerror="alert(\'run\')">',
    "'onerror=alert(1) x='",
    "<a href=\"javascript:alert('run')\">javascript:alert('run')</a>",
    "</pre></textarea></title><svg onload=alert('run')>",
    "{{ 7 * 7 }}{% raw %}",
    "<style>body{display:none}</style><meta http-equiv=refresh content=0>",
)
ALL = "\n".join(HOSTILE)
COUNT = """() => ({
  scripts: document.querySelectorAll("script:not([src])").length,
  images: document.querySelectorAll("main img").length,
  drawn: document.querySelectorAll("main svg, main style, main meta").length,
  links: [...document.querySelectorAll("a")].filter((a) => a.protocol === "javascript:").length,
  handlers: [...document.querySelectorAll("*")].filter(
    (node) => [...node.attributes].some((each) => each.name.startsWith("on"))).length,
})"""
NOTHING = {"scripts": 0, "images": 0, "drawn": 0, "links": 0, "handlers": 0}


async def is_inert(desk: Desk) -> bool:
    return bool(await desk.page.evaluate(COUNT) == NOTHING) and not desk.complaints


async def test_a_prompt_and_an_answer_are_text_and_nothing_else(desk: Desk) -> None:
    task = desk.house.stack.declare(description=HOSTILE[0] + HOSTILE[1])
    desk.house.stack.script.write(task.task_id, Says(ALL))
    await desk.house.stack.run(task, f"Tidy this up: {ALL}")
    await desk.sign_in(desk.house.person(Role.OWNER))
    await desk.open(f"/tasks/{task.task_id}")
    await expect(desk.page.locator("main")).to_contain_text(HOSTILE[0])
    assert await is_inert(desk)
    await desk.page.click("#show-text")
    await expect(desk.page.locator(".content").last).to_contain_text(HOSTILE[3])
    assert await is_inert(desk)


async def test_answers_side_by_side_and_a_reason_are_text_and_nothing_else(desk: Desk) -> None:
    person = desk.house.person(Role.OWNER)
    task = desk.house.stack.declare(pack=SIDE_BY_SIDE_PACK, task_class="high_stakes_logic")
    texts = (ALL, f"{HOSTILE[1]} {ALL}", f"<b>{HOSTILE[4]}")
    for endpoint, text in zip(("openai", "anthropic", "google"), texts, strict=True):
        desk.house.stack.script.write_at(task.task_id, endpoint, Says(text))
    await desk.house.stack.client.submit(Prompt.from_text(ALL), task)
    await desk.house.stack.open_approval(task.task_id)
    await desk.sign_in(person)
    await desk.open(f"/inbox/{task.task_id}")
    assert await is_inert(desk)
    reason = f"{HOSTILE[0]} {HOSTILE[1]} {HOSTILE[4]}"
    await desk.page.fill("#reason", reason)
    await desk.page.click("button:has-text('Choose')")
    # Refused, for nothing was chosen; what was typed stands there again.
    await expect(desk.page.locator("#refusal")).to_be_visible()
    assert await desk.page.input_value("#reason") == reason
    # The browser itself tells of a page that answers 400.
    desk.complaints[:] = [each for each in desk.complaints if "status of 400" not in each]
    assert await is_inert(desk)
    await desk.page.check("input[name=choice][value=A]")
    await desk.page.click("button:has-text('Choose')")
    await expect(desk.page.locator("main")).to_contain_text(HOSTILE[4])
    assert await is_inert(desk)


@pytest.mark.parametrize("hostile", HOSTILE)
async def test_what_an_address_says_is_text_and_nothing_else(desk: Desk, hostile: str) -> None:
    await desk.sign_in(desk.house.person(Role.OWNER))
    for name in ("q", "caller", "status", "pack"):
        await desk.page.goto(f"{desk.house.url}/console/tasks?{name}={hostile.replace(' ', '+')}")
        assert await desk.page.evaluate(COUNT) == NOTHING
    await desk.open(f"/tasks/{hostile.replace('/', '%2F').replace('?', '%3F')}")
    assert await desk.page.evaluate(COUNT) == NOTHING
    # The browser itself tells of a page that answers 400 or 404.
    assert all("status of 4" in each for each in desk.complaints)
    desk.complaints.clear()
