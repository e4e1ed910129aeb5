"""What a rule looks at: each test of a fact at, just below and just above, alone and combined."""

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from pointwork.contract.task import Complexity
from pointwork.policy.documents.conditions import Condition, met


@dataclass(frozen=True)
class Known:
    """The facts of one task."""

    marks: frozenset[str] = frozenset({"urgent"})
    is_high_risk: bool = False
    stage: str | None = "plan"
    complexity: Complexity | None = Complexity.HIGH
    measures: dict[str, Decimal] = field(default_factory=lambda: {"files": Decimal(12)})

    def measure(self, name: str) -> Decimal | None:
        return self.measures.get(name)


FILES = {"measure": "files"}
URGENT, CALM = {"mark": "urgent"}, {"mark": "calm"}


@pytest.mark.parametrize(
    ("condition", "evidence"),
    [
        (URGENT, ("urgent=true",)),
        (CALM, None),
        ({"high_risk": True}, None),
        ({"stage": "plan"}, ("stage=plan",)),
        ({"stage": "execute"}, None),
        ({"complexity": "high"}, ("complexity=high",)),
        ({"complexity": "low"}, None),
        ({**FILES, "above": 11}, ("files=12 above 11",)),
        ({**FILES, "above": 12}, None),
        ({**FILES, "at_least": 12}, ("files=12 at least 12",)),
        ({**FILES, "at_least": 13}, None),
        ({**FILES, "below": 13}, ("files=12 below 13",)),
        ({**FILES, "below": 12}, None),
        ({**FILES, "at_most": 12}, ("files=12 at most 12",)),
        ({**FILES, "at_most": 11}, None),
        ({**FILES, "at_most": 0}, None),
        ({"measure": "lines", "at_most": 12}, None),
        ({"any_of": [CALM, URGENT]}, ("urgent=true",)),
        ({"any_of": [URGENT, {"stage": "plan"}]}, ("urgent=true",)),
        ({"any_of": [CALM]}, None),
        ({"all_of": [URGENT, {"stage": "plan"}]}, ("urgent=true", "stage=plan")),
        ({"all_of": [URGENT, CALM]}, None),
        ({"none_of": [CALM]}, ()),
        ({"none_of": [CALM, URGENT]}, None),
        ({"all_of": [{"none_of": [CALM]}, URGENT]}, ("urgent=true",)),
        ({"any_of": [{"none_of": [CALM]}]}, ()),
    ],
    ids=str,
)
def test_a_condition_holds_with_its_evidence_or_not_at_all(
    condition: dict[str, Any], evidence: tuple[str, ...] | None
) -> None:
    assert met(Condition.model_validate(condition), Known()) == evidence


def test_high_risk_and_missing_facts_are_told_apart() -> None:
    risky = Condition(high_risk=True)
    assert met(risky, Known(is_high_risk=True)) == ("high_risk=true",)
    assert met(Condition(stage="plan"), Known(stage=None)) is None
    assert met(Condition(complexity=Complexity.HIGH), Known(complexity=None)) is None
    assert met(Condition(measure="files", at_most=Decimal(0)), Known(measures={})) is None


def test_a_condition_names_every_mark_and_measure_it_reads() -> None:
    condition = Condition.model_validate(
        {"all_of": [{"any_of": [URGENT, {**FILES, "above": 1}]}, {"none_of": [CALM]}]}
    )
    assert list(condition.names) == [("mark", "urgent"), ("measure", "files"), ("mark", "calm")]
    assert list(Condition(high_risk=True).names) == []


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {**URGENT, "high_risk": True},
        {**URGENT, "any_of": [CALM]},
        FILES,
        {**FILES, "above": 1, "below": 3},
        {**URGENT, "above": 1},
        {"any_of": [{}]},
        {**FILES, "above": 0.5},
    ],
    ids=str,
)
def test_a_condition_of_no_test_or_of_two_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Condition.model_validate(wrong)
