"""Overrides, incidents and the audit chain as people use them, in a real browser."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from playwright.async_api import expect

from pointwork.contract.identity import Role
from pointwork.contract.override_request import OverrideState
from pointwork.ledger.incident_steps import IncidentBook, IncidentState
from pointwork.ledger.incidents import policy_incident_id, record_policy_incident
from pointwork.ledger.overrides import OverrideBook
from tests.browser.conftest import DESK, PHONE, Desk
from tests.integration.gateway.house import House
from tests.integration.ledger.overriding import OF_SESSION, asked

# One gateway and one browser for all of them, whichever process runs them.
pytestmark = pytest.mark.xdist_group("browser")

CODE = "policy_document_altered"


def ask(house: House) -> str:
    """An override for a conversation of its own, which waits; its id."""
    now, override_id = datetime.now(UTC), f"override-{uuid4().hex[:12]}"
    bundle = house.gateway.library.active("omega")
    bounds = OF_SESSION | {"conversation": f"thread-{uuid4().hex[:6]}"}
    values = bounds | {"starts_at": now, "model": "grok-4.5", "policy_sha256": bundle.sha256}
    book = OverrideBook(house.gateway.engine)
    book.ask(asked(override_id, **values), now + timedelta(days=1), now)
    return override_id


def break_a_rule(house: House) -> str:
    """An incident that nobody has reviewed; its id."""
    now, what = datetime.now(UTC), f"policies/omega/1.0.yaml has SHA-256 {uuid4().hex}"
    record_policy_incident(house.gateway.engine, "omega", "1.0", CODE, what, now)
    return f"{CODE}/{policy_incident_id('omega', '1.0', what)}"


@pytest.mark.req("OM-73")
async def test_a_person_is_shown_the_cost_of_an_override_and_acknowledges_it(desk: Desk) -> None:
    override_id, book = ask(desk.house), OverrideBook(desk.house.gateway.engine)
    await desk.sign_in(desk.house.person(Role.OWNER))
    await desk.page.keyboard.press("g")
    await desk.page.keyboard.press("v")
    await expect(desk.page.locator("h1")).to_have_text("Overrides")
    await desk.picture("overrides")
    await desk.page.click(f'[data-row="{override_id}"] a.open')
    await expect(desk.page.locator(".note.warn")).to_contain_text("It changes nothing until")
    await expect(desk.page.locator(".facts").first).to_contain_text("$0.0050, estimated")
    await desk.picture("override-pending")
    assert book.find(override_id, datetime.now(UTC)).state is OverrideState.PENDING
    await desk.page.fill("#reason", "Looked at the cost and agree.")
    await desk.page.click("text=Acknowledge $0.0050")
    await expect(desk.page.locator(".note.good")).to_contain_text("holds from now on")
    await desk.picture("override-active")
    assert book.find(override_id, datetime.now(UTC)).state is OverrideState.ACTIVE
    await desk.page.fill("#end-reason", "It is no more than convenience.")
    await desk.page.click("text=Strike: its reason is convenience")
    await expect(desk.page.locator(".note.good")).to_contain_text("The override is struck")
    assert book.find(override_id, datetime.now(UTC)).state is OverrideState.STRUCK


async def test_an_owner_reviews_an_incident(desk: Desk) -> None:
    incident_id = break_a_rule(desk.house)
    await desk.sign_in(desk.house.person(Role.OWNER))
    await desk.page.keyboard.press("g")
    await desk.page.keyboard.press("n")
    await expect(desk.page.locator("h1")).to_have_text("Incidents")
    await desk.picture("incidents")
    await desk.page.click(f'[data-row="{incident_id}"] a.open')
    await desk.page.fill("#reason", "An edit past the seal, by hand.")
    await desk.page.click("text=It is reviewed")
    await expect(desk.page.locator(".note.good")).to_contain_text("the incident is reviewed")
    await expect(desk.page.locator("#steps li")).to_contain_text("An edit past the seal")
    await desk.picture("incident")
    book = IncidentBook(desk.house.gateway.engine)
    assert book.find(incident_id).state is IncidentState.REVIEWED


async def test_the_end_of_the_chain_is_verified_in_the_page(desk: Desk) -> None:
    await desk.house.stack.run(desk.house.stack.declare())
    await desk.sign_in(desk.house.person(Role.AUDITOR))
    await desk.page.keyboard.press("g")
    await desk.page.keyboard.press("a")
    await expect(desk.page.locator("h1")).to_have_text("Audit")
    await desk.picture("audit")
    await desk.page.click("tbody tr:first-child a.open")
    await expect(desk.page.locator("h1")).to_contain_text("Record")
    await desk.picture("audit-record")
    await desk.page.go_back()
    await desk.page.click("#verify")
    await expect(desk.page.locator("#verified.good")).to_contain_text("hold: each has the hash")
    await desk.picture("audit-verified")


PAGES = {"/overrides": "overrides", "/incidents": "incidents", "/audit": "audit"}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("phone", marks=pytest.mark.browsing(viewport=PHONE)),
        pytest.param("phone-dark", marks=pytest.mark.browsing(viewport=PHONE, color_scheme="dark")),
        pytest.param("dark", marks=pytest.mark.browsing(viewport=DESK, color_scheme="dark")),
    ],
)
async def test_the_pages_of_the_record_fit_every_window(desk: Desk, name: str) -> None:
    override_id, incident_id = ask(desk.house), break_a_rule(desk.house)
    await desk.house.stack.run(desk.house.stack.declare())
    await desk.sign_in(desk.house.person(Role.OWNER))
    pages = PAGES | {f"/overrides/{override_id}": "override"}
    pages |= {f"/incidents/{incident_id}": "incident"}
    pages |= {"/audit/1": "audit-record", "/audit/verify": "audit-verified"}
    for path, picture in pages.items():
        await desk.open(path)
        await desk.picture(f"{picture}-{name}")
        assert await desk.is_no_wider_than_its_window(), path
