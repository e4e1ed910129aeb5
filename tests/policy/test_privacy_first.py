"""Packs that keep content at home: what a liar, an outage or a grant cannot change (rows 46 to 53).

``PRIVACY_FIRST`` are the packs in which silence about content lets nothing out.
"""

import random
from collections.abc import Iterator
from itertools import cycle, islice, product
from typing import Any

import pytest

from pointwork.contract.decision import DecisionInput, Effect, GrantKind, Plan, Site
from pointwork.contract.failures import ProviderFailureKind
from pointwork.contract.task import DataClass, Sensitivity
from pointwork.policy.bundle import PolicyBundle
from pointwork.policy.decide import decide
from tests.fakes.classified import PACKS, classified
from tests.fakes.liars import Says
from tests.fakes.policy_facts import Failed, Granted, Situation, changed, shipped
from tests.unit.privacy.canaries import CREDENTIALS, PERSONAL
from tests.unit.privacy.test_detect import harmless_lines

PRIVACY_FIRST = ("omega", "socioprophet")
EXAMPLES, TASKS, OUTAGES_MIN = 10_000, 500, 200
LEVELS = (None, *Sensitivity)
FLOORS = {f"floor-{level}": {"sensitivity_floor": level} for level in Sensitivity}
"""One caller for each floor; a caller that is not among them has none."""


def with_floors(pack: str) -> PolicyBundle:
    return changed(shipped(pack), pack={"callers": FLOORS})


def assert_stays(plan: Plan) -> None:
    asked = (*plan.candidates, *((plan.adviser,) if plan.adviser else ()))
    assert {each.site for each in asked} <= {Site.LOCAL}


def levels_given(situation: Situation) -> list[Sensitivity]:
    floor = FLOORS.get(situation.caller)
    given = [
        situation.sensitivity,
        situation.detected,
        situation.conversation,
        floor["sensitivity_floor"] if floor else None,
        *(each.sensitivity for each in situation.data_classes),
        *(each.sensitivity for each in situation.detected_data_classes),
    ]
    return [each for each in given if each is not None]


def any_situation(rng: random.Random, bundle: PolicyBundle) -> Situation:
    """Each of the five may be missing: declared, detected, floor, conversation, classes found."""
    return Situation(
        task_class=rng.choice((*bundle.pack.classes, None, "no_such_class")),
        sensitivity=rng.choice(LEVELS),
        data_classes=tuple(rng.sample(list(DataClass), rng.randint(0, 2))),
        detected=rng.choice(LEVELS),
        detected_data_classes=tuple(rng.sample(list(DataClass), rng.randint(0, 2))),
        conversation=rng.choice(LEVELS),
        caller=rng.choice((*FLOORS, "billing")),
    )


@pytest.mark.parametrize("pack", PACKS)
def test_the_plans_level_is_never_below_any_of_its_inputs_in_any_pack(pack: str) -> None:
    """Of every plan, the denials included: a quarter of the ten thousand in each pack."""
    rng, bundle = random.Random(f"46/{pack}"), with_floors(pack)
    for _ in range(EXAMPLES // len(PACKS)):
        situation = any_situation(rng, bundle)
        plan, given = decide(situation.facts(bundle), bundle), levels_given(situation)
        assert plan.sensitivity is Sensitivity.highest(*given)
        assert all(plan.sensitivity and plan.sensitivity.rank >= each.rank for each in given)


def lied_about() -> Iterator[tuple[str, dict[str, Any]]]:
    """Texts with a finding, called public by their caller; and texts nobody said anything of."""
    found = cycle(canary.text for canary in (*CREDENTIALS, *PERSONAL))
    silent = cycle(line for _, line in harmless_lines() if line.strip())
    while True:
        yield f"class: bulk. {next(found)}", {"sensitivity": Sensitivity.PUBLIC}
        yield next(silent), {}


@pytest.mark.req("OM-46")
@pytest.mark.parametrize("pack", PRIVACY_FIRST)
def test_a_classifier_that_calls_everything_public_and_bulk_sends_nothing_out(pack: str) -> None:
    bundle = shipped(pack)
    says = cycle((*bundle.pack.classes, *(["bulk_generation"] if pack == "omega" else [])))
    ran = 0
    for text, declared in islice(lied_about(), TASKS):
        request, found = classified(text, Says(next(says)), pack=pack, **declared)
        assert declared == {} or found.detected_data_classes
        snapshot = Situation().facts(bundle).snapshot
        given = DecisionInput(request=request, classification=found, snapshot=snapshot)
        plan = decide(given, bundle)
        assert_stays(plan)
        ran += plan.effect is Effect.RUN
    assert ran > 0, "nothing could have left, because nothing ran"


LOCAL_FAILS: list[dict[str, Any]] = [
    {"down": ("local-gpu",)},
    {"limited_seconds": {"local-gpu": 60}},
    {"without_keys": ("local-gpu",)},
    {"without_signals": ("local-gpu",)},
    {"resources": None},
    *({"failed": (Failed(model="smollm2-135m", kind=kind),)} for kind in ProviderFailureKind),
    {"failed": (Failed(model="smollm2-135m"),)},
    {"failed": (Failed(model="smollm2-135m"), Failed(model="smollm2-135m"))},
]
"""Down, over its capacity, out of room, and every way to fail or to refuse an answer."""
SENSITIVE: list[dict[str, Any]] = [
    {"sensitivity": Sensitivity.SENSITIVE},
    {"sensitivity": Sensitivity.PUBLIC, "detected_data_classes": (DataClass.PERSONAL,)},
    {"sensitivity": Sensitivity.RESTRICTED},
    {},
]


def test_no_outage_of_the_local_model_sends_sensitive_work_out_of_any_privacy_first_pack() -> None:
    """It waits, asks or ends; the last entry is content that nobody has declared."""
    tried, held = 0, set()
    for pack in PRIVACY_FIRST:
        bundle = shipped(pack)
        for task_class, content, outage in product(bundle.pack.classes, SENSITIVE, LOCAL_FAILS):
            plan = decide(
                Situation(task_class=task_class, **content, **outage).facts(bundle), bundle
            )
            assert_stays(plan)
            tried += 1
            held.add((pack, plan.hold_for))
    assert tried >= OUTAGES_MIN
    assert ("omega", GrantKind.SENSITIVE_EGRESS) in held
    assert ("omega", GrantKind.DATA_CLASSIFICATION) in held


def test_the_same_outages_do_send_public_work_out() -> None:
    """Else the test above would prove nothing of privacy."""
    bundle = shipped()
    plan = decide(
        Situation(
            task_class="summarisation_formatting",
            sensitivity=Sensitivity.PUBLIC,
            justification="The board decides on it.",
            down=("local-gpu",),
        ).facts(bundle),
        bundle,
    )
    assert {each.site for each in plan.candidates} == {Site.PUBLIC_API}


@pytest.mark.parametrize("pack", PACKS)
@pytest.mark.parametrize("level", list(Sensitivity))
def test_no_grant_of_a_person_lowers_what_the_content_is(pack: str, level: Sensitivity) -> None:
    """An approval opens a way for one task; nothing on record ever calls it less careful."""
    bundle = shipped(pack)
    every = tuple(Granted(kind=kind, ceiling=1_000_000_000) for kind in GrantKind)
    for task_class in bundle.pack.classes:
        situation = Situation(task_class=task_class, detected=level)
        plain = decide(situation.facts(bundle), bundle)
        granted = decide(situation.model_copy(update={"grants": every}).facts(bundle), bundle)
        assert plain.sensitivity is granted.sensitivity is level
