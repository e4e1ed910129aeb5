"""The Implementer of the codex pack: where a change begins, and when it moves up."""

from pathlib import Path
from typing import Any

import pytest

from pointwork.contract.decision import (
    Direction,
    Effect,
    FailedAttempt,
    Lane,
    Move,
    MoveKind,
    Plan,
    Site,
    Trigger,
)
from pointwork.contract.failures import ProviderFailureKind
from pointwork.contract.reasons import ReasonCode
from pointwork.contract.task import PrivacyTier, SpecFacts
from pointwork.policy.decide import decide
from pointwork.policy.specs.high_risk import change_risk
from tests.fakes.policy_facts import Failed, Situation, chosen, reasons, shipped

CODEX = shipped("codex", "rtx5090")
PACK = CODEX.pack
QWEN, DEEPSEEK = "qwen3-coder-30b-a3b", "deepseek-chat"
QUALITY = ["claude-sonnet-5", "gpt-5.1"]
DIFFS = Path(__file__).parent / "diffs"
GROUPS = tuple(PACK.high_risk_groups)
HITS = sorted(DIFFS.glob("*/hits-*.diff"))


def plan_of(**fields: Any) -> Plan:
    return decide(Situation(task_class="implementer", **fields).facts(CODEX), CODEX)


def tried(*models: str) -> tuple[Failed, ...]:
    return tuple(Failed(model=name) for name in models)


def first(plan: Plan) -> tuple[str, str]:
    return plan.candidates[0].model, plan.candidates[0].trigger


def move_of(plan: Plan) -> Move:
    move = plan.candidates[0].move
    assert move is not None
    return move


def assert_escalates(plan: Plan, trigger: str, model: str = QUALITY[0], attempt: int = 1) -> None:
    """Up from the local lane for ``trigger``, and what it compared is on record (CX-92)."""
    move = move_of(plan)
    assert first(plan) == (model, trigger)
    assert (move.kind, move.trigger, move.direction) == (
        MoveKind.ESCALATION,
        trigger,
        Direction.UP,
    )
    assert (move.from_lane, move.attempt) == (Lane.LOCAL, attempt)
    assert move.evidence


@pytest.mark.req("CX-5")
@pytest.mark.parametrize(
    ("fields", "order"),
    [
        ({"marks": ("hr_cross_crate",)}, QUALITY),
        ({"measures": {"scope_lines": 501}}, QUALITY),
        ({"measures": {"failed_loops": 2}}, [DEEPSEEK]),
    ],
)
def test_serious_work_goes_to_deepseek_and_sonnet_before_any_premium_model(
    fields: dict[str, Any], order: list[str]
) -> None:
    plan = plan_of(**fields)
    assert chosen(plan) == order
    assert plan.factor == "quality_per_dollar"
    cheap = {name: CODEX.index.by_name[name].estimate(400, 512) for name in (*QUALITY, DEEPSEEK)}
    assert cheap[DEEPSEEK] < min(cheap[name] for name in QUALITY)
    for name in PACK.families["premium_judge"].models:
        assert reasons(plan)[name] is ReasonCode.NOT_IN_ROUTE
    dearest = CODEX.index.by_name["claude-opus-5"].estimate(400, 512)
    assert dearest > max(cheap.values())


@pytest.mark.req("CX-6")
def test_a_tight_loop_is_local_first_for_its_latency() -> None:
    plan = plan_of(marks=("tight_loop",))
    assert (chosen(plan), plan.factor) == ([QWEN], "latency_sensitivity")


@pytest.mark.req("CX-7")
def test_high_volume_is_local_first_and_priced_as_electricity_alone() -> None:
    plan = plan_of(marks=("high_volume",), input_bytes=4_000_000 // 10, output_tokens=8_192)
    assert (chosen(plan), plan.factor) == ([QWEN], "volume_economics")
    (tier,) = plan.candidates[0].prices
    watts, usd_per_kwh, tokens_in, tokens_out = 575, 0.30, 5_000, 150
    price = CODEX.models[QWEN].model.price
    assert price is not None
    assert price.source == (
        f"electricity of the card, {watts} W at {usd_per_kwh:.2f} USD/kWh, "
        f"{tokens_in} tokens/s in and {tokens_out} out"
    )
    nano_usd_per_second = watts / 3_600_000 * usd_per_kwh * 10**9
    assert tier.output_per_mtok == pytest.approx(nano_usd_per_second / tokens_out * 10**6, rel=0.01)
    assert tier.input_per_mtok == pytest.approx(nano_usd_per_second / tokens_in * 10**6, rel=0.06)
    assert tier.cached_input_per_mtok == 0
    expected = (400_000 * tier.input_per_mtok + 8_192 * tier.output_per_mtok) / 10**6
    assert plan.candidates[0].estimate_nano_usd == pytest.approx(expected, abs=1)


@pytest.mark.req("CX-14")
def test_a_retry_inside_a_loop_under_the_limit_stays_local() -> None:
    for fields in ({"failed": tried(QWEN)}, {"measures": {"failed_loops": 1}}, {}):
        plan = plan_of(marks=("tool_loop_retry",), **fields)
        assert chosen(plan) == [QWEN]
        assert plan.candidates[0].move is None
        assert plan.factor == "latency_sensitivity"


@pytest.mark.req("CX-17")
def test_two_local_tries_then_deepseek_then_the_quality_tier() -> None:
    models, attempts = list[str](), list[int]()
    while (plan := plan_of(failed=tried(*models))).effect is Effect.RUN:
        move = plan.candidates[0].move
        attempts.append(move.attempt if move else 0)
        models.append(plan.candidates[0].model)
    assert models == [QWEN, QWEN, DEEPSEEK, *QUALITY]
    assert attempts == [0, 0, 3, 4, 5]
    assert plan.reason is ReasonCode.CANDIDATES_EXHAUSTED
    assert_escalates(plan_of(failed=tried(QWEN, QWEN)), "two_failed_loops", DEEPSEEK, attempt=3)
    fourth = plan_of(failed=tried(QWEN, QWEN, DEEPSEEK))
    assert first(fourth) == (QUALITY[0], Trigger.CHEAPER_FAILED)
    assert (move_of(fourth).from_model, move_of(fourth).direction) == (DEEPSEEK, Direction.UP)
    table = PACK.classes["implementer"].table
    assert (table["default"], table["provider"]) == ("local MoE coder", "local")


@pytest.mark.req("CX-17")
@pytest.mark.parametrize("mark", ["hr_cross_crate", "hr_unsafe", "hr_public_api"])
def test_serious_changes_start_in_the_cloud(mark: str) -> None:
    assert_escalates(plan_of(marks=(mark,)), "high_risk")


@pytest.mark.req("CX-26")
@pytest.mark.parametrize(
    "diff",
    [
        "hr_cross_crate/hits-a-function-moved-from-one-crate-to-another",
        "hr_cross_crate/hits-a-function-that-became-async",
        "hr_cross_crate/hits-state-shared-behind-a-lock",
        "hr_cross_crate/hits-a-borrow-with-a-named-lifetime",
        "hr_unsafe/hits-an-unsafe-block",
        "hr_unsafe/hits-a-foreign-function",
        "hr_unsafe/hits-a-profile-of-the-sandbox",
        "hr_public_api/hits-a-public-function-whose-arguments-changed",
    ],
)
def test_each_kind_of_serious_diff_goes_to_the_cloud(diff: str) -> None:
    text = (DIFFS / f"{diff}.diff").read_text()
    risk = change_risk(text, PACK.high_risk_groups)
    plan = plan_of(found_marks=tuple(group.code for group in risk.groups))
    assert plan.candidates[0].site is Site.PUBLIC_API


@pytest.mark.req("CX-27")
@pytest.mark.parametrize(
    ("fields", "is_reflex"),
    [
        ({"measures": {"diff_lines": 98}}, True),
        ({"measures": {"diff_lines": 99}}, True),
        ({"measures": {"diff_lines": 100}}, False),
        ({"measures": {"diff_lines": 101}}, False),
        ({"marks": ("formatting",)}, True),
        ({"marks": ("boilerplate",)}, True),
        ({"marks": ("first_pass",)}, True),
        ({"marks": ("tool_loop_retry",)}, True),
    ],
)
def test_small_plain_first_and_repeated_changes_are_a_reflex(
    fields: dict[str, Any], *, is_reflex: bool
) -> None:
    plan = plan_of(**fields)
    assert first(plan) == (QWEN, "reflex" if is_reflex else Trigger.DEFAULT)
    assert plan.factor == ("latency_sensitivity" if is_reflex else "quality_per_dollar")
    assert plan.candidates[0].move is None


@pytest.mark.req("CX-45")
@pytest.mark.parametrize("lines", [100, 300, 500])
def test_small_to_medium_diffs_start_locally(lines: int) -> None:
    for name in ("diff_lines", "scope_lines"):
        plan = plan_of(measures={name: lines})
        assert chosen(plan) == [QWEN]
        assert plan.candidates[0].move is None


@pytest.mark.req("CX-46")
def test_two_failed_loops_escalate_and_retries_of_the_transport_are_none() -> None:
    assert first(plan_of(measures={"failed_loops": 1}))[0] == QWEN
    assert_escalates(plan_of(measures={"failed_loops": 2}), "two_failed_loops", DEEPSEEK)
    both = plan_of(measures={"failed_loops": 1}, failed=tried(QWEN))
    assert_escalates(both, "two_failed_loops", DEEPSEEK, attempt=2)
    given = Situation(task_class="implementer").facts(CODEX)
    retried = FailedAttempt(model=QWEN, kind=None, transport_retries=2)
    plan = decide(given.model_copy(update={"failed": (retried,)}), CODEX)
    assert chosen(plan) == [QWEN]
    kind = ProviderFailureKind.TIMEOUT
    timeouts = plan_of(failed=(Failed(model=QWEN, kind=kind), Failed(model=QWEN, kind=kind)))
    assert first(timeouts) == ("ministral-3-14b", Trigger.LOCAL_UNAVAILABLE)
    assert reasons(timeouts)[DEEPSEEK] is ReasonCode.ESCALATION_ONLY


@pytest.mark.req("CX-47")
def test_a_confidence_below_the_threshold_escalates_and_at_the_threshold_does_not() -> None:
    for confidence in ("0.70", "0.71", "1"):
        assert chosen(plan_of(measures={"confidence": confidence})) == [QWEN]
    for confidence in ("0.699999", "0.69", "0"):
        assert_escalates(plan_of(measures={"confidence": confidence}), "low_confidence")


@pytest.mark.req("CX-48")
@pytest.mark.parametrize("path", HITS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_high_risk_diff_of_any_group_escalates(path: Path) -> None:
    assert {each.parent.name for each in HITS} == set(GROUPS)
    risk = change_risk(path.read_text(), PACK.high_risk_groups)
    found = tuple(group.code for group in risk.groups)
    assert path.parent.name in found
    assert_escalates(plan_of(found_marks=found), "high_risk")


@pytest.mark.req("CX-48")
@pytest.mark.parametrize("group", GROUPS)
def test_each_group_alone_escalates_known_before_or_found_later(group: str) -> None:
    assert set(PACK.high_risk_marks) == set(GROUPS)
    assert_escalates(plan_of(marks=(group,)), "high_risk")
    later = plan_of(found_marks=(group,), failed=tried(QWEN))
    assert_escalates(later, "high_risk", attempt=2)
    assert move_of(later).from_model == QWEN


@pytest.mark.req("CX-49")
def test_a_person_who_asks_for_the_cloud_gets_it_unless_the_task_is_local_only() -> None:
    assert_escalates(plan_of(marks=("user_requested_cloud",)), "user_requested_cloud")
    spec = SpecFacts(name="spec-1", policy_version="2.0.0", roles=("implementer",), local_only=True)
    for fields in ({"privacy_tier": PrivacyTier.LOCAL_ONLY}, {"spec": spec}):
        plan = plan_of(marks=("user_requested_cloud",), **fields)
        assert plan.effect is Effect.DENY
        assert reasons(plan)[QUALITY[0]] is ReasonCode.PRIVACY_TIER


@pytest.mark.req("CX-50")
def test_an_architectural_refactor_over_several_files_skips_local() -> None:
    assert_escalates(plan_of(marks=("multi_file_architectural",)), "direct_architectural")


@pytest.mark.req("CX-51")
def test_a_scope_over_500_lines_skips_local() -> None:
    for lines in (499, 500):
        assert chosen(plan_of(measures={"scope_lines": lines})) == [QWEN]
    for lines in (501, 5_000):
        assert_escalates(plan_of(measures={"scope_lines": lines}), "direct_scope")


@pytest.mark.req("CX-52")
def test_ambiguous_requirements_skip_local() -> None:
    assert_escalates(plan_of(marks=("ambiguous",)), "direct_ambiguous")


@pytest.mark.req("CX-66")
def test_deepseek_is_for_a_stuck_implementer_and_then_comes_first() -> None:
    marks = PACK.facts.marks if PACK.facts else {}
    fixtures: list[dict[str, Any]] = [{"marks": (mark,)} for mark in marks]
    fixtures += [{"measures": {name: 1}} for name in ("failed_loops", "confidence", "scope_lines")]
    fixtures += [{"measures": {"confidence": 0}}, {"down": ("local-gpu",)}, {"failed": tried(QWEN)}]
    for fields in fixtures:
        assert not {DEEPSEEK, "deepseek-r2"} & set(chosen(plan_of(**fields)))
    for stuck in ({"measures": {"failed_loops": 2}}, {"failed": tried(QWEN, QWEN)}):
        assert chosen(plan_of(**stuck)) == [DEEPSEEK]
        assert chosen(plan_of(**stuck, marks=("tight_loop",))) == [DEEPSEEK]
    down = plan_of(measures={"failed_loops": 2}, down=("deepseek",))
    assert first(down) == (QUALITY[0], Trigger.PROVIDER_OUTAGE)
    assert move_of(down).kind is MoveKind.FALLBACK


def test_a_stuck_high_risk_change_is_not_moved_down_to_deepseek() -> None:
    plan = plan_of(marks=("hr_data",), measures={"failed_loops": 2})
    assert first(plan) == (QUALITY[0], "high_risk")


def test_the_alternative_local_model_takes_no_refused_answer_and_never_serves_in_silence() -> None:
    one_try = decide(Situation(task_class="librarian", failed=tried(QWEN)).facts(CODEX), CODEX)
    assert one_try.effect is Effect.DENY
    assert reasons(one_try)["ministral-3-14b"] is ReasonCode.OUTAGE_ONLY
    lost = (Failed(model=QWEN, kind=ProviderFailureKind.LOCAL_MODEL_UNAVAILABLE),)
    plan = plan_of(failed=lost, marks=("formatting",))
    move = move_of(plan)
    assert first(plan) == ("ministral-3-14b", Trigger.LOCAL_UNAVAILABLE)
    assert (move.kind, move.direction) == (MoveKind.FALLBACK, Direction.SIDEWAYS)
    assert move.from_model == QWEN
