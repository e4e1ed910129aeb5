"""A person who has decided is not asked again while the ledger takes the verdict."""

from pointwork.contract.identity import Role
from pointwork.contract.prompt import Prompt
from tests.integration.gateway.console.visitor import Visitor, words
from tests.integration.gateway.house import House
from tests.workflows.stack import PAIR_PACK

ASKS = "Look at it and decide"


async def visiting(house: House) -> Visitor:
    visitor = Visitor(house.gateway)
    await visitor.sign_in(house.person(Role.APPROVER))
    return visitor


async def held(house: House, **declared: str) -> str:
    fields = {"task_class": "high_stakes_logic", "sensitivity": None} | declared
    task = house.stack.declare(**fields)
    await house.stack.client.submit(Prompt.from_text("Is the ledger exact?"), task)
    await house.stack.open_approval(task.task_id)
    return task.task_id


async def test_who_approved_is_not_asked_again_and_who_has_not_still_is(house: House) -> None:
    """Two persons must agree, so it stands open after the first."""
    first, second = await visiting(house), await visiting(house)
    task_id = await held(house, pack=PAIR_PACK)
    assert ASKS in words(await first.get(f"/tasks/{task_id}"))
    counted = await first.decide(task_id, "approved")
    page = words(await first.http.get(counted.headers["location"]))
    assert "Your approval counts." in page
    assert ASKS not in page
    assert ASKS in words(await second.get(f"/tasks/{task_id}"))


async def test_a_verdict_on_one_task_says_nothing_of_another(house: House) -> None:
    visitor = await visiting(house)
    decided, other = await held(house), await held(house)
    done = await visitor.decide(decided, "approved")
    page = words(await visitor.http.get(done.headers["location"]))
    assert "You approved this." in page
    assert ASKS not in page
    assert ASKS in words(await visitor.get(f"/tasks/{other}"))
