"""The pages of policies: what decides, what another version would do, and rolling back (OM-85)."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from pointwork.contract.identity import Role
from pointwork.ledger.activations import ActivationLog
from pointwork.ledger.overlays import OverlayLog
from pointwork.rollback import Change, roll_back
from tests.integration.gateway.console.visitor import Visitor, forms, words
from tests.integration.gateway.house import House
from tests.integration.ledger.test_overlays import change as overlay_change
from tests.workflows.stack import REVISED_PACK

PAGE = f"/policies/{REVISED_PACK}"
ROLLBACK = f"{PAGE}/rollback"
WHY = "Bulk work went local too early."


def put_in_force(house: House, version: str) -> None:
    """Another person's activation, unless the version decides already."""
    owner, gateway = house.person(Role.OWNER), house.gateway
    if gateway.policies.now().active(REVISED_PACK).pack.version != version:
        change = Change(
            pack=REVISED_PACK, version=version, by=owner.name, reason=WHY, at=datetime.now(UTC)
        )
        roll_back(gateway.engine, gateway.policies, change)


@pytest.fixture
def newest(house: House) -> Iterator[House]:
    """The pack with its newest version in force, before and after."""
    put_in_force(house, "1.1")
    yield house
    put_in_force(house, "1.1")


@pytest.fixture
async def owner(newest: House) -> Visitor:
    visitor = Visitor(newest.gateway)
    await visitor.sign_in(newest.person(Role.OWNER))
    return visitor


def entries(house: House) -> int:
    return len(ActivationLog(house.gateway.engine).history(REVISED_PACK))


async def send(visitor: Visitor, **spoiled: str) -> int:
    """Fill in the form that leads back to 1.0, and send it."""
    shown = forms(await visitor.get(f"{ROLLBACK}?to=1.0"))[f"/console{ROLLBACK}"]
    return (await visitor.post(ROLLBACK, **(shown | {"reason": WHY} | spoiled))).status_code


async def bulk(house: House) -> str:
    """A task of the pack; the version that decided it."""
    task = house.stack.declare(pack=REVISED_PACK, task_class="bulk_generation")
    outcome = await house.stack.run(task)
    assert outcome.policy is not None
    return outcome.policy.version


@pytest.mark.req("OM-85")
async def test_an_owner_rolls_back_and_the_next_task_is_decided_by_the_earlier_version(
    newest: House, owner: Visitor
) -> None:
    assert await bulk(newest) == "1.1"
    assert await send(owner) == 303
    assert await bulk(newest) == "1.0"
    page = words(await owner.get(f"{PAGE}?said=activated"))
    assert "Version 1.0 decides every task that begins from now on." in page
    assert f"1.1 → 1.0 by {owner_of(newest)}" in page
    assert WHY in page
    listed = words(await owner.get("/policies"))
    assert "rolled back from 1.1" in listed


def owner_of(house: House) -> str:
    return ActivationLog(house.gateway.engine).latest()[REVISED_PACK].activated_by


async def test_the_dry_run_warns_of_text_that_would_cross_and_changes_nothing(
    newest: House, owner: Visitor
) -> None:
    await bulk(newest)
    before = entries(newest)
    page = words(await owner.get(f"{ROLLBACK}?to=1.0&last=1"))
    assert "The text of 1 task would be processed further out than before." in page
    assert "bulk_generation: default route now gpt_class, was local_open" in page
    assert "redact_before_egress now no, was yes privacy" in page
    assert (entries(newest), await bulk(newest)) == (before, "1.1")


async def test_a_form_that_showed_another_active_version_is_refused_and_keeps_the_reason(
    newest: House, owner: Visitor
) -> None:
    shown = forms(await owner.get(f"{ROLLBACK}?to=1.0"))[f"/console{ROLLBACK}"]
    put_in_force(newest, "1.0")
    before = entries(newest)
    answer = await owner.post(ROLLBACK, **(shown | {"to": "1.1", "reason": WHY}))
    assert (answer.status_code, entries(newest)) == (409, before)
    assert "not what was shown" in words(answer)
    stale = await owner.post(ROLLBACK, **(shown | {"reason": WHY}))
    assert (stale.status_code, entries(newest)) == (409, before)
    put_in_force(newest, "1.1")
    assert WHY in words(await owner.post(ROLLBACK, **(shown | {"shown": "", "reason": WHY})))


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("short", "The reason has 5 characters"),
        ("key sk-proj-Zm9vYmFyYmF6cXV4MTIzNDU2Nzg5MGFiY2RlZg", "seems to hold a credential"),
    ],
)
async def test_a_reason_is_a_sentence_without_a_credential(
    newest: House, owner: Visitor, reason: str, said: str
) -> None:
    before = entries(newest)
    shown = forms(await owner.get(f"{ROLLBACK}?to=1.0"))[f"/console{ROLLBACK}"]
    answer = await owner.post(ROLLBACK, **(shown | {"reason": reason}))
    assert (answer.status_code, entries(newest)) == (400, before)
    assert said in words(answer)


async def test_a_version_in_force_cannot_be_put_in_force_again(
    newest: House, owner: Visitor
) -> None:
    assert await send(owner, to="1.1") == 409


async def test_the_difference_of_two_versions_is_told_in_words(owner: Visitor) -> None:
    page = words(await owner.get(f"{PAGE}/diff?a=1.0&b=1.1"))
    assert "bulk_generation: default route now local_open, was gpt_class" in page
    assert "1 of them privacy-relevant" in page
    same = words(await owner.get(f"{PAGE}/diff?a=1.1"))
    assert "No rule differs between the two." in same


async def test_a_pack_page_tells_versions_header_classes_and_routes(owner: Visitor) -> None:
    page = words(await owner.get(PAGE))
    for told in ("revised 1.1", "Versions", "bulk generation", "local_open", "system-owner"):
        assert told in page
    earlier = words(await owner.get(f"{PAGE}?version=1.0"))
    assert "Compare with 1.1" in earlier


@pytest.mark.parametrize(
    "path", ["/policies/nobody", f"{PAGE}?version=9.9", f"{PAGE}/diff?a=9.9", f"{ROLLBACK}?to=9.9"]
)
async def test_what_no_pack_or_version_is_called_is_not_found(owner: Visitor, path: str) -> None:
    assert (await owner.get(path)).status_code == 404


async def test_a_dry_run_is_bounded(owner: Visitor) -> None:
    assert (await owner.get(f"{ROLLBACK}?to=1.0&last=100000")).status_code == 400


async def test_an_order_is_reverted_once_and_not_from_an_old_page(
    newest: House, owner: Visitor
) -> None:
    log, now = OverlayLog(newest.gateway.engine), datetime.now(UTC)
    if log.current("juggernaut") is None:
        log.append(overlay_change(), by="optimizer", pack_allows_overlay=True, now=now)
    current = log.current("juggernaut")
    assert current is not None
    page = "/policies/juggernaut"
    shown = forms(await owner.get(page))[f"/console{page}/overlay"]
    answer = await owner.post(f"{page}/overlay", **(shown | {"to": "0"}))
    assert answer.status_code == 303
    reverted = log.current("juggernaut")
    assert reverted is not None
    assert (reverted.version, reverted.places) == (current.version + 1, ())
    stale = await owner.post(f"{page}/overlay", **(shown | {"to": "0"}))
    assert stale.status_code == 409
    assert log.current("juggernaut") == reverted
