"""Evidence of a routing decision, and the loop's contract: what they hold and what they cannot."""

from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tests.unit.contracts.documents import (
    EVIDENCE,
    LOOP,
    Place,
    changed_at,
    documents,
    evidence_of_a_guarded_run,
    is_valid,
    schema,
    shipped,
    subschemas,
    walk,
    without,
)

SENTENCE = "Summarise the letter of Alice Example about her illness."
PARTS = [
    "route_decision",
    "escalation_receipts",
    "budget_decision",
    "resource_snapshot",
    "quota_snapshot",
    "candidate_set",
    "runtime_health",
    "cost_class",
    "context_policy",
    "tool_policy",
    "governance_references",
]


def test_an_evidence_record_has_eleven_parts_each_facts_or_a_reason_why_not() -> None:
    parts = [each for each in schema(EVIDENCE)["required"] if each in PARTS]
    assert parts == PARTS
    assert len(PARTS) == 11
    denied = shipped(EVIDENCE)
    for part in PARTS:
        assert not is_valid(EVIDENCE, without(denied, (part,)))
        assert not is_valid(EVIDENCE, {**denied, part: None})
        assert not is_valid(EVIDENCE, {**denied, part: {}})
        said = {"not_applicable": "denied_before_this_part"}
        assert is_valid(EVIDENCE, {**denied, part: said}) is (part != "route_decision")


def test_no_place_of_an_evidence_record_can_hold_a_sentence() -> None:
    for document in documents()[EVIDENCE]:
        for at, part in walk(document):
            if at and not isinstance(part, dict | list):
                assert not is_valid(EVIDENCE, changed_at(document, at, SENTENCE)), at
    strings = [part for part in subschemas(schema(EVIDENCE)) if part.get("type") == "string"]
    described = [part for part in strings if "pattern" in part]
    assert len(described) >= 5
    for part in described:
        for text in (SENTENCE, SENTENCE.lower().rstrip("."), "line\n"):
            assert not Draft202012Validator(part).is_valid(text), part


@pytest.mark.parametrize(
    ("at", "value"),
    [
        (("escalation_receipts",), {"not_applicable": "no_escalation_asked"}),
        (("escalation_receipts", "receipts", 0, "verified"), False),
        (("escalation_receipts", "receipts"), []),
        (("quota_snapshot",), {"not_applicable": "no_hosted_candidate"}),
        (("governance_references", "egress_grant"), None),
        (("governance_references", "policy_approval"), None),
        (("governance_references",), {"not_applicable": "no_hosted_candidate"}),
        (("route_decision", "lane"), None),
        (("route_decision", "outcome"), "deny"),
        (("candidate_set", "candidates", 0, "refused_by"), "policy"),
        (("candidate_set", "candidates", 0, "accepted"), False),
    ],
)
def test_evidence_of_a_run_on_a_guarded_lane_holds_what_opened_it(at: Place, value: Any) -> None:
    run = evidence_of_a_guarded_run()
    assert is_valid(EVIDENCE, run)
    assert not is_valid(EVIDENCE, changed_at(run, at, value))


def test_a_denied_step_has_neither_lane_nor_binding() -> None:
    for name, value in (("lane", "cheap"), ("binding", "urn:x1:a"), ("reason_code", None)):
        at: Place = ("route_decision", name)
        assert not is_valid(EVIDENCE, changed_at(shipped(EVIDENCE), at, value))


def test_the_loop_may_do_two_things_and_no_more() -> None:
    permissions = shipped(LOOP)["permissions"]
    assert permissions["write"] == ["offline_replay", "open_proposal"]
    more: Place = ("permissions", "write")
    for wrong in (["offline_replay"], [*permissions["write"], "activate_policy"]):
        assert not is_valid(LOOP, changed_at(shipped(LOOP), more, wrong))


@pytest.mark.parametrize(
    ("at", "value", "good"),
    [
        (("triggers", "schedule", "period"), "daily", True),
        (("triggers", "schedule", "period"), "monthly", False),
        (("limits", "replay_passes_per_class_max"), 3, False),
        (("limits", "stop_after_minutes"), 121, False),
        (("limits", "warn_after_minutes"), 59, False),
        (("triggers", "events"), ["new_model"], False),
        (("escalations",), ["quality_versus_cost"], False),
        (("instruction", "text"), "Review all routing. " * 10, False),
    ],
)
def test_the_loop_keeps_its_limits(at: Place, value: Any, good: bool) -> None:
    assert is_valid(LOOP, changed_at(shipped(LOOP), at, value)) is good


def test_the_instruction_of_the_loop_has_a_scope_and_carries_its_six_duties() -> None:
    instruction = shipped(LOOP)["instruction"]
    assert instruction["text"].count("{scope}") == 1
    assert len(instruction["duties"]) == 6
    assert [each["sentence"] in instruction["text"] for each in instruction["duties"]] == [True] * 6
    assert [each["number"] for each in shipped(LOOP)["steps"]] == list(range(1, 8))
