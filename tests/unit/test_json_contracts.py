"""SocioProphet's JSON contracts and the loop's: what their schemas let through, and what not."""

import itertools
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tests.unit.contracts.documents import (
    BINDINGS,
    EVIDENCE,
    OPTIMIZER,
    POLICY,
    SHIPPED,
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

LANES = ["no-model", "local-cheap", "cheap", "standard", "high-end", "pro"]
GUARDED = ["high-end", "pro"]
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
CONSTRAINTS = [
    "policy",
    "privacy",
    "safety",
    "quality_floor",
    "budget_ceiling",
    "local_resource_health",
    "provider_quota",
    "provider_health",
    "latency",
    "deterministic_verification",
]
REASONS = [
    "local_quality_insufficient",
    "context_exceeds_local",
    "irreversible_decision",
    "safety_critical",
    "repeated_failure",
    "governance_request",
]
SMALL = "urn:srcos:model-profile:local-llama32-1b"
BETTER = "urn:srcos:model-profile:local-llama32-3b"

every_contract = pytest.mark.parametrize("contract", SHIPPED)

KEYS = [
    pytest.param(contract, number, at, id=f"{contract}-{number}-{'.'.join(map(str, at))}")
    for contract, good in documents().items()
    for number, document in enumerate(good)
    for at, _ in walk(document)
    if at and isinstance(at[-1], str)
]


@every_contract
@pytest.mark.req("SP-10", "SP-22", "SP-27")
def test_a_schema_follows_its_meta_schema(contract: str) -> None:
    Draft202012Validator.check_schema(schema(contract))
    assert schema(contract)["$schema"] == Draft202012Validator.META_SCHEMA["$id"]


@every_contract
def test_the_documents_at_hand_are_good(contract: str) -> None:
    for document in documents()[contract]:
        errors = Draft202012Validator(schema(contract)).iter_errors(document)
        assert not [f"{each.json_path} {each.message}" for each in errors]


@pytest.mark.parametrize(("contract", "number", "at"), KEYS)
@pytest.mark.req("SP-10")
def test_no_key_of_a_good_document_can_be_left_out(contract: str, number: int, at: Place) -> None:
    assert not is_valid(contract, without(documents()[contract][number], at))


@every_contract
def test_every_object_a_schema_describes_occurs_in_the_documents_at_hand(contract: str) -> None:
    """So that leaving out each of their keys leaves out each required one."""
    seen = [
        set(part)
        for document in documents()[contract]
        for _, part in walk(document)
        if isinstance(part, dict)
    ]
    for part in subschemas(schema(contract)):
        if part.get("additionalProperties") is False:
            known, required = set(part["properties"]), set(part["required"])
            assert any(required <= keys <= known for keys in seen), part["description"]


@every_contract
def test_no_object_of_a_document_takes_a_property_the_contract_does_not_know(contract: str) -> None:
    for document in documents()[contract]:
        for at, part in walk(document):
            if isinstance(part, dict):
                assert not is_valid(contract, changed_at(document, (*at, "extra"), 1)), at


@every_contract
def test_every_object_of_a_schema_is_closed(contract: str) -> None:
    for part in subschemas(schema(contract)):
        if part.get("type") == "object":
            dispatches = {"then", "else"} <= set(part) and "properties" not in part
            closed = part.get("additionalProperties") is False
            assert closed or dispatches or part.get("unevaluatedProperties") is False, part


@every_contract
def test_a_schema_is_named_described_and_complete_in_itself(contract: str) -> None:
    whole = schema(contract)
    assert whole["$id"] == f"urn:pointwork:schema:{contract}:1"
    assert whole["title"]
    assert whole["description"]
    for part in subschemas(whole):
        assert part.get("$ref", "#/$defs/").startswith("#/$defs/")
        assert part.get("$ref", "#/$defs/version").removeprefix("#/$defs/") in whole["$defs"]
        if part.get("type") == "object":
            for name, described in part.get("properties", {}).items():
                assert {"description", "$ref"} & set(described), name


@pytest.mark.req("SP-14")
def test_the_lanes_are_exactly_six_in_order_of_cost() -> None:
    assert schema(POLICY)["$defs"]["lane_name"]["enum"] == LANES
    assert schema(EVIDENCE)["$defs"]["lane"]["enum"] == LANES
    assert [each["name"] for each in shipped(POLICY)["lanes"]] == LANES
    assert list(shipped(OPTIMIZER)["latency_ceilings_ms"]) == LANES
    lanes = shipped(POLICY)["lanes"]
    for wrong in itertools.chain(itertools.permutations(lanes), [lanes[:5], [*lanes, lanes[5]]]):
        assert is_valid(POLICY, {**shipped(POLICY), "lanes": list(wrong)}) is (wrong == (*lanes,))


@pytest.mark.req("SP-16")
def test_the_policy_lists_task_classes_each_with_a_default_lane() -> None:
    classes = shipped(POLICY)["task_classes"]
    assert {each["name"]: each["default_lane"] for each in classes} == {
        "triage": "local-cheap",
        "summarization": "local-cheap",
        "planning": "local-cheap",
        "synthesis": "local-cheap",
        "routine_execution": "no-model",
        "review": "no-model",
        "irreversible_decision": "local-cheap",
    }
    assert {each["definition"] for each in classes} == {"pointwork-defined"}
    assert not is_valid(POLICY, {**shipped(POLICY), "task_classes": []})


@pytest.mark.req("SP-17")
def test_every_chain_stage_has_a_default_and_a_maximum_lane() -> None:
    stages = shipped(POLICY)["chain_stages"]
    assert [(each["name"], each["default_lane"], each["maximum_lane"]) for each in stages] == [
        ("intake", "no-model", "local-cheap"),
        ("triage", "local-cheap", "cheap"),
        ("planning", "local-cheap", "high-end"),
        ("routine_execution", "no-model", "standard"),
        ("verification", "no-model", "cheap"),
        ("irreversible_decision", "local-cheap", "pro"),
        ("summary", "local-cheap", "standard"),
    ]
    assert not is_valid(POLICY, {**shipped(POLICY), "chain_stages": []})
    for index, lane in itertools.product(range(len(stages)), ("default_lane", "maximum_lane")):
        at: Place = ("chain_stages", index, lane)
        assert not is_valid(POLICY, without(shipped(POLICY), at))
        assert not is_valid(POLICY, changed_at(shipped(POLICY), at, "ultra"))


@pytest.mark.req("SP-18")
def test_a_reason_to_escalate_outside_the_list_is_refused_in_policy_and_receipt() -> None:
    assert [each["name"] for each in shipped(POLICY)["escalation"]["reasons"]] == REASONS
    in_policy: Place = ("escalation", "reasons", 0, "name")
    in_receipt: Place = ("escalation_receipts", "receipts", 0, "reason")
    run = evidence_of_a_guarded_run()
    for reason in REASONS:
        assert is_valid(EVIDENCE, changed_at(run, in_receipt, reason))
    for wrong in ("important_customer", "Repeated_failure", "", None):
        assert not is_valid(POLICY, changed_at(shipped(POLICY), in_policy, wrong))
        assert not is_valid(EVIDENCE, changed_at(run, in_receipt, wrong))


@pytest.mark.parametrize("lane", LANES)
def test_no_requirement_of_a_lane_can_be_waived(lane: str) -> None:
    index = LANES.index(lane)
    requires = shipped(POLICY)["lanes"][index]["requires"]
    hosted = dict.fromkeys(("egress_grant", "policy_approval"), index >= 2)
    guard = dict.fromkeys(("escalation_reason", "receipt", "known_quota"), lane in GUARDED)
    assert requires == {**guard, **hosted}
    for name, needed in requires.items():
        waived = changed_at(shipped(POLICY), ("lanes", index, "requires", name), False)
        assert is_valid(POLICY, waived) is not needed


@pytest.mark.parametrize(
    ("at", "value"),
    [
        (("operating_rule",), "Use the best lane."),
        (("defaults", "prompt_egress"), "allow"),
        (("lanes", 0, "context_tokens_max"), 1),
        (("lanes", 1, "context_tokens_max"), None),
        (("lanes", 1, "site"), "hosted"),
        (("lanes", 5, "evidence_required"), ["governance_references", "quota_snapshot"]),
        (("lanes", 5, "tool_rights"), ["read", "anything"]),
        (("escalation", "default"), "allow"),
        (("escalation", "guarded_lanes"), ["pro"]),
        (("de_escalation", "maximum_lane"), "high-end"),
        (("de_escalation", "applies_to"), ["summary"]),
        (("verification", "default"), "model"),
        (("evidence", "parts"), PARTS[:10]),
        (("evidence", "prompt_evidence"), "full_text"),
    ],
)
def test_the_policy_cannot_be_loosened(at: Place, value: Any) -> None:
    assert is_valid(POLICY, shipped(POLICY))
    assert not is_valid(POLICY, changed_at(shipped(POLICY), at, value))


def test_lanes_have_the_limits_and_rights_that_the_document_states() -> None:
    lanes = shipped(POLICY)["lanes"]
    limits = [each["context_tokens_max"] for each in lanes]
    assert limits == [None, 8192, 65536, 131072, 200000, 400000]
    assert [" ".join(each["tool_rights"]) for each in lanes] == [
        "read test",
        "read",
        "read",
        "read write",
        "read write execute",
        "read write execute network",
    ]


@pytest.mark.req("SP-6")
def test_the_purposes_lead_to_the_laptop_safe_profile_and_the_better_one_stands_behind_it() -> None:
    document = shipped(BINDINGS)
    bindings = {each["urn"]: each for each in document["bindings"]}
    starts = {name: bindings[urn] for name, urn in document["purpose_defaults"].items()}
    assert {name: start["profile"] for name, start in starts.items()} == dict.fromkeys(
        ("router", "triage", "summarization"), SMALL
    )
    assert {start["kind"] for start in starts.values()} == {"base_local_profile"}
    assert [each["urn"] for each in document["profiles"] if each["laptop_safe"]] == [SMALL]
    better = next(each for each in bindings.values() if each.get("profile") == BETTER)
    assert better["kind"] == "local_quality_fallback"
    assert bindings[better["fallback_for"]]["profile"] == SMALL
    assert {each["source"] for each in document["profiles"]} == {
        "SourceOS-Linux/sourceos-model-carry"
    }


@pytest.mark.parametrize("missing", ["consent_ref", "governance_contract_ref"])
@pytest.mark.req("SP-7")
def test_a_personal_artifact_needs_consent_and_the_ledgers_contract(missing: str) -> None:
    bindings = shipped(BINDINGS)["bindings"]
    index = [each["kind"] for each in bindings].index("personalization_artifact")
    at: Place = ("bindings", index, missing)
    assert not is_valid(BINDINGS, without(shipped(BINDINGS), at))
    for empty in ("", None, "yes"):
        assert not is_valid(BINDINGS, changed_at(shipped(BINDINGS), at, empty))


def test_a_hosted_fallback_needs_a_policy_approval() -> None:
    bindings = shipped(BINDINGS)["bindings"]
    at: Place = (
        "bindings",
        [each["kind"] for each in bindings].index("hosted_fallback"),
        "policy_approval",
    )
    assert not is_valid(BINDINGS, without(shipped(BINDINGS), at))
    for waived in (("required", False), ("on_missing", "allow")):
        assert not is_valid(BINDINGS, changed_at(shipped(BINDINGS), (*at, waived[0]), waived[1]))


def test_no_local_binding_lets_a_prompt_leave() -> None:
    for index, binding in enumerate(shipped(BINDINGS)["bindings"]):
        at: Place = ("bindings", index, "prompt_egress")
        wanted = "grant_required" if binding["kind"] == "hosted_fallback" else "deny"
        for egress in ("deny", "grant_required", "allow"):
            good = is_valid(BINDINGS, changed_at(shipped(BINDINGS), at, egress))
            assert good is (egress == wanted)


def test_the_optimiser_checks_ten_constraints_in_their_order() -> None:
    assert [each["name"] for each in shipped(OPTIMIZER)["constraints"]] == CONSTRAINTS
    constraints = shipped(OPTIMIZER)["constraints"]
    for wrong in (constraints[::-1], constraints[:9], [*constraints, constraints[0]]):
        assert not is_valid(OPTIMIZER, {**shipped(OPTIMIZER), "constraints": wrong})


@pytest.mark.parametrize(
    ("at", "value"),
    [
        (("evaluated_before_route",), False),
        (("unknown_premium_quota",), "allow"),
        (("on_budget_exhausted",), "overrun"),
        (("required_signals", 1, "on_missing"), "assume"),
        (("constraints", 4, "reads"), []),
        (("quality_floors", 0, "evaluation_pass_ratio_min"), 1.01),
        (("latency_ceilings_ms", "pro"), 0),
        (("local_profiles", 1, "load_ratio_max"), 1.01),
        (("local_profiles", 1, "profile"), SMALL),
    ],
)
def test_the_optimiser_cannot_be_loosened(at: Place, value: Any) -> None:
    assert is_valid(OPTIMIZER, shipped(OPTIMIZER))
    assert not is_valid(OPTIMIZER, changed_at(shipped(OPTIMIZER), at, value))


def test_a_spent_budget_denies_or_downgrades() -> None:
    for choice in ("deny", "downgrade"):
        assert is_valid(OPTIMIZER, {**shipped(OPTIMIZER), "on_budget_exhausted": choice})


def test_the_three_documents_agree() -> None:
    bindings, policy, optimizer = shipped(BINDINGS), shipped(POLICY), shipped(OPTIMIZER)
    assert optimizer["routing_policy"] == policy["id"]
    floors = [each["task_class"] for each in optimizer["quality_floors"]]
    assert floors == [each["name"] for each in policy["task_classes"]]
    needs = {
        each["profile"]: each["resource_requirements"]
        for each in bindings["bindings"]
        if "resource_requirements" in each
    }
    assert needs == {
        SMALL: {"free_memory_mb_min": 2000},
        BETTER: {"free_memory_mb_min": 6000, "load_ratio_max": 0.8},
    }
    assert needs == {
        each["profile"]: {key: each[key] for key in each if key.endswith(("_min", "_max"))}
        for each in optimizer["local_profiles"]
    }
    assert schema(EVIDENCE)["$defs"]["constraint"]["enum"] == CONSTRAINTS
    assert set(policy["evidence"]["parts"]) <= set(schema(EVIDENCE)["required"])
