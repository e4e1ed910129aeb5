"""Each filter, tried just below, at and just above the value it reads from the rules."""

from typing import Any

import pytest

from pointwork.contract.decision import Plan
from pointwork.contract.reasons import ReasonCode
from pointwork.contract.task import PrivacyTier, Sensitivity
from pointwork.policy.bundle import PolicyBundle
from pointwork.policy.decide import decide
from tests.fakes.policy_facts import Failed, Situation, changed, chosen, reasons, shipped

OMEGA = shipped()
HIGH_STAKES = Situation(task_class="high_stakes_logic", sensitivity=Sensitivity.PUBLIC)
SUMMARY = Situation(task_class="summarisation_formatting", sensitivity=Sensitivity.PUBLIC)


def plan_of(situation: Situation, bundle: PolicyBundle = OMEGA, **fields: Any) -> Plan:
    varied = situation.model_copy(update=fields)
    return decide(varied.facts(bundle), bundle)


def reason_for(model: str, situation: Situation, **fields: Any) -> ReasonCode | None:
    return reasons(plan_of(situation, **fields)).get(model)


@pytest.mark.req("OM-6")
@pytest.mark.parametrize("more", [-1, 0, 1])
def test_volume_forces_a_local_model_from_the_packs_threshold_on(more: int) -> None:
    mark = OMEGA.pack.high_volume_items
    assert mark is not None
    items = mark + more
    cheap = changed(OMEGA, models={"gpt-5.1": {"tiers": _free_tiers("gpt-5.1")}})
    plan = plan_of(HIGH_STAKES, cheap, items=items)
    if more < 0:
        assert chosen(plan) == ["gpt-5.1"]
    else:
        assert {each.site for each in plan.candidates} == {"local"}
        assert set(reasons(plan).values()) == {ReasonCode.LOCAL_FIRST_VOLUME}


def _free_tiers(name: str) -> tuple[Any, ...]:
    zero = dict.fromkeys(
        ("input_per_mtok", "output_per_mtok", "cached_input_per_mtok", "cache_write_per_mtok"), 0
    )
    return tuple(tier.model_copy(update=zero) for tier in OMEGA.models[name].tiers)


@pytest.mark.parametrize("more", [-1, 0, 1])
def test_text_past_the_large_context_mark_goes_to_the_large_context_family(more: int) -> None:
    """With room under the ceilings several families would do; past the mark one comes first."""
    cells = dict.fromkeys(OMEGA.pack.families, 10_000_000_000)
    ceilings = OMEGA.pack.ceilings | {"summarisation_formatting": cells}
    bundle = changed(OMEGA, pack={"ceilings": ceilings})
    mark = OMEGA.pack.large_context_tokens
    assert mark is not None
    plan = plan_of(SUMMARY, bundle, input_bytes=mark * 3 + more)
    families = {each.family for each in plan.candidates}
    assert (families == {OMEGA.pack.large_context_family}) == (more > 0)
    assert reasons(plan)["smollm2-135m"] is ReasonCode.CONTEXT


@pytest.mark.parametrize(("more", "fits"), [(-1, True), (0, True), (1, False)])
def test_a_model_is_refused_from_one_token_past_its_context(more: int, fits: bool) -> None:
    local = OMEGA.models["smollm2-135m"].model
    tokens = local.context_tokens - 512 + more
    reason = reason_for("smollm2-135m", SUMMARY, input_bytes=tokens * 3, output_tokens=512)
    assert reason is (None if fits else ReasonCode.CONTEXT)


@pytest.mark.parametrize(("quality", "reason"), [(2, ReasonCode.QUALITY_FLOOR), (3, None)])
def test_a_model_below_the_classs_quality_floor_is_refused(
    quality: int, reason: ReasonCode | None
) -> None:
    bundle = changed(OMEGA, models={"gpt-5.1": {"quality": quality}})
    assert reasons(plan_of(HIGH_STAKES, bundle)).get("gpt-5.1") is reason


@pytest.mark.parametrize(("seconds", "is_limited"), [(-1, False), (0, False), (1, True)])
def test_a_rate_limit_refuses_until_its_very_end(seconds: int, is_limited: bool) -> None:
    reason = reason_for("gpt-5.1", HIGH_STAKES, limited_seconds={"openai": seconds})
    assert reason is (ReasonCode.RATE_LIMITED if is_limited else None)


def test_an_endpoint_without_a_key_is_a_candidate_refused_and_no_crash() -> None:
    assert reason_for("gpt-5.1", HIGH_STAKES, without_keys=("openai",)) is ReasonCode.NO_CREDENTIALS


def test_an_endpoint_no_signal_speaks_of_counts_as_one_without_a_key() -> None:
    given = HIGH_STAKES.facts(OMEGA)
    silent = given.snapshot.model_copy(update={"endpoints": ()})
    plan = decide(given.model_copy(update={"snapshot": silent}), OMEGA)
    assert reasons(plan)["gpt-5.1"] is ReasonCode.NO_CREDENTIALS
    assert not plan.candidates


def test_an_endpoint_that_does_not_answer_is_refused() -> None:
    assert reason_for("gpt-5.1", HIGH_STAKES, down=("openai",)) is ReasonCode.UNHEALTHY


def test_a_model_without_a_price_is_never_called() -> None:
    """Every model in turn, in a class that would use it; a zero by omission is no price."""
    for name in OMEGA.models:
        bundle = changed(OMEGA, models={name: {"tiers": ()}})
        for task_class in OMEGA.pack.classes:
            plan = plan_of(HIGH_STAKES, bundle, task_class=task_class)
            assert name not in chosen(plan)


def test_a_model_already_tried_is_not_tried_again() -> None:
    plan = plan_of(HIGH_STAKES, failed=(Failed(model="gpt-5.1"),))
    assert reasons(plan)["gpt-5.1"] is ReasonCode.ALREADY_FAILED


def test_a_local_model_the_host_does_not_serve_is_refused() -> None:
    host = OMEGA.host.model_copy(update={"local_models": ()})
    bundle = PolicyBundle(pack=OMEGA.pack, models=OMEGA.models, host=host)
    assert reasons(plan_of(SUMMARY, bundle))["smollm2-135m"] is ReasonCode.NOT_ON_HOST


def test_a_picture_needs_a_model_that_sees() -> None:
    refused = reasons(plan_of(HIGH_STAKES, image=True))
    assert refused["deepseek-chat"] is ReasonCode.CAPABILITY
    assert "gpt-5.1" not in refused


def test_an_answer_schema_needs_a_model_that_keeps_to_one() -> None:
    refused = reasons(plan_of(SUMMARY, answer_schema=True, down=("local-gpu",)))
    assert refused["deepseek-chat"] is ReasonCode.CAPABILITY
    assert refused["kimi-k2-thinking"] is ReasonCode.CAPABILITY


@pytest.mark.parametrize(
    ("allowed", "reason"),
    [((), None), (("US",), None), (("CN", "US"), None), (("EU",), ReasonCode.RESIDENCY)],
)
def test_residency_allows_what_it_names_and_nothing_else(
    allowed: tuple[str, ...], reason: ReasonCode | None
) -> None:
    assert reason_for("gpt-5.1", HIGH_STAKES, residency=allowed) is reason


def test_an_endpoint_of_unknown_region_meets_no_residency_limit() -> None:
    assert reason_for("gemini-3.1-pro", HIGH_STAKES, residency=("US",)) is ReasonCode.RESIDENCY


def test_residency_takes_the_next_model_that_is_processed_where_it_may_be() -> None:
    bundle = changed(OMEGA, models={"claude-sonnet-5": {"residency": ("EU",)}})
    plan = plan_of(HIGH_STAKES, bundle, residency=("EU",))
    assert chosen(plan) == ["claude-sonnet-5"]


@pytest.mark.parametrize("tier", [PrivacyTier.APPROVED_PRIVATE, PrivacyTier.LOCAL_ONLY])
def test_a_privacy_tier_keeps_every_public_api_out(tier: PrivacyTier) -> None:
    plan = plan_of(HIGH_STAKES, privacy_tier=tier)
    assert all(each.site == "local" for each in plan.candidates)
    assert reasons(plan)["gpt-5.1"] is ReasonCode.PRIVACY_TIER


@pytest.mark.req("OM-27")
@pytest.mark.req("OM-28")
@pytest.mark.parametrize("model", ["gpt-5.1", "claude-sonnet-5", "gemini-3.1-pro"])
@pytest.mark.parametrize(("below", "is_refused"), [(1, True), (0, False), (-1, False)])
def test_each_family_is_held_to_its_own_ceiling_to_the_nano_usd(
    model: str, below: int, is_refused: bool
) -> None:
    """All other cells of the class stay generous, so the refusal can only be the cell's own."""
    family = OMEGA.models[model].model.family
    wanted = changed(OMEGA, pack={"classes": _first_family(family)})
    estimate = plan_of(HIGH_STAKES, wanted).candidates[0].estimate_nano_usd
    cells = dict.fromkeys(OMEGA.pack.families, 10 * estimate) | {family: estimate - below}
    ceilings = OMEGA.pack.ceilings | {"high_stakes_logic": cells}
    plan = plan_of(HIGH_STAKES, changed(wanted, pack={"ceilings": ceilings}))
    assert (reasons(plan).get(model) is ReasonCode.CEILING) == is_refused


def _first_family(family: str) -> dict[str, Any]:
    """The pack's classes, with the high-stakes row alone routed to ``family``."""
    rows = {name: row.model_dump() for name, row in OMEGA.pack.classes.items()}
    rows["high_stakes_logic"]["rungs"] = [[family]]
    return rows


@pytest.mark.parametrize(("missing", "is_refused"), [(1, True), (0, False), (-1, False)])
def test_a_budget_refuses_from_one_nano_usd_too_little(missing: int, is_refused: bool) -> None:
    estimate = plan_of(HIGH_STAKES).candidates[0].estimate_nano_usd
    reason = reason_for("gpt-5.1", HIGH_STAKES, budget_left=estimate - missing)
    assert reason is (ReasonCode.BUDGET if is_refused else None)


def test_a_spent_budget_ends_the_task_where_no_hard_stop_holds_it() -> None:
    held = plan_of(HIGH_STAKES, budget_left=0)
    assert (held.effect, held.reason) == ("hold", ReasonCode.HARD_STOP)
    without = changed(OMEGA, pack={"hard_stop": False})
    plan = plan_of(HIGH_STAKES, without, budget_left=0)
    assert (plan.effect, plan.reason) == ("deny", ReasonCode.BUDGET)


def test_every_reason_has_one_sentence_of_its_own() -> None:
    sentences = [code.sentence for code in ReasonCode]
    assert len(set(sentences)) == len(sentences)
    assert all(each.endswith(".") and each[0].isupper() for each in sentences)
