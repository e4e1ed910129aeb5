"""What automation may read: JSON that satisfies a named contract, or nothing (CX-91, SP-39)."""

import json
from enum import StrEnum
from functools import cache
from importlib import resources
from typing import Any, Literal

from jsonschema import Draft202012Validator

from pointwork.contract.outcome import CheckResult, RemarkCount
from pointwork.contract.prompt import AnswerSchema

_PLACE_CHARACTERS_MAX = 200
_REMARKS: tuple[
    Literal["risks", "contradictions", "missing_requirements", "guardrail_conflicts"], ...
] = ("risks", "contradictions", "missing_requirements", "guardrail_conflicts")


class AnswerContract(StrEnum):
    """The contracts that ship with the package, each a JSON Schema in ``answers/``."""

    PLAN = "plan"
    """The Architect's plan.json, with its confidence (CX-16)."""
    VERDICT = "verdict"
    """The Judge's, which must cite evidence (CX-20)."""
    CRITIC = "critic"
    """Four lists and nothing else: a critic comments and never rewrites (CX-32)."""
    JUDGEMENT = "judgement"
    """Whether an answer passes, and why: a judge's, in the course of the task it judges (CX-36)."""
    CITED_ANSWER = "cited-answer"
    """Grounded synthesis (CX-21); that its citations are real is ``check_citations``' to say."""


def contract_schema(name: str) -> AnswerSchema:
    """The JSON Schema of the contract ``name``; the caller may change what it gets.

    Raises:
        ValueError: there is no such contract; the text lists them.
    """
    if name not in set(AnswerContract):
        msg = f"answer contract {name!r} is none of {', '.join(AnswerContract)}; choose one of them"
        raise ValueError(msg)
    schema: AnswerSchema = json.loads(_schema_text(name))
    return schema


def check_contract(name: str, text: str) -> CheckResult:
    """Whether ``text`` is JSON that satisfies the contract ``name``.

    Raises:
        ValueError: there is no such contract.
    """
    result = check_schema(text, contract_schema(name))
    if not result.passed or name not in (AnswerContract.CRITIC, AnswerContract.JUDGEMENT):
        return result
    said = json.loads(text)
    if name == AnswerContract.JUDGEMENT:
        return result.model_copy(update={"verdict": said["verdict"]})
    counts = tuple(RemarkCount(kind=kind, count=len(said[kind])) for kind in _REMARKS)
    return result.model_copy(update={"remarks": counts})


def check_schema(text: str, schema: AnswerSchema) -> CheckResult:
    """Whether ``text`` is JSON that satisfies ``schema``. The detail names a place, no value."""
    try:
        value = json.loads(text, object_pairs_hook=_members, parse_constant=_refuse)
        error = next(iter(Draft202012Validator(schema).iter_errors(value)), None)
    except ValueError:
        return CheckResult(passed=False, check="json", detail="the answer is not JSON")
    except RecursionError:
        return CheckResult(passed=False, check="json", detail="the answer is nested too deeply")
    if error is None:
        return CheckResult(passed=True, check="json_schema")
    place = "/".join(str(part) for part in error.absolute_schema_path)
    return CheckResult(passed=False, check="json_schema", detail=place[:_PLACE_CHARACTERS_MAX])


@cache
def _schema_text(name: str) -> str:
    file = resources.files("pointwork.executors") / "answers" / f"{name}.schema.json"
    return file.read_text(encoding="utf-8")


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A name given twice is refused: two readers could each take another of the values."""
    members = dict(pairs)
    if len(members) != len(pairs):
        msg = "a name is given twice"
        raise ValueError(msg)
    return members


def _refuse(constant: str) -> float:
    msg = f"{constant} is not JSON"
    raise ValueError(msg)
