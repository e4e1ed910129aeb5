"""What would change a decision is found by deciding again, so every sentence is true."""

import pytest

from pointwork.contract.decision import DecisionRecord
from pointwork.contract.task import Sensitivity
from pointwork.policy.bundle import PolicyBundle
from pointwork.policy.decide import decide
from pointwork.policy.reading.remedies import remedies
from tests.fakes.policy_facts import NOW, Situation, shipped

CLOUD = ("openai", "anthropic", "google", "xai", "deepseek", "moonshot", "openrouter")


def decided(bundle: PolicyBundle, situation: Situation) -> DecisionRecord:
    facts = situation.facts(bundle)
    return DecisionRecord(
        decision_id="task-1/decision/1",
        task_id="task-1",
        input=facts,
        plan=decide(facts, bundle),
        decided_at=NOW,
    )


@pytest.fixture(scope="module")
def bundle() -> PolicyBundle:
    return shipped()


def test_a_task_that_runs_needs_no_change(bundle: PolicyBundle) -> None:
    record = decided(bundle, Situation(task_class="bulk_generation"))
    assert remedies(record, bundle) == [
        "Nothing needs to change: smollm2-135m is permitted and sufficient."
    ]


def test_a_missing_key_is_named_with_the_model_it_would_open(bundle: PolicyBundle) -> None:
    situation = Situation(
        task_class="high_stakes_logic", sensitivity=Sensitivity.PUBLIC, without_keys=CLOUD
    )
    assert remedies(decided(bundle, situation), bundle) == [
        "A key in ANTHROPIC_API_KEY: claude-sonnet-5 would answer.",
        "A key in GOOGLE_API_KEY: gemini-3.1-pro would answer.",
        "A key in OPENAI_API_KEY: gpt-5.1 would answer.",
    ]


def test_two_changes_are_named_together_where_one_is_not_enough(bundle: PolicyBundle) -> None:
    situation = Situation(task_class="high_stakes_logic", without_keys=CLOUD)
    told = remedies(decided(bundle, situation), bundle)
    assert "A key in OPENAI_API_KEY, and public declared with --sensitivity: " in told[-1]


def test_a_held_task_names_the_approval_and_the_declaration(bundle: PolicyBundle) -> None:
    told = remedies(decided(bundle, Situation(task_class="high_stakes_logic")), bundle)
    assert told[0].startswith("A person's approval (data_classification)")
    assert "public declared with --sensitivity: gpt-5.1 would answer." in told


def test_restricted_content_of_a_cloud_class_has_no_remedy_outside_the_house(
    bundle: PolicyBundle,
) -> None:
    situation = Situation(
        task_class="perception_multimodal", sensitivity=Sensitivity.RESTRICTED, image=True
    )
    assert remedies(decided(bundle, situation), bundle) == [
        "No key, declaration or limit would change it; only another policy would."
    ]


def test_an_unknown_class_lists_those_there_are(bundle: PolicyBundle) -> None:
    (told,) = remedies(decided(bundle, Situation()), bundle)
    assert "--class" in told
    assert "red_team" in told
