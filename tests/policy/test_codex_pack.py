"""The codex pack says what its policy says: header, table, tiers, catalogue rows, flags."""

import ast
import re
from datetime import date
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import pytest
from pydantic import ValidationError

from pointwork.contract.decision import Effect, Lane
from pointwork.contract.reasons import ReasonCode
from pointwork.contract.task import DataClass, Sensitivity, SpecFacts
from pointwork.policy.decide import decide
from pointwork.policy.documents.catalogue import PricedModel, VramPlan, vram_plan
from pointwork.policy.specs.spec_block import parse_spec
from tests.fakes.policy_facts import POLICIES, Situation, changed, chosen, reasons, shipped

CODEX = shipped("codex", "rtx5090")
PACK = CODEX.pack
ROOT = POLICIES.parent
QWEN = "qwen3-coder-30b-a3b"
COLUMNS = ("title", "default", "provider", "site", "when_local", "fallback")
TABLE = {
    "architect": (
        *("Architect / Planner", "Sonnet / GPT-5.1", "Anthropic, OpenAI", "cloud"),
        *("a fast draft only, or offline", "DeepSeek R2"),
    ),
    "implementer": (
        *("Implementer / Rust Ace", "local MoE coder", "local", "local, attempt 1"),
        *("small-to-medium diffs, reflex patches", "DeepSeek, then Sonnet / GPT-5.1"),
    ),
    "librarian": (
        *("Librarian (long-context)", "local 8-14B synth", "local", "local"),
        *("routine cleanup, structure", "Kimi K2, by escalation only"),
    ),
    "tutor": (
        *("Tutor (maieutic coach)", "local MoE coder", "local", "local"),
        *("always, a perfect fit", "Haiku"),
    ),
    "judge": (
        *("Auditor / Final Judge", "GPT-5.1 High / Claude Opus", "OpenAI, Anthropic"),
        *("cloud only", "never", "Sonnet / DeepSeek R2"),
    ),
    "stage0_synth": (
        *("Stage0 Tier2 Synth", "NotebookLM", "Google", "cloud", "none listed"),
        "local summariser",
    ),
    "stage0_retrieval": (
        *("Stage0 Retrieval", "deterministic", "none", "local", "always", "none"),
    ),
    "ace_curator": (
        *("ACE Reflector / Curator", "local 8B instruct", "local", "local"),
        *("routine curation", "Kimi, by escalation only"),
    ),
    "embeddings": ("Embeddings", "bge-m3", "local", "local", "always", "OpenAI embeddings"),
    "cv": ("CV / Camera", "YOLO / TensorRT", "local", "local", "always", "none"),
}
"""The policy's own table, by hand."""


def row(role: str) -> tuple[str, ...]:
    found = PACK.classes[role]
    return (found.title, *(found.table[column] for column in COLUMNS[1:]))


@pytest.mark.req("CX-1")
def test_the_header_and_the_change_log_are_the_policys() -> None:
    header = (PACK.version, PACK.created, PACK.updated, PACK.status)
    assert header == ("2.0.0", date(2025, 12, 14), date(2026, 1, 4), "active")
    first, second = PACK.changelog
    assert (first.version, first.on) == ("1.0.0", date(2025, 12, 14))
    assert "Q0.1 to Q0.9" in first.what
    assert (second.version, second.on) == ("2.0.0", date(2026, 1, 4))
    for part in ("S35", "philosophy", "5090", "Architect cloud-first", "one local MoE"):
        assert part in second.what


@pytest.mark.parametrize("role", TABLE)
def test_a_role_has_the_row_of_the_policys_table(role: str) -> None:
    assert row(role) == TABLE[role]


def test_there_are_exactly_the_ten_roles() -> None:
    assert set(PACK.classes) == set(TABLE)
    assert all(each.table["constraints"] for each in PACK.classes.values())


def test_the_switches_are_the_codex_column() -> None:
    privacy = PACK.privacy
    assert (PACK.rank, PACK.on_ceiling, PACK.on_budget) == ("role_table", "block", "block")
    assert (privacy.egress_default, privacy.sensitive) == ("allow", "tier_only")
    assert not privacy.redact_before_egress
    assert (PACK.frontier_guard, PACK.on_quality_failure) == ("none", "up")
    assert PACK.verification == ("deterministic", "judge", "critic")
    assert PACK.metrics_feedback == "not_read"
    assert PACK.prompt_evidence == "artifacts"
    assert (PACK.cache, PACK.batch, PACK.overlay, PACK.required_signals) == (None, None, None, ())
    assert all(each.parallel is None for each in PACK.classes.values())
    assert PACK.holds_for == ("budget", "outside_decision")


@pytest.mark.req("CX-2")
def test_a_spec_without_the_policy_line_is_refused() -> None:
    for cited in ("", "1.0.0", "2.0"):
        spec = SpecFacts(name="spec-1", policy_version=cited, roles=("architect",))
        plan = decide(Situation(task_class="architect", spec=spec).facts(CODEX), CODEX)
        assert (plan.effect, plan.reason) == (Effect.DENY, ReasonCode.SPEC_POLICY_MISSING)


@pytest.mark.req("CX-2")
def test_no_name_or_threshold_of_a_route_stands_in_code() -> None:
    routes = {rule.trigger for each in PACK.classes.values() for rule in each.routes}
    served = {each.model.served_as for each in CODEX.models.values()}
    own_words_of_the_engine = {"offline", "high_risk", "vision"}
    names = {*CODEX.models, *served, *PACK.families, *routes} - own_words_of_the_engine
    folders = ("src/pointwork/policy", "workflows", "activities")
    files = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]
    assert len(files) > 40
    for path in files:
        nodes = list(ast.walk(ast.parse(path.read_text())))
        words = {each.value for each in nodes if isinstance(each, ast.Constant)}
        assert not {word for word in words if isinstance(word, str)} & names, path
        compared = [each for node in nodes if isinstance(node, ast.Compare) for each in terms(node)]
        numbers = [n for n in compared if isinstance(n, int | float) and not isinstance(n, bool)]
        assert not {Decimal(str(number)) for number in numbers} & thresholds(), path


def thresholds() -> set[Decimal]:
    """What the routes compare measures with; small counts are no constant of anybody's."""
    bound = re.compile(r'"(?:above|at_least|below|at_most)":"?([0-9.]+)')
    found = {Decimal(value) for value in bound.findall(PACK.model_dump_json())}
    assert {Decimal(500), Decimal(100), Decimal(100_000), Decimal("0.70")} <= found
    return found - {Decimal(2)}


def terms(node: ast.Compare) -> list[object]:
    """The literals that ``node`` compares with."""
    sides = (node.left, *node.comparators)
    return [side.value for side in sides if isinstance(side, ast.Constant)]


@pytest.mark.req("CX-2")
def test_the_index_of_documents_leads_to_the_policy_and_the_policy_to_this_pack() -> None:
    index = (ROOT / "docs/KEY_DOCS.md").read_text()
    linked = re.search(r"\[Model policy\]\(([^)]+)\)", index)
    assert linked is not None
    page = (ROOT / "docs" / linked[1]).read_text()
    named = re.search(r"`(policies/codex/[0-9.]+\.yaml)`", page)
    assert named is not None
    assert (ROOT / named[1]).is_file()
    assert Path(named[1]).stem == PACK.version
    assert f"**Version**: {PACK.version}" in page
    assert PACK.spec is not None
    assert PACK.spec.policy_path == f"docs/{linked[1]}"
    assert PACK.spec.policy_version == PACK.version


@pytest.mark.req("CX-3")
@pytest.mark.parametrize("role", TABLE)
def test_the_class_of_the_data_changes_no_ranking(role: str) -> None:
    assert PACK.mode == "cloud-where-quality-wins, local-where-speed-wins"
    situation = Situation(task_class=role, conversation_id="notebook-7")
    before = decide(situation.facts(CODEX), CODEX)
    assert before.candidates
    for each in set(DataClass) - {DataClass.RESTRICTED}:
        told = situation.model_copy(update={"data_classes": (each,)})
        assert chosen(decide(told.facts(CODEX), CODEX)) == chosen(before)
    for level in set(Sensitivity) - {Sensitivity.RESTRICTED}:
        told = situation.model_copy(update={"sensitivity": level})
        assert chosen(decide(told.facts(CODEX), CODEX)) == chosen(before)


@pytest.mark.req("CX-102")
def test_the_tiers_a_spec_states_are_the_packs_and_each_role_is_on_its_tiers_lane() -> None:
    assert PACK.spec is not None
    by_title: dict[str, list[tuple[Lane, str]]] = {}
    for name, family in PACK.families.items():
        by_title.setdefault(family.title, []).append((family.lane, name))
    lanes = {tier: {lane for lane, _ in by_title[tier]} for tier in PACK.spec.tiers}
    assert lanes == {
        "cloud_quality": {Lane.HIGH},
        "local_reflex": {Lane.LOCAL},
        "cloud_escalation": {Lane.STANDARD},
        "premium_judge": {Lane.PREMIUM},
    }
    members = {
        tier: {m for _, name in by_title[tier] for m in PACK.families[name].models}
        for tier in PACK.spec.tiers
    }
    assert members["cloud_quality"] == {"claude-sonnet-5", "gpt-5.1"}
    assert members["premium_judge"] == {"gpt-5.1-high", "claude-opus-5"}
    assert "deepseek-r2" in members["cloud_escalation"]
    assert sum(name.lower().startswith("kimi-k2") for name in members["cloud_escalation"]) == 3
    assert {each.name for each in CODEX.index.by_family["local_reflex"]} >= {QWEN}
    text = (ROOT / "examples/specs/full.md").read_text()
    parse_spec(text, PACK.spec, file="full.md")  # refuses a tier line that differs
    block = text.split("Primary tiers:\n")[1].split("\n\n")[0]
    stated = dict(re.findall(r"^- (\w+): (.+)$", block, re.MULTILINE))
    assert stated == PACK.spec.tiers


@pytest.mark.req("CX-102")
@pytest.mark.parametrize(
    ("role", "marks", "tier"),
    [
        ("architect", (), "cloud_quality"),
        ("implementer", ("hr_cross_crate",), "cloud_quality"),
        ("tutor", (), "local_reflex"),
        ("implementer", ("formatting",), "local_reflex"),
        ("librarian", (), "local_reflex"),
        ("librarian", ("full_sweep",), "cloud_escalation"),
        ("judge", (), "premium_judge"),
    ],
)
def test_a_role_works_on_its_tier(role: str, marks: tuple[str, ...], tier: str) -> None:
    plan = decide(Situation(task_class=role, marks=marks).facts(CODEX), CODEX)
    assert {PACK.families[each.family].title for each in plan.candidates} == {tier}
    assert {each.lane for each in plan.candidates} == {
        family.lane for family in PACK.families.values() if family.title == tier
    }


def catalogue_row(name: str) -> PricedModel:
    return CODEX.models[name]


@pytest.mark.parametrize(
    ("name", "family", "mode"),
    [
        pytest.param(
            *("deepseek-chat", "deepseek_chat", "Non-thinking mode of V3.2, 128K context"),
            marks=pytest.mark.req("CX-64"),
        ),
        pytest.param(
            *("deepseek-r2", "deepseek_reasoning", "Thinking mode of V3.2, 128K context"),
            marks=pytest.mark.req("CX-65"),
        ),
    ],
)
def test_deepseek_has_its_mode_version_and_context_and_refuses_a_longer_prompt(
    name: str, family: str, mode: str
) -> None:
    found = catalogue_row(name)
    served = "deepseek-chat" if name == "deepseek-chat" else "deepseek-reasoner"
    assert (found.model.served_as, found.model.context_tokens) == (served, 128_000)
    assert PACK.families[family].models == (name,)
    assert PACK.families[family].capability.startswith(mode)
    role: dict[str, object] = {"task_class": "architect", "down": ("anthropic", "openai")}
    if name == "deepseek-chat":
        role = {"task_class": "implementer", "measures": {"failed_loops": 2}}
    for tokens, fits in ((127_999, True), (128_000, True), (128_001, False)):
        given = Situation(**role, input_bytes=(tokens - 1) * 3, output_tokens=1)
        plan = decide(given.facts(CODEX), CODEX)
        assert (chosen(plan)[:1] == [name]) is fits
        assert fits or reasons(plan)[name] is ReasonCode.CONTEXT


def test_what_stands_in_for_deepseek_r2_is_on_every_plan() -> None:
    down = Situation(task_class="architect", down=("anthropic", "openai"))
    plan = decide(down.facts(CODEX), CODEX)
    assert "deepseek-reasoner" in plan.candidates[0].substitution


def vram(name: str) -> VramPlan:
    weights = catalogue_row(name).model.weights
    assert weights is not None
    assert CODEX.host.gpu is not None
    return vram_plan(CODEX.host.gpu, name, weights)


@pytest.mark.req("CX-77")
def test_the_local_model_is_the_moe_and_fits_the_card_with_its_reserve() -> None:
    model = catalogue_row(QWEN).model
    assert model.weights is not None
    assert model.served_as == "Qwen3-Coder-30B-A3B-Instruct"
    parameters = (str(model.weights.parameters_billion), str(model.weights.activated_billion))
    assert parameters == ("30.5", "3.3")
    assert (model.context_tokens, model.weights.quantisation) == (262_144, "AWQ, 4 bit")
    assert 12 * 1024 <= model.weights.vram_mb <= 16 * 1024
    plan = vram(QWEN)
    assert (plan.total_mb, plan.fits) == (32 * 1024, True)
    assert plan.kv_reserve_mb > 0
    for role in ("tutor", "implementer", "librarian"):
        assert chosen(decide(Situation(task_class=role).facts(CODEX), CODEX)) == [QWEN]
    for tokens, fits in ((262_143, True), (262_144, True), (262_145, False)):
        given = Situation(task_class="tutor", input_bytes=(tokens - 1) * 3, output_tokens=1)
        found = decide(given.facts(CODEX), CODEX)
        assert (chosen(found) == [QWEN]) is fits
        assert fits or reasons(found)[QWEN] is ReasonCode.CONTEXT


@pytest.mark.req("CX-78")
def test_the_alternative_model_loads_while_the_moe_is_missing_with_less_room_beside_it() -> None:
    name = "ministral-3-14b"
    model = catalogue_row(name).model
    assert model.weights is not None
    assert (str(model.weights.parameters_billion), model.context_tokens) == ("14", 262_144)
    assert model.weights.quantisation == "none, 16 bit"
    assert model.weights.vram_mb == 28 * 1024
    gone = CODEX.model_copy(
        update={"host": CODEX.host.model_copy(update={"local_models": (name,)})}
    )
    plan = decide(Situation(task_class="tutor").facts(gone), gone)
    assert chosen(plan) == [name]
    moe, alternative = vram(QWEN), vram(name)
    assert alternative.fits
    assert alternative.slices_mb == moe.slices_mb > 0
    assert moe.total_mb - moe.weights_mb > alternative.total_mb - alternative.weights_mb
    assert moe.headroom_mb > alternative.headroom_mb


def test_the_flags_are_off_and_the_legacy_mode_is_not_recommended() -> None:
    flags = PACK.flags
    assert set(flags) == {"SPEC_KIT_CONSENSUS", "SPEC_KIT_CRITIC"}
    assert not any(each.default for each in flags.values())
    assert not flags["SPEC_KIT_CONSENSUS"].recommended
    assert "deprecated" in flags["SPEC_KIT_CONSENSUS"].warning
    assert flags["SPEC_KIT_CRITIC"].recommended


@pytest.mark.req("CX-30")
def test_a_gate_keyed_on_agreement_is_no_pack_of_this_policy() -> None:
    """And where every stage has one owner's call is shown by ``test_critic`` (CX-80)."""
    roles = {name: row.model_dump() for name, row in CODEX.pack.classes.items()}
    assert all(row.parallel is None for row in CODEX.pack.classes.values())
    for name in roles:
        gated = roles | {name: roles[name] | {"parallel": 2}}
        with pytest.raises(ValidationError, match=rf"classes.{name}.parallel: this pack's"):
            changed(CODEX, pack={"classes": gated})


def test_every_class_has_a_cap_and_the_dearer_roles_the_higher_one() -> None:
    caps = [PACK.classes[role].ceiling or 0 for role in ("judge", "architect", "implementer")]
    assert all(dearer > cheaper > 0 for dearer, cheaper in pairwise(caps))
    assert all(each.ceiling for each in PACK.classes.values())
    assert {(each.scope, each.period) for each in PACK.budgets} == {("pack", "day")}
