"""Where content may go: the highest of all that is known of it decides; silence opens nothing."""

import random
from typing import Any

import pytest

from pointwork.contract.decision import Effect, GrantKind, Obligation, Plan, Site
from pointwork.contract.reasons import ReasonCode
from pointwork.contract.task import DataClass, PrivacyTier, Sensitivity
from pointwork.policy.bundle import PolicyBundle
from pointwork.policy.decide import decide
from pointwork.policy.documents.pack import Caller
from pointwork.policy.engine.sensitivity import effective_sensitivity
from tests.fakes.policy_facts import (
    Granted,
    Situation,
    approved_private,
    changed,
    chosen,
    reasons,
    shipped,
)

OMEGA = shipped()
HIGH_STAKES = Situation(task_class="high_stakes_logic")
EVERY_GRANT = tuple(Granted(kind=kind, ceiling=1_000_000_000) for kind in GrantKind)
NEVER_PUBLIC = (DataClass.CUSTOMER, DataClass.PERSONAL, DataClass.CREDENTIAL)


def plan_of(situation: Situation, bundle: PolicyBundle = OMEGA, **fields: Any) -> Plan:
    varied = situation.model_copy(update=fields)
    return decide(varied.facts(bundle), bundle)


def _levels_given(situation: Situation, floor: Sensitivity | None) -> list[Sensitivity]:
    levels = [
        situation.sensitivity,
        situation.detected,
        situation.conversation,
        floor,
        *(each.sensitivity for each in situation.data_classes),
        *(each.sensitivity for each in situation.detected_data_classes),
    ]
    return [each for each in levels if each is not None]


def test_sensitivity_is_the_highest_of_what_is_given_in_ten_thousand_combinations() -> None:
    """Any input missing, in any order of the data classes: never lower than one, never higher."""
    rng = random.Random(46)
    optional = [None, *Sensitivity]
    floors = {
        floor: changed(
            OMEGA,
            pack={"callers": {"billing": {"sensitivity_floor": floor}} if floor else {}},
        ).pack
        for floor in optional
    }
    for _ in range(10_000):
        floor = rng.choice(optional)
        situation = Situation(
            sensitivity=rng.choice(optional),
            detected=rng.choice(optional),
            conversation=rng.choice(optional),
            data_classes=tuple(rng.sample(list(DataClass), rng.randint(0, 3))),
            detected_data_classes=tuple(rng.sample(list(DataClass), rng.randint(0, 3))),
        )
        given = _levels_given(situation, floor)
        found = effective_sensitivity(situation.facts(OMEGA), floors[floor])
        assert (found is None) == (not given)
        if found is not None:
            assert found in given
            assert all(found.rank >= each.rank for each in given)


def test_the_plan_says_the_sensitivity_it_was_made_for() -> None:
    plan = plan_of(HIGH_STAKES, sensitivity=Sensitivity.PUBLIC, detected=Sensitivity.SENSITIVE)
    assert plan.sensitivity is Sensitivity.SENSITIVE


@pytest.mark.parametrize(
    "source",
    [
        {"sensitivity": Sensitivity.PUBLIC, "detected": Sensitivity.SENSITIVE},
        {"sensitivity": Sensitivity.PUBLIC, "detected_data_classes": (DataClass.PERSONAL,)},
        {"sensitivity": Sensitivity.PUBLIC, "conversation": Sensitivity.SENSITIVE},
        {"data_classes": (DataClass.CREDENTIAL,)},
    ],
)
def test_a_claim_that_text_is_public_changes_nothing(source: dict[str, Any]) -> None:
    plan = plan_of(HIGH_STAKES, **source)
    assert {each.site for each in plan.candidates} == {Site.LOCAL}


@pytest.mark.req("OM-40")
@pytest.mark.parametrize("data_class", NEVER_PUBLIC)
@pytest.mark.parametrize("task_class", list(OMEGA.pack.classes))
def test_customer_personal_and_credential_data_never_reach_a_public_api(
    data_class: DataClass, task_class: str
) -> None:
    """Models of the class's route are refused for privacy; the others are not in it anyway."""
    plan = plan_of(HIGH_STAKES, task_class=task_class, data_classes=(data_class,))
    assert all(each.site is not Site.PUBLIC_API for each in plan.candidates)
    routed = {family for rung in OMEGA.pack.classes[task_class].rungs for family in rung}
    public = {
        name
        for name, each in OMEGA.models.items()
        if each.endpoint.site is Site.PUBLIC_API and each.model.family in routed
    }
    codes = {reasons(plan)[name] for name in public}
    without_purpose = {ReasonCode.JUSTIFICATION_MISSING}
    assert codes <= {ReasonCode.PRIVACY} | without_purpose
    assert task_class == "bulk_generation" or ReasonCode.PRIVACY in codes


@pytest.mark.req("OM-41")
def test_proprietary_data_goes_to_an_approved_private_model_and_to_no_other() -> None:
    proprietary = {"data_classes": (DataClass.PROPRIETARY,)}
    listed = approved_private(OMEGA, "claude-sonnet-5")
    plan = plan_of(HIGH_STAKES, listed, **proprietary)
    assert chosen(plan) == ["claude-sonnet-5"]
    unlisted = approved_private(OMEGA, "claude-sonnet-5", approved=False)
    plan = plan_of(HIGH_STAKES, unlisted, **proprietary)
    assert reasons(plan)["claude-sonnet-5"] is ReasonCode.PRIVACY


def test_no_grant_lets_proprietary_data_into_a_public_api() -> None:
    plan = plan_of(HIGH_STAKES, data_classes=(DataClass.PROPRIETARY,), grants=EVERY_GRANT)
    assert all(each.site is not Site.PUBLIC_API for each in plan.candidates)
    assert plan.effect is Effect.DENY


def _surviving_sites(bundle: PolicyBundle, **fields: Any) -> set[Site]:
    """The sites that privacy leaves open: where a model is not refused for its content."""
    plan = plan_of(HIGH_STAKES, bundle, **fields)
    closed = {ReasonCode.PRIVACY, ReasonCode.RESTRICTED, ReasonCode.SENSITIVITY_UNDECLARED}
    refused = reasons(plan)
    return {
        each.endpoint.site
        for name, each in bundle.models.items()
        if refused.get(name) not in closed
    }


def _all_able(bundle: PolicyBundle) -> PolicyBundle:
    """Every cloud model of the one quality and family, so that only its site tells it apart."""
    able = {"quality": 3, "family": "gpt_class"}
    cloud = [n for n, each in bundle.models.items() if each.endpoint.site is not Site.LOCAL]
    return changed(bundle, models=dict.fromkeys(cloud, able))


@pytest.mark.req("OM-44")
@pytest.mark.parametrize(
    ("fields", "sites"),
    [
        ({}, {Site.LOCAL}),
        ({"sensitivity": Sensitivity.PUBLIC}, {Site.LOCAL, Site.PRIVATE, Site.PUBLIC_API}),
        ({"sensitivity": Sensitivity.INTERNAL}, {Site.LOCAL, Site.PRIVATE, Site.PUBLIC_API}),
        ({"data_classes": (DataClass.PROPRIETARY,)}, {Site.LOCAL, Site.PRIVATE}),
        ({"data_classes": (DataClass.CUSTOMER,)}, {Site.LOCAL, Site.PRIVATE}),
        ({"data_classes": (DataClass.PERSONAL,)}, {Site.LOCAL, Site.PRIVATE}),
        ({"data_classes": (DataClass.CREDENTIAL,)}, {Site.LOCAL, Site.PRIVATE}),
        ({"data_classes": (DataClass.RESTRICTED,)}, {Site.LOCAL}),
    ],
)
def test_the_data_class_alone_decides_which_sites_stay_open(
    fields: dict[str, Any], sites: set[Site]
) -> None:
    bundle = _all_able(approved_private(OMEGA, "claude-sonnet-5"))
    assert _surviving_sites(bundle, **fields) == sites


@pytest.mark.parametrize("grants", [(), EVERY_GRANT])
@pytest.mark.parametrize("task_class", list(OMEGA.pack.classes))
def test_restricted_content_stays_in_the_house_with_every_approval_there_is(
    grants: tuple[Granted, ...], task_class: str
) -> None:
    bundle = approved_private(OMEGA, "claude-sonnet-5", "gpt-5.1")
    plan = plan_of(
        HIGH_STAKES,
        bundle,
        task_class=task_class,
        data_classes=(DataClass.RESTRICTED,),
        grants=grants,
    )
    assert {each.site for each in plan.candidates} <= {Site.LOCAL}
    assert plan.effect in {Effect.RUN, Effect.DENY}
    if plan.effect is Effect.RUN:
        assert Obligation.LOG_RESTRICTED in plan.obligations


@pytest.mark.req("OM-46")
def test_an_unconfirmed_data_class_holds_whatever_would_leave_the_house() -> None:
    plan = plan_of(HIGH_STAKES)
    assert (plan.effect, plan.hold_for) == (Effect.HOLD, GrantKind.DATA_CLASSIFICATION)
    confirmed = plan_of(HIGH_STAKES, grants=(Granted(kind=GrantKind.DATA_CLASSIFICATION),))
    assert chosen(confirmed) == ["gpt-5.1"]
    local = plan_of(HIGH_STAKES, task_class="summarisation_formatting")
    assert chosen(local) == ["smollm2-135m"]


def test_a_detectors_silence_confirms_nothing() -> None:
    plan = plan_of(HIGH_STAKES, detected=None)
    assert plan.reason is ReasonCode.SENSITIVITY_UNDECLARED


def test_a_callers_floor_confirms_and_raises() -> None:
    caller = {"billing": Caller(sensitivity_floor=Sensitivity.INTERNAL)}
    open_to_apis = changed(OMEGA, pack={"callers": caller})
    assert chosen(plan_of(HIGH_STAKES, open_to_apis)) == ["gpt-5.1"]
    caller = {"billing": Caller(sensitivity_floor=Sensitivity.SENSITIVE)}
    kept_home = changed(OMEGA, pack={"callers": caller})
    plan = plan_of(HIGH_STAKES, kept_home, sensitivity=Sensitivity.PUBLIC)
    assert chosen(plan) == ["smollm2-135m"]


def test_sensitive_data_waits_for_a_person_where_no_local_model_serves_it() -> None:
    sensitive: dict[str, Any] = {"sensitivity": Sensitivity.SENSITIVE, "down": ("local-gpu",)}
    held = plan_of(HIGH_STAKES, **sensitive)
    assert (held.effect, held.hold_for) == (Effect.HOLD, GrantKind.SENSITIVE_EGRESS)
    grant = (Granted(kind=GrantKind.SENSITIVE_EGRESS),)
    assert chosen(plan_of(HIGH_STAKES, grants=grant, **sensitive))[0] != "smollm2-135m"


def test_what_leaves_the_house_is_redacted_first() -> None:
    out = plan_of(HIGH_STAKES, sensitivity=Sensitivity.PUBLIC)
    assert Obligation.REDACT in out.obligations
    home = plan_of(HIGH_STAKES, sensitivity=Sensitivity.SENSITIVE)
    assert Obligation.REDACT not in home.obligations


def test_a_local_model_below_the_classs_quality_serves_sensitive_work_with_a_warning() -> None:
    plan = plan_of(HIGH_STAKES, sensitivity=Sensitivity.SENSITIVE)
    assert Obligation.WARN_DOWNGRADE in plan.obligations


@pytest.mark.parametrize("grants", [(), EVERY_GRANT])
def test_no_grant_lifts_a_privacy_tier(grants: tuple[Granted, ...]) -> None:
    plan = plan_of(
        HIGH_STAKES,
        sensitivity=Sensitivity.PUBLIC,
        privacy_tier=PrivacyTier.LOCAL_ONLY,
        down=("local-gpu",),
        grants=grants,
    )
    assert plan.effect is Effect.DENY
