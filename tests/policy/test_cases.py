"""Every file under policies/cases decides as its name says."""

from pathlib import Path
from typing import Self

import pytest
from pydantic import Field, model_validator

from pointwork.contract.decision import (
    Effect,
    GrantKind,
    Obligation,
    Plan,
    ReasonCode,
    Trigger,
)
from pointwork.contract.task import Name
from pointwork.policy.bundle import PolicyBundle
from pointwork.policy.decide import decide
from pointwork.policy.document import Document
from pointwork.policy.strict_yaml import read_document
from tests.fakes.policy_facts import (
    POLICIES,
    Situation,
    approved_private,
    changed,
    chosen,
    free,
    reasons,
    shipped,
)

CASES = sorted((POLICIES / "cases").glob("*/*.yaml"))


class World(Document):
    """How the catalogue differs from the shipped one."""

    free: tuple[Name, ...] = ()
    unpriced: tuple[Name, ...] = ()
    approved_private: tuple[Name, ...] = ()

    def of(self, bundle: PolicyBundle) -> PolicyBundle:
        bundle = free(bundle, *self.free)
        bundle = changed(bundle, models={name: {"tiers": ()} for name in self.unpriced})
        return approved_private(bundle, *self.approved_private)


class Expected(Document):
    effect: Effect
    first: Name | None = None
    trigger: Trigger | None = None
    obligations: tuple[Obligation, ...] | None = None
    reason: ReasonCode | None = None
    hold_for: GrantKind | None = None
    refused: dict[Name, ReasonCode] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _says_enough(self) -> Self:
        runs = self.effect is Effect.RUN
        if (self.first is None) == runs or (self.reason is None) != runs:
            msg = "give `first` where the task runs and `reason` where it does not"
            raise ValueError(msg)
        if (self.hold_for is None) == (self.effect is Effect.HOLD):
            msg = "give `hold_for` where the task is held, and only there"
            raise ValueError(msg)
        return self

    def shown_by(self, plan: Plan) -> "Expected":
        """The same statement about ``plan``, so that a comparison shows every difference."""
        first = plan.candidates[0] if plan.candidates else None
        refused = reasons(plan)
        return Expected(
            effect=plan.effect,
            first=first.model if first else None,
            trigger=first.trigger if first and self.trigger else None,
            obligations=None if self.obligations is None else tuple(sorted(plan.obligations)),
            reason=plan.reason,
            hold_for=plan.hold_for,
            refused={name: refused[name] for name in self.refused if name in refused},
        )

    @property
    def in_order(self) -> "Expected":
        listed = self.obligations
        return self.model_copy(update={"obligations": listed and tuple(sorted(listed))})


class Case(Document):
    given: Situation
    world: World = World()
    expect: Expected


@pytest.mark.parametrize("path", CASES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_case_decides_as_its_name_says(path: Path) -> None:
    case = read_document(path, Case)
    bundle = case.world.of(shipped(path.parent.name))
    plan = decide(case.given.facts(bundle), bundle)
    assert case.expect.shown_by(plan) == case.expect.in_order
    assert not set(chosen(plan)) & set(reasons(plan))


def test_the_cases_cover_every_class_and_every_effect() -> None:
    cases = [read_document(path, Case) for path in CASES]
    assert {case.given.task_class for case in cases} >= set(shipped().pack.classes)
    assert {case.expect.effect for case in cases} == set(Effect)
    assert {case.expect.hold_for for case in cases} >= set(GrantKind)


def test_every_reason_a_model_is_refused_for_stands_in_some_decision_of_the_cases() -> None:
    shown: set[ReasonCode] = set()
    for path in CASES:
        case = read_document(path, Case)
        bundle = case.world.of(shipped(path.parent.name))
        shown |= set(reasons(decide(case.given.facts(bundle), bundle)).values())
    elsewhere = {
        ReasonCode.CANDIDATES_EXHAUSTED,  # of a plan, never of a model
        ReasonCode.CLASS_NOT_IN_PACK,
        ReasonCode.NOT_ON_HOST,
        ReasonCode.PRIVACY_TIER,
        ReasonCode.NO_CANDIDATE,
        ReasonCode.NOT_REQUESTED,
    }
    assert set(ReasonCode) - shown - elsewhere == set()
