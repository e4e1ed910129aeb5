"""One owner a stage unless a flag says otherwise; and then a disagreement is for a person."""

import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from pointwork.policy.specs.consensus import (
    AgentOutput,
    ConsensusFlags,
    ConsensusResult,
    DeprecationNotice,
    UnknownStageError,
    expected_agents_for_stage,
    run_spec_consensus,
)
from pointwork.policy.specs.pipeline import PipelineStage
from tests.fakes.codex_rules import pipeline
from workers.settings import SpecKit

DEFAULT = ConsensusFlags()
LEGACY = ConsensusFlags(consensus=True)
STAGES = [each.name for each in pipeline().stages]
POLICY = Path(__file__).parents[2] / "docs" / "MODEL-POLICY.md"


def answers(**digests: str) -> list[AgentOutput]:
    return [AgentOutput(agent, digest) for agent, digest in digests.items()]


@pytest.fixture
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SPEC_KIT_CONSENSUS", raising=False)
    monkeypatch.delenv("SPEC_KIT_CRITIC", raising=False)


@pytest.mark.req("CX-37")
@pytest.mark.usefixtures("unset")
def test_with_nothing_set_consensus_is_off_each_stage_has_one_agent_and_the_item_is_done() -> None:
    read = SpecKit()
    flags = ConsensusFlags(consensus=read.consensus, critic=read.critic)
    assert flags == ConsensusFlags(consensus=False, critic=False)
    assert all(len(expected_agents_for_stage(name, pipeline(), flags)) == 1 for name in STAGES)
    assert re.search(r"^\| GR001-001, P109 \| .*: done \|", POLICY.read_text(), re.MULTILINE)


def test_the_flags_are_read_by_their_own_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPEC_KIT_CONSENSUS", "true")
    monkeypatch.setenv("SPEC_KIT_CRITIC", "true")
    read = SpecKit()
    assert (read.consensus, read.critic) == (True, True)


def test_the_policy_lists_every_guardrail() -> None:
    listed = re.findall(r"^\| (GR-\d{3}) \|", POLICY.read_text(), re.MULTILINE)
    assert listed == [f"GR-{number:03}" for number in range(1, 14)]


@pytest.mark.req("CX-40")
@pytest.mark.parametrize("stage", pipeline().stages, ids=lambda stage: str(stage.name))
def test_each_stage_has_its_one_preferred_agent(stage: PipelineStage) -> None:
    assert expected_agents_for_stage(stage.name, pipeline(), DEFAULT) == (stage.owner,)


@pytest.mark.parametrize("name", STAGES)
def test_in_legacy_mode_the_owner_is_asked_first_and_others_after_it(name: str) -> None:
    owner, *others = expected_agents_for_stage(name, pipeline(), LEGACY)
    assert (owner,) == expected_agents_for_stage(name, pipeline(), DEFAULT)
    assert others


def test_a_stage_the_pipeline_has_not_is_refused_with_those_it_has() -> None:
    with pytest.raises(UnknownStageError, match=r"'vote'.*stage0, architect"):
        expected_agents_for_stage("vote", pipeline(), DEFAULT)


@pytest.mark.req("CX-41")
def test_without_the_flag_all_is_well_nothing_is_validated_and_no_model_is_called() -> None:
    calls: list[str] = []

    def call_models() -> Iterator[AgentOutput]:
        for agent in ("architect", "judge"):
            calls.append(agent)
            yield AgentOutput(agent, f"answer of {agent}")

    result = run_spec_consensus(DEFAULT, call_models(), DeprecationNotice())
    assert result == ConsensusResult(consensus_ok=True, is_validated=False)
    assert not calls


def test_agents_that_agree_are_validated() -> None:
    result = run_spec_consensus(LEGACY, answers(architect="a", judge="a"), DeprecationNotice())
    assert result == ConsensusResult(consensus_ok=True, is_validated=True)
    assert not result.needs_human


def test_a_disagreement_waits_for_a_person_and_offers_no_answer_of_its_own() -> None:
    result = run_spec_consensus(LEGACY, answers(architect="a", judge="b"), DeprecationNotice())
    assert result == ConsensusResult(consensus_ok=False, is_validated=True, disagreement=True)
    assert result.needs_human
    assert not {"answer", "output", "merged", "selected"} & set(vars(result))


@pytest.mark.parametrize("given", [[], answers(judge="a"), [AgentOutput("judge", "a")] * 2])
def test_too_few_answers_to_compare_wait_for_a_person(given: list[AgentOutput]) -> None:
    result = run_spec_consensus(LEGACY, given, DeprecationNotice())
    assert result == ConsensusResult(consensus_ok=False, is_validated=False)
    assert result.needs_human


@pytest.mark.req("CX-42")
def test_legacy_mode_warns_on_its_first_use_only(caplog: pytest.LogCaptureFixture) -> None:
    notice = DeprecationNotice()
    with caplog.at_level(logging.DEBUG):
        run_spec_consensus(DEFAULT, [], notice)
        assert not caplog.records
        for _ in range(2):
            run_spec_consensus(LEGACY, answers(architect="a", judge="a"), notice)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "not recommended" in record.getMessage()
