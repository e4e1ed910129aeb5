"""Whether an answer may be shown as it is written: the class says so, and nothing comes after."""

from typing import Any

import pytest

from pointwork.contract.decision import Effect, Plan
from pointwork.contract.task import Sensitivity
from pointwork.policy.bundle import PolicyBundle
from pointwork.policy.decide import decide
from tests.fakes.policy_facts import Situation, changed, shipped

CLASS = "creative_synthesis"
JUDGED = {"judge": {"families": ["gpt_class"], "on_fail": "hold"}}


def with_row(**fields: Any) -> PolicyBundle:
    bundle = shipped("omega")
    rows = {each: row.model_dump() for each, row in bundle.pack.classes.items()}
    rows[CLASS] |= fields
    return changed(bundle, pack={"classes": rows})


def plan(bundle: PolicyBundle, **facts: Any) -> Plan:
    values = {"task_class": CLASS, "sensitivity": Sensitivity.PUBLIC} | facts
    found = decide(Situation(**values).facts(bundle), bundle)
    assert found.effect is Effect.RUN
    return found


@pytest.mark.req("JG-42")
def test_a_class_that_says_so_lets_its_text_be_shown_as_it_is_written() -> None:
    assert plan(with_row()).tokens_stream
    assert not plan(with_row(tokens_stream=False)).tokens_stream


@pytest.mark.req("JG-42")
@pytest.mark.parametrize("name", [*shipped("juggernaut").pack.classes])
def test_every_policy_of_juggernaut_streams(name: str) -> None:
    bundle = shipped("juggernaut")
    facts = Situation(task_class=name, sensitivity=Sensitivity.PUBLIC).facts(bundle)
    assert decide(facts, bundle).tokens_stream


@pytest.mark.parametrize(
    "row",
    [
        {"contract": "plan"},
        {"parallel": 2},
        {"critic": {"families": ["gpt_class"]}},
        JUDGED,
        {"self_critique": True},
    ],
    ids=lambda row: next(iter(row)),
)
def test_whatever_comes_after_the_model_keeps_its_text_back(row: dict[str, Any]) -> None:
    assert not plan(with_row(**row)).tokens_stream


def test_a_judge_that_is_owed_and_missing_keeps_the_text_back() -> None:
    missing = {"judge": {"families": ["local_open"], "on_fail": "hold"}}
    assert not plan(with_row(**missing)).tokens_stream


@pytest.mark.parametrize(
    ("mark", "is_shown"), [((), True), (("user_requested_second_opinion",), False)]
)
def test_a_second_opinion_keeps_the_text_back_until_it_is_given(
    mark: tuple[str, ...], is_shown: bool
) -> None:
    bundle = shipped("codex")
    rows = {each: row.model_dump() for each, row in bundle.pack.classes.items()}
    rows["architect"] |= {"tokens_stream": True, "contract": None}
    opened = changed(bundle, pack={"classes": rows})
    found = plan(opened, task_class="architect", marks=mark)
    assert (found.adviser is None, found.tokens_stream) == (is_shown, is_shown)


def test_an_answer_that_must_satisfy_a_schema_is_not_shown_before_it_does() -> None:
    assert not plan(with_row(), answer_schema=True).tokens_stream
