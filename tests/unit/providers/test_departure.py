"""The door: each reason for which a call is not sent, and that no mixture of facts gets past it."""

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pointwork.contract.decision import Effect, Obligation, Site
from pointwork.contract.prompt import (
    ImagePart,
    Prompt,
    Speaker,
    TextPart,
    ToolCallPart,
    ToolResultPart,
    Turn,
)
from pointwork.contract.task import PrivacyTier, Sensitivity, SpecFacts
from pointwork.contract.tools import ToolDefinition
from pointwork.executors.json_contracts import AnswerContract, contract_schema
from pointwork.providers.departure import (
    Clearance,
    Departure,
    DepartureRefusedError,
    Purpose,
    Refusal,
    clear_call,
)
from tests.fakes.departures import (
    BY_TIER,
    CLEAN,
    COPY,
    PUBLIC,
    at_site,
    departure_of,
    with_call,
    with_candidate,
    with_plan,
    with_request,
)
from tests.fakes.policy_facts import approved_private, shipped
from tests.unit.privacy.canaries import CREDENTIALS, PERSONAL, Canary, card

TOKEN, MAIL, CARD = CREDENTIALS[0].value, "ada@example.org", card("411111111111111")
IMAGE = ImagePart(media_type="image/png", data=base64.b64encode(b"\x89PNG"))
LOCAL_SPEC = SpecFacts(name="spec-1", local_only=True)
BY_TIER_ALONE = departure_of(
    BY_TIER.model_copy(update={"task_class": "architect"}), shipped("codex")
)
"""Leaves under a pack that replaces credentials only."""
PRIVATE = departure_of(PUBLIC, approved_private(shipped(), "gpt-5.1"))

Change = Callable[[Departure], Departure]


def says(text: str) -> Change:
    return lambda departure: replace(departure, prompt=Prompt.from_text(text))


def asks(schema: dict[str, Any]) -> Change:
    return lambda departure: replace(departure, schema=schema)


def shows(image: ImagePart) -> Change:
    parts = (TextPart(text=CLEAN), image)
    prompt = Prompt(turns=(Turn(speaker=Speaker.USER, parts=parts),))
    return lambda departure: replace(departure, prompt=prompt)


def offers(tool: ToolDefinition) -> Change:
    prompt = Prompt.from_text(CLEAN).model_copy(update={"tools": (tool,)})
    return lambda departure: replace(departure, prompt=prompt)


def has_called(call_id: str = "c-1", arguments: str = "{}", result: str = "done") -> Change:
    parts = (
        TextPart(text=CLEAN),
        ToolCallPart(call_id=call_id, name="send_mail", arguments=arguments),
        ToolResultPart(call_id=call_id, text=result),
    )
    speakers = (Speaker.USER, Speaker.ASSISTANT, Speaker.TOOL)
    turns = tuple(
        Turn(speaker=speaker, parts=(part,)) for speaker, part in zip(speakers, parts, strict=True)
    )
    return lambda departure: replace(departure, prompt=Prompt(turns=turns))


def without_record(departure: Departure) -> Departure:
    return replace(departure, record=None)


def of_another_task(departure: Departure) -> Departure:
    record = departure.record and departure.record.model_copy(update={"task_id": "task-2"})
    return replace(departure, record=record)


def to_another_model(departure: Departure) -> Departure:
    return with_candidate(departure, model="claude-opus-5")


def in_region(*regions: str) -> Change:
    return lambda departure: with_request(
        replace(departure, residency=regions), residency=("EU", "CH")
    )


REFUSED: list[tuple[Refusal, Change]] = [
    (Refusal.SITE_CHANGED, lambda d: replace(d, site=Site.PRIVATE)),
    (Refusal.SITE_CHANGED, lambda d: replace(d, site=Site.LOCAL)),
    (Refusal.SITE_CHANGED, lambda d: with_candidate(d, site=Site.LOCAL)),
    (Refusal.NOT_DECIDED, without_record),
    (Refusal.NOT_DECIDED, of_another_task),
    (Refusal.NOT_DECIDED, lambda d: with_call(d, task_id="task-2")),
    (Refusal.NOT_PLANNED, to_another_model),
    (Refusal.NOT_PLANNED, lambda d: with_candidate(d, endpoint="openrouter-openai")),
    (Refusal.NOT_PLANNED, lambda d: with_plan(d, candidates=())),
    (Refusal.NOT_PLANNED, lambda d: with_plan(d, effect=Effect.HOLD)),
    (Refusal.NOT_PLANNED, lambda d: with_plan(d, effect=Effect.DENY)),
    (Refusal.RESTRICTED, lambda d: with_plan(d, sensitivity=Sensitivity.RESTRICTED)),
    (Refusal.LOCAL_ONLY, lambda d: with_request(d, privacy_tier=PrivacyTier.LOCAL_ONLY)),
    (Refusal.LOCAL_ONLY, lambda d: with_request(d, spec=LOCAL_SPEC)),
    (Refusal.NOT_PRIVATE, lambda d: with_request(d, privacy_tier=PrivacyTier.APPROVED_PRIVATE)),
    (Refusal.RESIDENCY, in_region("US")),
    (Refusal.RESIDENCY, in_region("EU", "US")),
    (Refusal.RESIDENCY, in_region()),
    (Refusal.NOT_REDACTED, lambda d: with_call(d, placeholders=None)),
    (Refusal.NOT_REDACTED, lambda d: with_plan(d, obligations=())),
    (Refusal.NOT_REDACTED, lambda d: with_plan(d, obligations=(Obligation.VERIFY_SCHEMA,))),
    (Refusal.HOLDS_IMAGE, shows(IMAGE)),
    (Refusal.HOLDS_SECRET, says(f"the key is {TOKEN}")),
    (Refusal.HOLDS_SECRET, asks({"description": f"the key is {TOKEN}"})),
    (Refusal.HOLDS_SECRET, asks({"properties": {TOKEN: {"type": "string"}}})),
    (Refusal.HOLDS_SECRET, offers(ToolDefinition(name="t", description=f"use {TOKEN}"))),
    (Refusal.HOLDS_SECRET, has_called(arguments=json.dumps({"key": TOKEN}))),
    (Refusal.HOLDS_SECRET, has_called(result=f"it is {TOKEN}")),
    (Refusal.HOLDS_IDENTIFIER, offers(ToolDefinition(name="t", parameters={"default": MAIL}))),
    (Refusal.HOLDS_IDENTIFIER, has_called(arguments='{"to": "ada\\u0040example.org"}')),
    (Refusal.HOLDS_IDENTIFIER, has_called(arguments=json.dumps({"card": int(CARD)}))),
    (Refusal.HOLDS_IDENTIFIER, has_called(result=f"sent to {MAIL}")),
    (Refusal.HOLDS_IDENTIFIER, has_called(call_id=CARD)),
    (Refusal.HOLDS_IDENTIFIER, says(f"write to {MAIL}")),
    (Refusal.HOLDS_IDENTIFIER, asks({"enum": [MAIL]})),
    (Refusal.HOLDS_IDENTIFIER, asks({"enum": [int(CARD)]})),
    (Refusal.HOLDS_IDENTIFIER, asks({"properties": {"mail": {"default": MAIL}}})),
]


@pytest.mark.parametrize(("refusal", "change"), REFUSED)
def test_one_changed_fact_is_enough_to_refuse_a_call_that_would_leave(
    refusal: Refusal, change: Change
) -> None:
    departure = departure_of()
    assert clear_call(departure) == Clearance(Purpose.MODEL_CALL, "openai")
    with pytest.raises(DepartureRefusedError) as caught:
        clear_call(change(departure))
    assert caught.value.refusal is refusal


def test_every_reason_to_refuse_is_tried() -> None:
    assert {refusal for refusal, _ in REFUSED} == set(Refusal)


@pytest.mark.parametrize(
    "departure",
    [
        with_request(PRIVATE, privacy_tier=PrivacyTier.APPROVED_PRIVATE),
        in_region("EU")(departure_of()),
        in_region("CH", "EU")(departure_of()),
        with_plan(departure_of(), obligations=(Obligation.REDACT, Obligation.VERIFY_SCHEMA)),
        with_plan(departure_of(), sensitivity=Sensitivity.SENSITIVE),
        with_request(departure_of(), spec=SpecFacts(name="spec-1")),
        says("write to <EMAIL_1>, whose key is <SECRET_1>")(departure_of()),
        asks({"properties": {"mail": {"format": "email"}}})(departure_of()),
        BY_TIER_ALONE,
        says(f"write to {MAIL}")(BY_TIER_ALONE),
        shows(IMAGE)(BY_TIER_ALONE),
    ],
)
def test_what_is_planned_redacted_and_permitted_is_cleared(departure: Departure) -> None:
    endpoint = departure.call.candidate.endpoint
    assert clear_call(departure) == Clearance(Purpose.MODEL_CALL, endpoint)


@pytest.mark.req("OM-50")
@pytest.mark.parametrize("change", [says(f"the key is {TOKEN}"), asks({"const": TOKEN})])
def test_a_pack_that_redacts_credentials_only_lets_none_of_them_out_either(change: Change) -> None:
    with pytest.raises(DepartureRefusedError) as caught:
        clear_call(change(BY_TIER_ALONE))
    assert caught.value.refusal is Refusal.HOLDS_SECRET


@pytest.mark.parametrize("contract", list(AnswerContract))
def test_the_schemas_that_packs_name_hold_nothing_the_door_would_refuse(
    contract: AnswerContract,
) -> None:
    assert clear_call(asks(contract_schema(contract))(departure_of())) is not None


def test_the_adviser_of_the_plan_is_planned_too() -> None:
    departure = departure_of()
    adviser = departure.call.candidate
    planned = with_plan(departure, candidates=(), adviser=adviser)
    assert clear_call(planned) is not None
    with pytest.raises(DepartureRefusedError):
        clear_call(with_plan(departure, candidates=(), adviser=None))


def test_a_call_that_stays_in_the_house_is_given_no_leave_to_go_out() -> None:
    """So that an endpoint called local at a public address reaches nobody (T4)."""
    here = at_site(departure_of(), Site.LOCAL)
    assert clear_call(here) is None
    untouched = with_call(replace(here, record=None), content=COPY, placeholders=None)
    assert clear_call(says(f"{MAIL} {TOKEN}")(untouched)) is None


@pytest.mark.parametrize("canary", CREDENTIALS + PERSONAL, ids=lambda canary: canary.kind)
def test_no_refusal_quotes_the_text_and_no_canary_is_let_out(canary: Canary) -> None:
    for change in (says(canary.text), asks({"description": canary.text})):
        with pytest.raises(DepartureRefusedError) as caught:
            clear_call(change(departure_of()))
        shown = f"{caught.value} {caught.value!r} {caught.value.args} {change(departure_of())!r}"
        assert canary.value not in shown
        assert json.dumps(canary.value, ensure_ascii=False)[1:-1] not in shown


CHANGES = st.lists(st.sampled_from([change for _, change in REFUSED]), max_size=4)
CONTENTS = st.sampled_from([says(CLEAN), says(MAIL), says(TOKEN), shows(IMAGE), asks({"a": MAIL})])


@settings(max_examples=500, deadline=None)
@given(CHANGES, st.lists(CONTENTS, max_size=2), st.sampled_from(list(Site)), st.booleans())
def test_no_mixture_of_facts_clears_what_must_not_leave(
    changes: list[Change], contents: list[Change], site: Site, is_by_tier: bool
) -> None:
    departure = at_site(BY_TIER_ALONE if is_by_tier else departure_of(), site)
    for change in (*changes, *contents):
        departure = change(departure)
    try:
        clearance = clear_call(departure)
    except DepartureRefusedError:
        return
    assert (clearance is None) == (departure.site is Site.LOCAL)
    if clearance is not None:
        assert_may_leave(departure)


def assert_may_leave(departure: Departure) -> None:
    """Said again in the words of the rules, not in those of the door."""
    record, call = departure.record, departure.call
    assert record is not None
    assert record.task_id == call.task_id
    request, plan = record.input.request, record.plan
    assert plan.effect is Effect.RUN
    assert (call.candidate.model, departure.site) in {(c.model, c.site) for c in plan.candidates}
    assert plan.sensitivity is not Sensitivity.RESTRICTED
    assert request.privacy_tier is not PrivacyTier.LOCAL_ONLY
    assert request.spec is None or not request.spec.local_only
    tier = request.privacy_tier is PrivacyTier.APPROVED_PRIVATE
    assert not tier or departure.site is Site.PRIVATE
    assert not request.residency or departure.residency
    assert not request.residency or set(departure.residency) <= set(request.residency)
    assert call.placeholders is not None
    leaving = departure.prompt.text + json.dumps(departure.schema)
    assert TOKEN not in leaving
    if Obligation.REDACT in plan.obligations:
        assert MAIL not in leaving
        assert not departure.prompt.has_image
    else:
        assert Obligation.REDACT_SECRETS in plan.obligations
