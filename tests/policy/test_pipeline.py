"""A pipeline has one owner a stage; whatever lets several models decide is refused, by GR-001."""

from typing import Any

import pytest
from pydantic import ValidationError

from pointwork.policy.documents.strict_yaml import PolicyError, parse_document
from pointwork.policy.specs.pipeline import Pipeline, PipelineStage
from tests.fakes.codex_rules import PIPELINE, pipeline


def stage(**changes: Any) -> dict[str, Any]:
    return {"name": "architect", "kind": "architect", "owner": "architect", **changes}


def refused(*stages: dict[str, Any], sidecars: tuple[dict[str, Any], ...] = ()) -> str:
    with pytest.raises(ValidationError) as caught:
        Pipeline.model_validate({"stages": stages, "sidecars": sidecars})
    return str(caught.value.errors()[0]["msg"])


def test_the_canonical_pipeline_is_stage_0_architect_implementer_judge() -> None:
    assert [each.kind for each in pipeline().stages] == [
        "stage0",
        "architect",
        "implementer",
        "judge",
    ]


@pytest.mark.req("CX-28")
@pytest.mark.parametrize("kind", ["debate", "vote", "swarm", "swarm_synthesis", "Voting"])
def test_debate_vote_and_swarm_are_refused(kind: str) -> None:
    message = refused(stage(kind=kind))
    assert kind in message
    assert "GR-001" in message
    assert "one owner" in message


@pytest.mark.req("CX-29")
@pytest.mark.parametrize("kind", ["merge", "consensus", "committee_merge", "consensus_synthesis"])
def test_committee_merges_and_consensus_steps_are_refused(kind: str) -> None:
    assert "GR-001" in refused(stage(kind=kind))
    assert "GR-001" in refused(
        stage(), sidecars=({"kind": kind, "stage": "architect", "owner": "judge"},)
    )


@pytest.mark.req("CX-28", "CX-29")
@pytest.mark.parametrize("kind", ["debate", "vote", "swarm", "merge", "consensus"])
def test_a_document_with_such_a_step_is_refused_with_its_line(kind: str) -> None:
    text = f"stages:\n  - name: architect\n    kind: {kind}\n    owner: architect\n"
    with pytest.raises(PolicyError, match=r"flow\.yaml: line 3: stages\.0\.kind: .*GR-001"):
        parse_document(text, Pipeline, name="flow.yaml")


@pytest.mark.parametrize("gate", ["agreement", "unanimous", "majority", "quorum", "all_agree"])
def test_a_gate_on_agreement_is_refused(gate: str) -> None:
    message = refused(stage(gates=[gate]))
    assert "GR-001" in message
    assert "compiler_and_tests" in message


@pytest.mark.req("CX-31")
@pytest.mark.parametrize("owner", ["synthesizer", "synthesiser", "Synthesizer-2"])
def test_a_synthesiser_of_several_models_is_refused(owner: str) -> None:
    both = ["architect", "implementer"]
    with pytest.raises(ValidationError, match=r"GR-001.*one of model_inputs"):
        PipelineStage(name="judge", kind="judge", owner=owner, model_inputs=tuple(both))
    assert PipelineStage(name="judge", kind="judge", owner=owner, model_inputs=("architect",))
    assert PipelineStage(name="judge", kind="judge", owner="judge", model_inputs=tuple(both))


def test_a_stage_has_one_owner_and_a_kind_one_stage() -> None:
    assert "GR-001" in refused(stage(owner=["architect", "judge"]))
    assert "GR-001" in refused(stage(), stage(name="second"))


def test_stages_stand_in_the_canonical_order() -> None:
    judge = {"name": "judge", "kind": "judge", "owner": "judge"}
    assert "out of order" in refused(judge, stage())


@pytest.mark.parametrize(
    ("sidecar", "says"),
    [
        ({"kind": "rewriter"}, "critic"),
        ({"kind": "critic", "stage": "tests"}, "no stage"),
        ({"kind": "critic", "triggers": ["user_request"]}, "triggers"),
        ({"kind": "second_opinion"}, "triggers"),
        ({"kind": "self_critique", "owner": "judge"}, "its owner's"),
        ({"kind": "critic", "rewrites": True}, "not permitted"),
    ],
)
def test_a_sidecar_is_one_of_three_and_advises(sidecar: dict[str, Any], says: str) -> None:
    assert says in refused(
        stage(), sidecars=({"stage": "architect", "owner": "architect", **sidecar},)
    )


def test_inputs_come_from_stages_before() -> None:
    assert "no stage before" in refused(stage(model_inputs=["judge"]))
    assert "two stages" in refused(
        stage(), {"name": "architect", "kind": "judge", "owner": "judge"}
    )


def test_a_pipeline_survives_being_stored() -> None:
    assert Pipeline.model_validate_json(pipeline().model_dump_json()) == pipeline()
    assert Pipeline.model_validate(PIPELINE) == pipeline()
