"""A real Chromium before a real gateway."""

import re
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.async_api import Browser, BrowserContext, Page, async_playwright, expect

from tests.integration.gateway.conftest import house as house
from tests.integration.gateway.house import Account, House

ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
expect.set_options(timeout=30_000)  # pages that decide recorded tasks anew take their time
PHONE = {"width": 390, "height": 844}
DESK = {"width": 1280, "height": 900}


@dataclass
class Desk:
    """One person's browser, and everything it complained of or was asked."""

    context: BrowserContext
    page: Page
    house: House
    pictures: Path
    complaints: list[str] = field(default_factory=list)

    async def open(self, path: str) -> None:
        await self.page.goto(f"{self.house.url}/console{path}")

    async def sign_in(self, account: Account) -> None:
        await self.open("/")
        await self.page.fill("#key", account.token)
        await self.page.click("button.main")
        await self.page.wait_for_selector("nav a[aria-current]")

    async def picture(self, name: str) -> None:
        """Keep what the page looks like, for people to look at."""
        await self.page.screenshot(path=self.pictures / f"{name}.png", full_page=True)

    async def is_no_wider_than_its_window(self) -> bool:
        script = "document.documentElement.scrollWidth <= innerWidth"
        return bool(await self.page.evaluate(script))


@pytest.fixture(scope="package")
async def browser(request: pytest.FixtureRequest) -> AsyncIterator[Browser]:
    binary = shutil.which("chromium") or shutil.which("chromium-browser")
    if binary is None:
        reason = "there is no chromium; `make chromium` installs it where it can"
        if request.config.getoption("--need-chromium"):
            pytest.fail(reason)
        pytest.skip(reason)
    async with async_playwright() as playwright:
        launched = await playwright.chromium.launch(executable_path=binary, args=[*ARGUMENTS])
        yield launched
        await launched.close()


@pytest.fixture
async def desk(
    browser: Browser, house: House, repository: Path, request: pytest.FixtureRequest
) -> AsyncIterator[Desk]:
    """A fresh browser. A test may be given a size, a colour scheme, or no scripts by a mark."""
    mark = request.node.get_closest_marker("browsing")
    context = await browser.new_context(**({"viewport": DESK} | (mark.kwargs if mark else {})))
    page = await context.new_page()
    pictures = repository / "build" / "screenshots"
    pictures.mkdir(parents=True, exist_ok=True)
    desk = Desk(context, page, house, pictures)
    own = re.compile(f"^({re.escape(house.url)}/|data:)")
    page.on("dialog", lambda dialog: desk.complaints.append(f"dialog: {dialog.message}"))
    page.on("pageerror", lambda error: desk.complaints.append(f"error: {error}"))
    page.on(
        "console",
        lambda said: desk.complaints.append(said.text) if said.type == "error" else None,
    )
    page.on(
        "request",
        lambda sent: None if own.match(sent.url) else desk.complaints.append(f"sent: {sent.url}"),
    )
    yield desk
    await context.close()
    assert not desk.complaints
