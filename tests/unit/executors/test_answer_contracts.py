"""The named contracts, and what they refuse."""

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from pointwork.executors.json_contracts import (
    AnswerContract,
    check_contract,
    check_schema,
    contract_schema,
)

PLAN: dict[str, Any] = {"steps": ["Close the quay."], "files": [], "risks": [], "confidence": 0.8}
VERDICT: dict[str, Any] = {"verdict": "fail", "evidence": ["run-7"], "reasons": ["A test fails."]}
CRITIC: dict[str, Any] = {
    "risks": ["late"],
    "contradictions": [],
    "missing_requirements": [],
    "guardrail_conflicts": [],
}
CITED: dict[str, Any] = {"answer": "Closed [doc-1].", "citations": ["doc-1"]}
GOOD: dict[str, dict[str, Any]] = {
    "plan": PLAN,
    "verdict": VERDICT,
    "critic": CRITIC,
    "judgement": {"verdict": "pass", "reasons": ["It compiles."]},
    "cited-answer": CITED,
}


def without(answer: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in answer.items() if key != name}


@pytest.mark.parametrize("name", AnswerContract)
def test_each_contract_is_a_json_schema_that_takes_its_own_answer(name: str) -> None:
    Draft202012Validator.check_schema(contract_schema(name))
    assert check_contract(name, json.dumps(GOOD[name])).passed


@pytest.mark.parametrize("name", AnswerContract)
def test_every_member_is_required_and_no_other_is_allowed(name: str) -> None:
    for member in GOOD[name]:
        assert not check_contract(name, json.dumps(without(GOOD[name], member))).passed
    assert not check_contract(name, json.dumps(GOOD[name] | {"more": []})).passed


@pytest.mark.parametrize(
    ("name", "answer", "place"),
    [
        ("plan", PLAN | {"confidence": 1.01}, "properties/confidence/maximum"),
        ("plan", PLAN | {"confidence": -0.01}, "properties/confidence/minimum"),
        ("plan", PLAN | {"confidence": "high"}, "properties/confidence/type"),
        ("plan", PLAN | {"steps": []}, "properties/steps/minItems"),
        ("verdict", VERDICT | {"evidence": []}, "properties/evidence/minItems"),
        ("verdict", VERDICT | {"verdict": "maybe"}, "properties/verdict/enum"),
        ("critic", CRITIC | {"rewrite": "canary"}, "additionalProperties"),
        ("critic", CRITIC | {"risks": "canary"}, "properties/risks/type"),
        ("cited-answer", CITED | {"citations": []}, "properties/citations/minItems"),
    ],
)
def test_what_a_contract_forbids_is_refused_by_place_and_never_quoted(
    name: str, answer: dict[str, Any], place: str
) -> None:
    result = check_contract(name, json.dumps(answer))
    assert (result.passed, result.check, result.detail) == (False, "json_schema", place)


@pytest.mark.parametrize("confidence", [0, 1, 0.0, 1.0])
def test_both_ends_of_the_confidence_are_allowed(confidence: float) -> None:
    assert check_contract("plan", json.dumps(PLAN | {"confidence": confidence})).passed


@pytest.mark.parametrize(
    "text",
    [
        "Here is the plan you asked for.",
        f"```json\n{json.dumps(PLAN)}\n```",
        json.dumps(PLAN)[:-1],
        json.dumps(PLAN).replace("0.8", "NaN"),
        json.dumps(PLAN).replace('{"steps"', '{"risks": ["another"], "steps"'),
        "",
    ],
)
def test_prose_and_doubtful_json_are_no_answer_for_automation(text: str) -> None:
    result = check_contract("plan", text)
    assert (result.passed, result.check) == (False, "json")


def test_an_unknown_contract_is_refused_with_those_there_are() -> None:
    with pytest.raises(
        ValueError, match=r"'sonnet' is none of plan, verdict, critic, judgement, cited-answer"
    ):
        contract_schema("sonnet")


def test_a_callers_change_of_a_schema_changes_nobody_elses() -> None:
    contract_schema("plan").clear()
    assert contract_schema("plan")["required"] == ["steps", "files", "risks", "confidence"]


def test_the_callers_own_schema_is_checked_the_same_way() -> None:
    assert check_schema('{"a": 1}', {"required": ["a"]}).passed
    assert check_schema('{"a": 1}', {"required": ["b"]}).detail == "required"
