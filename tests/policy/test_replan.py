"""Recorded decisions made again under other rules, and what of it is a matter of privacy."""

from typing import Any

import pytest

from pointwork.contract.decision import ClassSource, Site
from pointwork.contract.task import Sensitivity
from pointwork.policy.bundle import PolicyBundle
from pointwork.policy.decide import decide
from pointwork.policy.reading.privacy_change import PrivacyKind
from pointwork.policy.reading.replan import Decided, Replan, Route, as_read_by, replan
from tests.fakes.policy_facts import Situation, changed, shipped

PUBLIC = Sensitivity.PUBLIC
BULK = Situation(task_class="bulk_generation", sensitivity=PUBLIC)
HARD = Situation(task_class="high_stakes_logic", sensitivity=PUBLIC)
UNDECLARED = Situation(task_class="high_stakes_logic")


def decided(
    situation: Situation,
    bundle: PolicyBundle,
    task_id: str = "task-1",
    rules: PolicyBundle | None = None,
) -> Decided:
    given = situation.facts(bundle)
    return Decided(task_id, given, decide(given, bundle), rules or bundle)


def with_class(name: str, **fields: Any) -> PolicyBundle:
    """Omega with one class changed, and every family's ceiling high enough for it."""
    pack = shipped().pack.model_dump()
    pack["classes"][name] |= fields
    pack["ceilings"][name] = {family: 10**9 for family in pack["families"]}
    return changed(shipped(), pack=pack)


def with_privacy(**fields: Any) -> PolicyBundle:
    privacy = shipped().pack.privacy.model_dump() | fields
    return changed(shipped(), pack={"privacy": privacy})


def under(new: PolicyBundle, *situations: Situation, old: PolicyBundle | None = None) -> Replan:
    before = old or shipped()
    return replan([decided(s, before, f"task-{n}") for n, s in enumerate(situations)], new)


def privacy(found: Replan) -> list[tuple[str, bool, str]]:
    return [(each.kind.value, each.crosses, each.sentence) for each in found.privacy]


CLOUD_BULK = with_class("bulk_generation", rungs=[["gpt_class"]])


def test_under_the_same_rules_nothing_changes() -> None:
    found = under(shipped(), BULK, HARD, UNDECLARED)
    assert (found.decisions, found.effect_changes, found.first_changes) == (3, 0, 0)
    assert (found.order_changes, found.routes, found.privacy) == (0, (), ())
    assert (found.delta_nano_usd, found.rules_unknown, found.assumed) == (0, 0, ())


def test_changed_routes_are_counted_by_class_and_model_with_their_cost() -> None:
    after = with_class("high_stakes_logic", rungs=[["claude_class"], ["gpt_class"]])
    found = under(after, HARD, HARD, BULK)
    was, now = (decide(HARD.facts(shipped()), each).candidates[0] for each in (shipped(), after))
    delta = 2 * (now.estimate_nano_usd - was.estimate_nano_usd)
    assert found.routes == (
        Route("high_stakes_logic", "gpt-5.1", "claude-sonnet-5", tasks=2, delta_nano_usd=delta),
    )
    assert (found.effect_changes, found.first_changes, found.order_changes) == (0, 2, 0)
    assert found.delta_nano_usd == delta > 0


def test_another_order_behind_the_same_first_model_is_counted_apart() -> None:
    rungs = [["gpt_class", "gemini_class", "claude_class"]]
    cheaper_first = with_class("high_stakes_logic", rungs=rungs)
    found = under(cheaper_first, HARD)
    assert (found.first_changes, found.order_changes, found.routes) == (0, 1, ())


def test_another_price_of_the_same_route_is_in_the_cost() -> None:
    tier = shipped().models["gpt-5.1"].tiers[0]
    dear = tier.model_copy(update={"output_per_mtok": tier.output_per_mtok + 1_000_000_000})
    found = under(changed(shipped(), models={"gpt-5.1": {"tiers": (dear,)}}), HARD)
    (route,) = found.routes
    assert (route.before, route.after, found.first_changes) == ("gpt-5.1", "gpt-5.1", 0)
    assert found.delta_nano_usd == route.delta_nano_usd == 512_000


def test_a_task_that_would_be_held_or_denied_changes_its_effect() -> None:
    capped = shipped().pack.ceilings | {
        "high_stakes_logic": {f: 1 for f in shipped().pack.families}
    }
    found = under(changed(shipped(), pack={"ceilings": capped}), HARD)
    (route,) = found.routes
    assert (found.effect_changes, route.after) == (1, "held")
    assert route.delta_nano_usd < 0
    assert not found.crossings


def test_a_task_that_would_leave_the_house_crosses() -> None:
    found = under(CLOUD_BULK, BULK)
    assert privacy(found) == [
        ("leaves", True, "would go to deepseek-chat (public api); was smollm2-135m (local)")
    ]
    assert found.crossings == found.privacy


def test_a_task_that_could_leave_only_after_a_failure_crosses_too() -> None:
    after = with_class("bulk_generation", rungs=[["local_open"], ["gpt_class"]])
    told = (
        "could go on to deepseek-chat (public api) after a failure; could not leave so far before"
    )
    found = under(after, BULK)
    assert (found.first_changes, found.order_changes) == (0, 0)
    assert privacy(found) == [("may_leave", True, told)]


def test_what_was_open_after_a_failure_before_crosses_nothing() -> None:
    open_then = with_class("bulk_generation", rungs=[["local_open"], ["gpt_class"]])
    assert under(open_then, BULK, old=open_then).privacy == ()


@pytest.mark.parametrize(
    ("situation", "was"),
    [
        (UNDECLARED, "was held for data_classification"),
        (HARD.model_copy(update={"budget_left": 0}), "was held for budget"),
    ],
)
def test_a_task_that_went_nowhere_and_would_leave_crosses(situation: Situation, was: str) -> None:
    given = situation.facts(shipped())
    old = decide(given, shipped())
    open_rules = with_privacy(egress_default="allow", sensitive="tier_only")
    freed = Decided("t", HARD.facts(shipped()), old, shipped())
    (first, *_) = replan([freed], open_rules).privacy
    assert (first.kind, first.crosses) == (PrivacyKind.LEAVES, True)
    assert first.sentence.startswith("would go to gpt-5.1 (public api); ")
    assert was in first.sentence


def test_a_private_model_is_further_out_than_the_house_and_nearer_than_a_public_one() -> None:
    outside = [name for name, each in shipped().models.items() if each.endpoint.site != "local"]
    private = changed(CLOUD_BULK, models={name: {"site": Site.PRIVATE} for name in outside})
    assert under(private, BULK).crossings
    assert not under(shipped(), BULK, old=private).crossings
    assert under(CLOUD_BULK, BULK, old=private).crossings
    assert not under(private, BULK, old=CLOUD_BULK).crossings


@pytest.mark.parametrize(
    ("before", "after", "crosses", "told"),
    [
        (("EU",), ("US",), True, "would be processed in US; was EU"),
        (("EU", "US"), ("US",), False, "would be processed in US; was EU, US"),
        (("EU",), (), True, "would be processed in an unknown region; was EU"),
        ((), ("EU",), False, "would be processed in EU; was an unknown region"),
        (("EU",), ("EU",), False, None),
    ],
)
def test_a_task_crosses_where_it_would_leave_the_regions_it_was_in(
    before: tuple[str, ...], after: tuple[str, ...], crosses: bool, told: str | None
) -> None:
    names = shipped().models
    old, new = (
        changed(shipped(), models={name: {"residency": regions} for name in names})
        for regions in (before, after)
    )
    found = under(new, HARD, old=old)
    assert privacy(found) == ([] if told is None else [("residency", crosses, told)])


def test_regions_are_not_compared_where_the_old_rules_are_not_at_hand() -> None:
    moved = changed(shipped(), models={name: {"residency": ("EU",)} for name in shipped().models})
    given = HARD.facts(shipped())
    unknown = Decided("task-1", given, decide(given, shipped()), None)
    found = replan([unknown], moved)
    assert (found.rules_unknown, found.privacy) == (1, ())
    assert replan([unknown], CLOUD_BULK).rules_unknown == 1


def test_less_redaction_is_told_and_is_no_crossing() -> None:
    assert privacy(under(with_privacy(redact_before_egress=False), HARD)) == [
        ("redaction", False, "would leave with secrets alone redacted; was redacted whole")
    ]


def test_a_person_who_is_no_longer_asked_is_told_with_the_crossing_it_opens() -> None:
    found = under(with_privacy(egress_default="allow"), UNDECLARED)
    assert privacy(found) == [
        ("leaves", True, "would go to gpt-5.1 (public api); was held for data_classification"),
        (
            "approval",
            False,
            "would no longer wait for a person (data_classification); would be run",
        ),
    ]


def test_another_sensitivity_is_told() -> None:
    floored = changed(
        shipped(), pack={"callers": {"billing": {"sensitivity_floor": "proprietary"}}}
    )
    assert ("sensitivity", False, "would count as public; was proprietary") in privacy(
        under(shipped(), BULK, old=floored)
    )


def test_crossings_stand_first_and_name_every_task() -> None:
    found = under(CLOUD_BULK, BULK, HARD, BULK)
    assert [each.task_id for each in found.crossings] == ["task-0", "task-2"]


def test_an_endpoint_nobody_recorded_counts_as_keyed_so_that_no_crossing_hides() -> None:
    given = BULK.model_copy(update={"without_signals": ("openai",)}).facts(shipped())
    old = Decided("task-1", given, decide(given, shipped()), shipped())
    found = replan([old], CLOUD_BULK)
    assert found.assumed == ("endpoint openai",)
    assert [each.kind for each in found.crossings] == [PrivacyKind.LEAVES]


def test_a_signal_that_only_the_new_rules_require_is_assumed_and_named() -> None:
    given = BULK.model_copy(
        update={"quotas": None, "latencies": None, "resources": None, "guardrail": None}
    ).facts(shipped())
    required = ("budget", "quota", "resources", "latency", "provider_health", "guardrail")
    strict = changed(shipped(), pack={"required_signals": required})
    read, assumed = as_read_by(given, strict)
    assert assumed == {
        *("signal budget", "signal guardrail", "signal latency", "signal quota"),
        "signal resources",
    }
    assert decide(read, strict).effect == "run"
    assert as_read_by(given, shipped()) == (given, set())


def test_a_task_type_is_mapped_by_the_new_map() -> None:
    given = BULK.facts(shipped())
    request = given.request.model_copy(update={"task_class": None, "task_type": "format"})
    found = given.classification.model_copy(update={"class_source": ClassSource.MAPPED})
    mapped = given.model_copy(update={"request": request, "classification": found})
    types = shipped().pack.task_types | {"format": "creative_synthesis"}
    read, _ = as_read_by(mapped, changed(shipped(), pack={"task_types": types}))
    assert read.classification.task_class == "creative_synthesis"
