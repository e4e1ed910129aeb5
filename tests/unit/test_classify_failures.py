"""A classifier that fails or talks nonsense names no class, and a task without one runs nowhere."""

import logging
from typing import Any

import pytest
from temporalio.exceptions import CancelledError

from activities.classify import ClassInference
from pointwork.contract.decision import ClassSource, DecisionInput, Effect
from pointwork.contract.reasons import ReasonCode
from pointwork.contract.task import Sensitivity
from pointwork.policy.decide import decide
from tests.fakes.classified import PACKS, classified
from tests.fakes.liars import Raises, Says, SaysNothing
from tests.fakes.policy_facts import Situation, shipped

TEXT = "the heron canary asks ada@example.org what to do"
NO_CLASS: list[Any] = [
    *("", " ", "\n", "bulk_generation\n", "bulk generation", "bulk_generation, red_team"),
    *("bulk_generation;red_team", "bulk_generation\nred_team", "-bulk", "x" * 129, "bülk"),
    *('{"class": "bulk_generation"}', "\0", "bulk_generation\u200b"),
    *(["bulk_generation", "red_team"], ("bulk_generation",), {"a": 1}, None, 7, b"bulk_generation"),
]
NO_MARGIN: list[Any] = [float("nan"), float("inf"), "0.9", None, [0.9]]
ERRORS = [TimeoutError, OSError, RuntimeError, ValueError, ImportError, MemoryError, RecursionError]
FAILING: list[Any] = [
    SaysNothing(),
    *(Says(label) for label in NO_CLASS),
    *(Says("bulk_generation", margin) for margin in NO_MARGIN),
    *(Raises(error) for error in ERRORS),
]


@pytest.mark.req("OM-13")
@pytest.mark.parametrize("pack", PACKS)
@pytest.mark.parametrize("inference", FAILING)
def test_no_class_can_be_read_from_it_and_so_nothing_runs(
    inference: ClassInference, pack: str
) -> None:
    request, found = classified(TEXT, inference, pack=pack, sensitivity=Sensitivity.PUBLIC)
    assert (found.task_class, found.class_source) == (None, ClassSource.UNKNOWN)
    assert (found.suggested_class, found.margin) == (None, None)
    bundle = shipped(pack)
    snapshot = Situation().facts(bundle).snapshot
    plan = decide(DecisionInput(request=request, classification=found, snapshot=snapshot), bundle)
    assert (plan.effect, plan.reason) == (Effect.DENY, ReasonCode.CLASS_UNKNOWN)
    assert plan.candidates == ()
    # What the detectors found counts all the same.
    assert plan.sensitivity is Sensitivity.SENSITIVE


@pytest.mark.parametrize("pack", PACKS)
def test_a_class_that_the_pack_does_not_have_runs_nothing(pack: str) -> None:
    request, found = classified(TEXT, Says("no_such_class"), pack=pack)
    bundle = shipped(pack)
    snapshot = Situation().facts(bundle).snapshot
    plan = decide(DecisionInput(request=request, classification=found, snapshot=snapshot), bundle)
    assert (plan.effect, plan.reason) == (Effect.DENY, ReasonCode.CLASS_NOT_IN_PACK)


def test_a_classifier_that_is_not_sure_only_suggests() -> None:
    _, found = classified(TEXT, Says("bulk_generation", 0.01, is_confident=False))
    assert (found.task_class, found.suggested_class) == (None, "bulk_generation")


def test_a_declared_class_asks_no_classifier() -> None:
    _, found = classified(TEXT, Raises(TimeoutError), task_class="red_team")
    assert (found.task_class, found.class_source) == ("red_team", ClassSource.DECLARED)


def test_a_cancel_is_no_failure_of_the_classifier() -> None:
    with pytest.raises(CancelledError):
        classified(TEXT, Raises(CancelledError))


@pytest.mark.parametrize("error", ERRORS)
def test_the_log_names_the_failure_and_quotes_nothing(
    error: type[Exception], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    classified(TEXT, Raises(error))
    assert error.__name__ in caplog.text
    assert "canary" not in caplog.text
