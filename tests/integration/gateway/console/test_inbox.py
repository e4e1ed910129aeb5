"""Deciding in the console: the same rules as anywhere, and their words where they refuse."""

import pytest

from pointwork.contract.identity import Role
from pointwork.contract.outcome import TaskStatus
from pointwork.contract.prompt import Prompt
from pointwork.ledger.audit import AuditChain
from tests.fakes.scripted_provider import Says
from tests.integration.gateway.console.visitor import Visitor, forms, words
from tests.integration.gateway.house import Account, House
from tests.workflows.stack import PAIR_PACK, SIDE_BY_SIDE_PACK

ASKS_AGAIN = "Look at it and decide"


async def held(house: House, **declared: str) -> str:
    """A task that waits for a person to say what its text is."""
    fields = {"task_class": "high_stakes_logic", "sensitivity": None} | declared
    task = house.stack.declare(**fields)
    await house.stack.client.submit(Prompt.from_text("Is the ledger exact?"), task)
    await house.stack.open_approval(task.task_id)
    return task.task_id


async def differing(house: House, *texts: str) -> str:
    """A task whose answers differ."""
    task = house.stack.declare(pack=SIDE_BY_SIDE_PACK, task_class="high_stakes_logic")
    endpoints = ("openai", "anthropic", "google")
    for endpoint, text in zip(endpoints, texts, strict=True):
        house.stack.script.write_at(task.task_id, endpoint, Says(text))
    await house.stack.client.submit(Prompt.from_text("Which is it?"), task)
    await house.stack.open_approval(task.task_id)
    return task.task_id


async def visiting(house: House, *roles: Role) -> tuple[Visitor, Account]:
    person = house.person(*roles)
    visitor = Visitor(house.gateway)
    await visitor.sign_in(person)
    return visitor, person


def audited(house: House, task_id: str, kind: str) -> list[dict[str, object]]:
    records = AuditChain(house.gateway.engine).records(100_000)
    return [each.body for each in records if each.kind == kind and each.task_id == task_id]


async def test_an_approval_in_the_console_lets_the_task_run(house: House) -> None:
    visitor, person = await visiting(house, Role.APPROVER)
    task_id = await held(house)
    assert task_id in (await visitor.get("/inbox")).text
    page = await visitor.get(f"/inbox/{task_id}")
    assert "Nobody confirmed the data class" in page.text
    assert "the decision below, byte for byte" in page.text
    assert "then answered by" in words(page)
    done = await visitor.decide(task_id, "approved", "The text is public; I read it.")
    assert done.headers["location"] == f"/console/tasks/{task_id}?said=approved"
    outcome = await house.stack.recorded(task_id)
    assert outcome.status is TaskStatus.SUCCEEDED
    after = words(await visitor.http.get(done.headers["location"]))
    assert "You approved this." in after
    assert f"{person.name} approved" in after
    assert "The text is public; I read it." in after


async def test_a_denial_ends_the_task_and_its_reason_is_on_record(house: House) -> None:
    visitor, _ = await visiting(house, Role.OWNER)
    task_id = await held(house)
    await visitor.decide(task_id, "rejected", "This text stays in the house.")
    outcome = await house.stack.recorded(task_id)
    assert outcome.failure == "APPROVAL_REJECTED"
    (closed,) = audited(house, task_id, "approval_closed")
    assert closed["reason"] == "This text stays in the house."


async def test_the_verdict_is_signed_by_a_key_of_that_person_which_the_chain_names(
    house: House,
) -> None:
    visitor, person = await visiting(house, Role.APPROVER)
    task_id = await held(house)
    request = house.gateway.approvals.open_of(task_id)
    assert request is not None
    await visitor.decide(task_id, "approved")
    await house.stack.recorded(task_id)
    (said,) = house.gateway.approvals.verdicts(request.approval_id)
    assert said.key_id is not None
    assert said.key_id.startswith(f"console-{person.name}-")
    records = AuditChain(house.gateway.engine).records(100_000)
    added = [each.body for each in records if each.kind == "approver_key_added"]
    assert said.key_id in {each["key_id"] for each in added}


async def test_who_signed_in_before_the_approval_opened_on_another_replica_may_answer_too(
    house: House,
) -> None:
    first, _ = await visiting(house, Role.APPROVER)
    task_id = await held(house)
    other = first.at_another(house.gateway)
    assert (await other.decide(task_id, "approved")).status_code == 303


async def test_nobody_approves_what_they_asked_for_themselves(house: House) -> None:
    visitor, person = await visiting(house, Role.APPROVER, Role.SUBMITTER)
    task_id = await held(house, caller=person.name)
    page = await visitor.get(f"/inbox/{task_id}")
    assert "You asked for this yourself" in page.text
    assert f"/console/inbox/{task_id}" not in forms(page)
    refused = await visitor.act(f"/inbox/{task_id}", **as_asked(house, task_id))
    assert refused.status_code == 409
    assert "the requester of a task cannot approve it" in words(refused)


async def test_who_operates_the_service_that_asks_is_refused_in_the_rules_words(
    house: House,
) -> None:
    visitor, person = await visiting(house, Role.APPROVER)
    service = house.account(belongs_to=(person.name,))
    task_id = await held(house, caller=service.name)
    assert "operates" in (await visitor.get(f"/inbox/{task_id}")).text
    refused = await visitor.act(f"/inbox/{task_id}", **as_asked(house, task_id))
    assert (refused.status_code, "operates" in words(refused)) == (409, True)


@pytest.mark.parametrize(
    ("spoiled", "said"),
    [
        ({"request_sha256": "0" * 64}, "another version of the request"),
        ({"policy_sha256": "0" * 64}, "under another policy"),
        ({"ceiling_nano_usd": "1"}, "below what the task may cost"),
    ],
)
async def test_a_verdict_on_something_else_than_what_waits_is_refused(
    house: House, spoiled: dict[str, str], said: str
) -> None:
    visitor, _ = await visiting(house, Role.APPROVER)
    task_id = await held(house)
    refused = await visitor.decide(task_id, "approved", **spoiled)
    assert refused.status_code == 409
    assert said in words(refused)
    assert house.gateway.approvals.open_of(task_id) is not None


async def test_a_verdict_that_comes_after_another_is_refused(house: House) -> None:
    visitor, _ = await visiting(house, Role.APPROVER)
    late, _ = await visiting(house, Role.APPROVER)
    task_id = await held(house)
    fields = forms(await late.get(f"/inbox/{task_id}"))[f"/console/inbox/{task_id}"]
    await visitor.decide(task_id, "approved")
    await house.stack.recorded(task_id)
    given = fields | {"verdict": "rejected", "reason": "I think otherwise."}
    refused = await late.post(f"/inbox/{task_id}", **given)
    assert refused.status_code == 409


async def test_a_reason_that_is_no_sentence_or_holds_a_credential_is_given_back(
    house: House,
) -> None:
    visitor, _ = await visiting(house, Role.APPROVER)
    task_id = await held(house)
    short = await visitor.decide(task_id, "approved", "ok")
    assert (short.status_code, "8 to 500" in words(short)) == (400, True)
    secret = "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"
    leaky = await visitor.decide(task_id, "approved", f"The key is {secret}.")
    assert (leaky.status_code, "credential" in words(leaky)) == (400, True)


async def test_where_two_persons_must_agree_the_first_is_counted_and_counts_once(
    house: House,
) -> None:
    first, _ = await visiting(house, Role.APPROVER)
    second, _ = await visiting(house, Role.APPROVER)
    task_id = await held(house, pack=PAIR_PACK)
    counted = await first.decide(task_id, "approved")
    assert counted.headers["location"].endswith("?said=counted")
    again = await first.decide(task_id, "approved")
    assert (again.status_code, "another person is needed" in words(again)) == (409, True)
    assert (await second.decide(task_id, "approved")).status_code == 303
    assert (await house.stack.recorded(task_id)).status is TaskStatus.SUCCEEDED


@pytest.mark.req("OM-56")
async def test_three_fields_that_differ_are_the_three_that_the_console_shows(house: House) -> None:
    visitor, _ = await visiting(house, Role.APPROVER)
    one = '{"price": 30, "city": "Oslo", "open": true, "floor": 2}'
    other = '{"price": 31, "city": "Bergen", "open": false, "floor": 2}'
    task_id = await differing(house, one, other, one)
    page = await visitor.get(f"/inbox/{task_id}")
    said = words(page)
    assert "The answers differ at 3 places" in said
    assert [place for place in ("/price", "/city", "/open", "/floor") if place in said] == [
        "/price",
        "/city",
        "/open",
    ]
    assert "<mark>31</mark>" in page.text
    assert "<mark>2</mark>" not in page.text


@pytest.mark.req("OM-58")
async def test_every_answer_stands_in_full_with_its_model_and_the_disagreement_is_stated(
    house: House,
) -> None:
    visitor, person = await visiting(house, Role.APPROVER)
    texts = ("It is 42, surely.\n" * 40, "It is 43.", "It is 44, <b>perhaps</b>.")
    task_id = await differing(house, *texts)
    request = house.gateway.approvals.open_of(task_id)
    assert request is not None
    page = await visitor.get(f"/inbox/{task_id}")
    assert page.text.count("surely") == 40
    assert "<b>" not in page.text
    assert "The answers differ" in words(page)
    for option in request.options:
        assert option.model in page.text
    shown = audited(house, task_id, "content_shown")
    assert [each["reader"] for each in shown] == [person.name]


async def test_a_blind_choice_says_nothing_of_models_and_costs(house: House) -> None:
    visitor, _ = await visiting(house, Role.APPROVER)
    task_id = await differing(house, "It is 42.", "It is 43.", "It is 44.")
    request = house.gateway.approvals.open_of(task_id)
    assert request is not None
    blind = await visitor.get(f"/inbox/{task_id}?blind=1")
    assert "It is" in words(blind)
    for option in request.options:
        assert option.model not in blind.text


async def test_the_answer_a_person_chose_is_the_tasks(house: House) -> None:
    visitor, person = await visiting(house, Role.APPROVER)
    task_id = await differing(house, "It is 42.", "It is 43.", "It is 44.")
    none = await visitor.decide(task_id, "approved", "The second is right.")
    assert (none.status_code, "Choose one of the answers" in words(none)) == (400, True)
    chosen = await visitor.decide(task_id, "approved", "The second is right.", choice="B")
    assert chosen.headers["location"].endswith("?said=chosen")
    outcome = await house.stack.recorded(task_id)
    assert outcome.selection is not None
    assert (outcome.selection.choice, outcome.selection.approver) == ("B", person.name)
    page = words(await visitor.get(f"/tasks/{task_id}"))
    assert f"{person.name} chose B" in page


def as_asked(house: House, task_id: str) -> dict[str, str]:
    """The fields of a right form, for whoever is given none."""
    request = house.gateway.approvals.open_of(task_id)
    assert request is not None
    return {
        "approval_id": request.approval_id,
        "request_sha256": request.request_sha256,
        "policy_sha256": request.policy_sha256,
        "ceiling_nano_usd": str(request.ceiling_nano_usd),
        "verdict": "approved",
        "reason": "Looked at it and agree.",
    }


async def test_who_approved_is_not_asked_again_and_who_has_not_still_is(house: House) -> None:
    """Two persons must agree, so it stands open after the first."""
    (first, _), (second, _) = (
        await visiting(house, Role.APPROVER),
        await visiting(house, Role.APPROVER),
    )
    task_id = await held(house, pack=PAIR_PACK)
    assert ASKS_AGAIN in words(await first.get(f"/tasks/{task_id}"))
    counted = await first.decide(task_id, "approved")
    page = words(await first.http.get(counted.headers["location"]))
    assert "Your approval counts." in page
    assert ASKS_AGAIN not in page
    assert ASKS_AGAIN in words(await second.get(f"/tasks/{task_id}"))


async def test_a_verdict_on_one_task_says_nothing_of_another(house: House) -> None:
    visitor, _ = await visiting(house, Role.APPROVER)
    decided, other = await held(house), await held(house)
    done = await visitor.decide(decided, "approved")
    page = words(await visitor.http.get(done.headers["location"]))
    assert "You approved this." in page
    assert ASKS_AGAIN not in page
    assert ASKS_AGAIN in words(await visitor.get(f"/tasks/{other}"))
