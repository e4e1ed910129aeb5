"""The shipped omega pack says what its contract says, and decides accordingly."""

from typing import Any

import pytest

from pointwork.contract.decision import CostClass, Plan, Site
from pointwork.contract.task import Sensitivity
from pointwork.policy.bundle import PolicyBundle
from pointwork.policy.decide import decide
from tests.fakes.policy_facts import Situation, changed, chosen, free, shipped

OMEGA = shipped()
PUBLIC = Sensitivity.PUBLIC
BULK = ("bulk", "high_volume", "repetitive", "batch")
DATASETS = ("synthetic_dataset", "data_at_scale", "training_data", "test_data")
SWEEPS = ("parameter_sweep", "monte_carlo", "large_scenarios", "exploratory_simulation")


def plan_for(task_class: str, bundle: PolicyBundle = OMEGA, **fields: Any) -> Plan:
    situation = Situation(task_class=task_class, sensitivity=PUBLIC, **fields)
    return decide(situation.facts(bundle), bundle)


def first_family(plan: Plan) -> tuple[str, CostClass]:
    return plan.candidates[0].family, plan.candidates[0].cost_class


@pytest.mark.req("OM-1")
def test_the_header_is_the_contracts_and_the_site_is_chosen_task_by_task() -> None:
    pack = OMEGA.pack
    assert (pack.version, pack.effective.isoformat()) == ("1.0", "2024-12-13")
    assert set(pack.objectives) == {"quality", "cost-efficiency", "privacy", "reliability"}
    plans = [plan_for("summarisation_formatting"), plan_for("high_stakes_logic")]
    assert [each.candidates[0].site for each in plans] == [Site.LOCAL, Site.PUBLIC_API]
    for plan in plans:
        ref = plan.policy
        assert (ref.pack, ref.version, len(ref.pack_sha256)) == ("omega", "1.0", 64)


def test_there_are_exactly_the_seven_classes_and_five_families() -> None:
    assert set(OMEGA.pack.classes) == {
        "bulk_generation",
        "exploratory_reasoning",
        "high_stakes_logic",
        "creative_synthesis",
        "red_team",
        "summarisation_formatting",
        "perception_multimodal",
    }
    assert len(OMEGA.pack.families) == 5


@pytest.mark.req("OM-5")
@pytest.mark.parametrize("mark", ["bulk", "repetitive", "synthetic_dataset"])
def test_bulk_repetitive_and_synthetic_work_defaults_to_a_local_model(mark: str) -> None:
    for task_class in OMEGA.pack.classes:
        first = plan_for(task_class, marks=(mark,)).candidates
        if task_class == "perception_multimodal":
            assert not first  # no local model of this host sees
        else:
            assert (first[0].family, first[0].site) == ("local_open", Site.LOCAL)


def _local_though_the_default_is_an_api(mark: str) -> None:
    bundle = free(OMEGA, "gpt-5.1")
    assert chosen(plan_for("high_stakes_logic", bundle)) == ["gpt-5.1"]
    assert chosen(plan_for("high_stakes_logic", bundle, marks=(mark,))) == ["smollm2-135m"]


@pytest.mark.req("OM-64")
@pytest.mark.parametrize("mark", BULK)
def test_a_bulk_mark_forces_a_local_model(mark: str) -> None:
    _local_though_the_default_is_an_api(mark)


@pytest.mark.req("OM-65")
@pytest.mark.parametrize("mark", [*DATASETS, "dataset_generation"])
def test_a_dataset_mark_forces_a_local_model(mark: str) -> None:
    _local_though_the_default_is_an_api(mark)


@pytest.mark.req("OM-66")
@pytest.mark.parametrize("mark", [*SWEEPS, "simulation_sweep"])
def test_a_sweep_mark_forces_a_local_model(mark: str) -> None:
    _local_though_the_default_is_an_api(mark)


def test_long_text_and_other_marks_open_no_way_out_for_bulk_work() -> None:
    for fields in ({"input_bytes": 900_000}, {"marks": ("trend_scan",)}):
        plan = plan_for("bulk_generation", **fields)
        assert all(each.site is Site.LOCAL for each in plan.candidates)
        assert plan.hold_for is None


@pytest.mark.req("OM-21")
def test_local_open_models_are_the_default_for_bulk_data_and_simulations() -> None:
    family = OMEGA.pack.families["local_open"]
    assert family.default_for == ("bulk generation", "data generation", "simulations")
    assert family.use_when == ("high volume", "low complexity", "privacy-sensitive")
    assert family.capability == "Sufficient for bulk and repetitive tasks"
    purposes = [
        plan_for("bulk_generation"),
        plan_for("creative_synthesis", marks=("dataset_generation",)),
        plan_for("exploratory_reasoning", marks=("simulation_sweep",)),
    ]
    conditions = [
        plan_for("high_stakes_logic", items=OMEGA.pack.high_volume_items),
        plan_for("summarisation_formatting"),
        plan_for("high_stakes_logic", detected=Sensitivity.SENSITIVE),
    ]
    expected = ("local_open", CostClass.LOWEST)
    assert [first_family(each) for each in (*purposes, *conditions)] == [expected] * 6


@pytest.mark.req("OM-22")
def test_gpt_class_models_are_the_default_for_high_stakes_logic() -> None:
    family = OMEGA.pack.families["gpt_class"]
    assert family.default_for == ("high-stakes logic", "complex planning", "critical judgment")
    assert family.use_when == (
        "deep reasoning required",
        "multi-step logic",
        "architecture decisions",
    )
    assert family.capability == "Strong reasoning and planning"
    assert first_family(plan_for("high_stakes_logic")) == ("gpt_class", CostClass.HIGH)


@pytest.mark.req("OM-23")
def test_claude_class_models_are_the_default_for_creative_synthesis() -> None:
    family = OMEGA.pack.families["claude_class"]
    assert family.default_for == ("creative synthesis", "writing", "nuanced communication")
    assert family.use_when == ("tone-sensitive", "interpretation", "sophisticated language")
    assert family.capability == "Strong language and interpretation"
    assert first_family(plan_for("creative_synthesis")) == ("claude_class", CostClass.HIGH)


@pytest.mark.req("OM-24")
def test_gemini_class_models_are_the_default_for_perception_and_large_context() -> None:
    family = OMEGA.pack.families["gemini_class"]
    assert family.default_for == ("perception/multimodal analysis", "large-context tasks")
    assert family.use_when == ("vision", "video", "spatial reasoning", "very long context")
    assert family.capability == "Multimodal and large-context processing"
    expected = ("gemini_class", CostClass.HIGHEST)
    assert first_family(plan_for("perception_multimodal", image=True)) == expected
    mark = OMEGA.pack.large_context_tokens
    assert mark is not None
    over = mark * 3 + 1
    assert first_family(plan_for("summarisation_formatting", input_bytes=over)) == expected


@pytest.mark.req("OM-25")
@pytest.mark.parametrize("task_class", [c for c in OMEGA.pack.classes if c != "bulk_generation"])
def test_grok_class_models_are_the_default_for_red_teaming_and_trend_scans(
    task_class: str,
) -> None:
    family = OMEGA.pack.families["grok_class"]
    assert family.default_for == ("red teaming/adversarial critique", "trend scanning")
    assert family.use_when == (
        "adversarial analysis",
        "contrarian perspectives",
        "trend analysis",
    )
    assert family.capability == "Adversarial thinking, real-time information"
    for plan in (plan_for("red_team"), plan_for(task_class, marks=("trend_scan",))):
        assert first_family(plan) == ("grok_class", CostClass.MEDIUM_HIGH)
        bound = OMEGA.models[plan.candidates[0].model].model
        assert "realtime" in bound.capabilities


@pytest.mark.req("OM-7")
@pytest.mark.parametrize("task_class", list(OMEGA.pack.classes))
def test_frontier_models_survive_only_in_classes_with_a_frontier_purpose(task_class: str) -> None:
    """Every other model fails first, so that whatever the class permits comes to light."""
    row = OMEGA.pack.classes[task_class]
    weak = {n: {"tiers": ()} for n, each in OMEGA.models.items() if not each.model.is_frontier}
    plan = plan_for(
        task_class, changed(OMEGA, models=weak), justification="It would be convenient."
    )
    if row.frontier_purpose is None:
        assert not plan.candidates
    else:
        assert chosen(plan)
        assert row.frontier_purpose in {
            "high_stakes_reasoning",
            "complex_synthesis",
            "critical_judgment",
            "capability_missing_locally",
        }
    missing_locally = row.frontier_purpose == "capability_missing_locally"
    local = OMEGA.models["smollm2-135m"].model
    assert not missing_locally or not set(row.needs) <= set(local.capabilities)


def test_a_frontier_class_row_is_its_own_justification_and_a_persons_words_come_first() -> None:
    assert plan_for("high_stakes_logic").justification == "high_stakes_reasoning"
    said = plan_for("high_stakes_logic", justification="The board decides on it.")
    assert said.justification == "The board decides on it."
    trend = plan_for("exploratory_reasoning", marks=("trend_scan",))
    assert trend.justification == "capability_missing_locally"


def test_every_value_the_contract_leaves_open_says_why_it_was_chosen() -> None:
    derived = {"high_volume_items", "large_context_tokens", "ceilings", "ceiling_near_ratio"}
    assert derived | {"budgets", "approvals"} <= set(OMEGA.pack.derived)
    rows = {name for name, row in OMEGA.pack.classes.items() if row.derived}
    assert rows == {"exploratory_reasoning", "summarisation_formatting"}
