"""Each kind of reason has its own way out, told only where deciding again proves it."""

from typing import Any

import pytest

from pointwork.contract.decision import Effect
from pointwork.contract.snapshot import GuardrailVerdict, ReceiptKind, ResourceSignal
from pointwork.contract.task import Sensitivity, SpecFacts
from pointwork.policy.bundle import PolicyBundle
from pointwork.policy.decide import decide
from pointwork.policy.reading.remedies import remedies
from pointwork.policy.reading.what_ifs import what_ifs
from tests.fakes.policy_facts import Received, Situation, changed, shipped
from tests.unit.cli.test_remedies import decided

PUBLIC = Sensitivity.PUBLIC
TWO_RECEIPTS = (Received(kind=ReceiptKind.EGRESS), Received(kind=ReceiptKind.HOSTED_FALLBACK))
NOTHING = ["No key, declaration or limit would change it; only another policy would."]


def told(pack: str | PolicyBundle, *, host: str = "embedded", **given: Any) -> list[str]:
    bundle = shipped(pack, host) if isinstance(pack, str) else pack
    return remedies(decided(bundle, Situation(**{"sensitivity": PUBLIC} | given)), bundle)


def ways(sentences: list[str]) -> list[str]:
    """Each sentence without the model it names."""
    return [each.rpartition(": ")[0] for each in sentences]


PLANNING: dict[str, Any] = {"task_class": "planning", "stage": "planning"}


def test_receipts_that_are_wanted_together_are_named_together() -> None:
    assert ways(told("socioprophet", **PLANNING)) == [
        "An egress receipt for this task, and a policy approval on record for a hosted model"
    ]
    with_one = told("socioprophet", **PLANNING, receipts=TWO_RECEIPTS[:1])
    assert ways(with_one) == ["A policy approval on record for a hosted model"]


IRREVERSIBLE: dict[str, Any] = {
    "task_class": "irreversible_decision",
    "stage": "irreversible_decision",
    "receipts": TWO_RECEIPTS,
    "tools": ("network",),
}


def test_a_guarded_lane_names_every_reason_with_its_receipt() -> None:
    found = ways(told("socioprophet", **IRREVERSIBLE))
    reasons = shipped("socioprophet").pack.escalation_reasons
    assert {f"Escalation reason {each} with a receipt for it" for each in reasons} <= {*found}


def test_a_tool_is_named_where_no_open_lane_gives_a_right_to_it() -> None:
    found = ways(told("socioprophet", **PLANNING, receipts=TWO_RECEIPTS, tools=("network",)))
    assert "No tool network" in found


def test_a_reason_whose_receipt_is_there_is_named_alone() -> None:
    receipt = Received(kind=ReceiptKind.LANE_ESCALATION, reason="safety_critical")
    given = IRREVERSIBLE | {"receipts": (*TWO_RECEIPTS, receipt)}
    assert "Escalation reason safety_critical" in ways(told("socioprophet", **given))


def test_another_stage_is_named_where_the_task_s_own_is_too_low() -> None:
    found = told(
        "socioprophet",
        task_class="planning",
        stage="intake",
        receipts=TWO_RECEIPTS,
        tools=("write",),
    )
    assert "Stage planning, with --stage" in ways(found)


def test_room_on_the_host_is_named_where_a_model_waits_for_it() -> None:
    needy = {"host_needs": {"free_memory_mb": 4_000, "load_ratio_max": "1"}}
    bundle = changed(shipped(), models={"smollm2-135m": needy})
    full = ResourceSignal(free_memory_mb=500, load_ratio="0.2")
    given: dict[str, Any] = {"task_class": "bulk_generation", "marks": ("bulk",), "resources": full}
    assert told(bundle, **given) == ["Room on the host: smollm2-135m would answer."]


@pytest.mark.parametrize(
    ("missing", "way"),
    [
        ({"quotas": None}, "The quota signal"),
        ({"latencies": None}, "The latency signal"),
        ({"budgets_missing": True}, "The budget signal"),
        ({"resources": None}, "The resource signal, with room on the host"),
        ({"without_signals": ("openai",)}, "The health of openai"),
    ],
)
def test_a_missing_signal_is_named(missing: dict[str, Any], way: str) -> None:
    given = {"task_class": "triage", "stage": "triage"} | missing
    assert ways(told("socioprophet", **given)) == [way]


def test_signals_that_are_missing_together_are_named_together() -> None:
    missing: dict[str, Any] = {"quotas": None, "latencies": None, "budgets_missing": True}
    assert ways(told("socioprophet", task_class="triage", stage="triage", **missing)) == [
        "The quota signal, and the latency signal, and the budget signal"
    ]


def test_a_quota_is_named_where_it_is_used_up() -> None:
    spent = dict.fromkeys(shipped().index.hosted_endpoints, 0)
    found = told("omega", task_class="high_stakes_logic", quotas=spent)
    assert ways(found) == ["Known quota with requests left at every vendor"]


@pytest.mark.parametrize(
    ("spec", "way"),
    [
        (SpecFacts(name="s", roles=("tutor",)), "A spec that cites policy version 2.0.0"),
        (
            SpecFacts(name="s", policy_version="1.9", roles=("tutor",)),
            "A spec that cites policy version 2.0.0",
        ),
        (
            SpecFacts(name="s", policy_version="2.0.0", roles=("librarian",)),
            "A spec that says YES to tutor",
        ),
    ],
)
def test_a_spec_that_says_otherwise_is_named(spec: SpecFacts, way: str) -> None:
    found = told("codex", task_class="tutor", conversation_id="lesson-1", spec=spec)
    assert way in ways(found)


def test_a_new_session_is_named_where_the_old_one_is_over() -> None:
    given: dict[str, Any] = {
        "task_class": "tutor",
        "conversation_id": "l",
        "measures": {"session_turns": 1_000},
    }
    assert ways(told("codex", **given)) == ["A new session"]


def test_a_guardrail_that_denied_is_named() -> None:
    found = told("omega", task_class="bulk_generation", guardrail=GuardrailVerdict.DENY)
    assert ways(found) == ["A guardrail verdict that allows"]


def test_a_misspelt_fact_is_named() -> None:
    assert ways(told("codex", task_class="tutor", conversation_id="l", marks=("offlin",))) == [
        "No --mark offlin"
    ]


def test_an_endpoint_that_is_down_or_asks_to_wait_is_named() -> None:
    keyed: dict[str, Any] = {
        "task_class": "creative_synthesis",
        "without_keys": ("openai", "google"),
    }
    down = told("omega", **keyed, down=("anthropic",))
    assert ways(down)[-1] == "An answer from anthropic, which is down"
    limited = told("omega", **keyed, limited_seconds={"anthropic": 60})
    assert ways(limited)[-1] == "A wait until 05:07:07 UTC for anthropic"


def test_what_nothing_changes_is_said_so() -> None:
    assert told("codex", task_class="judge", failed=FAILED_JUDGES) == NOTHING


FAILED_JUDGES = tuple(
    {"model": entry.name}
    for entry in shipped("codex").index.entries
    if entry.family in shipped("codex").pack.classes["judge"].families
)


@pytest.mark.parametrize("pack", ["omega", "codex", "juggernaut", "socioprophet"])
def test_no_change_touches_the_record_it_is_asked_of(pack: str) -> None:
    bundle = shipped(pack)
    for name in bundle.pack.classes:
        given = Situation(task_class=name, tools=("write",)).facts(bundle)
        before = given.model_dump_json()
        for change in what_ifs(given, bundle):
            assert change.applied(given) != given, change.sentence
        assert given.model_dump_json() == before


@pytest.mark.parametrize("pack", ["omega", "codex", "juggernaut", "socioprophet"])
def test_every_class_of_every_pack_gets_an_answer(pack: str) -> None:
    bundle = shipped(pack)
    for name in bundle.pack.classes:
        for level in (None, PUBLIC, Sensitivity.RESTRICTED):
            record = decided(bundle, Situation(task_class=name, sensitivity=level))
            found = remedies(record, bundle)
            assert found
            assert decide(record.input, bundle).effect in Effect
            assert len(found) == len(set(found))
