"""A difference of two versions of the rules is whole, in words, and always in the same order."""

from typing import Any

import pytest

from pointwork.contract.canonical import canonical_json
from pointwork.policy.bundle import PolicyBundle
from pointwork.policy.documents.catalogue import Endpoint, HostProfile, Model
from pointwork.policy.documents.pack import Pack
from pointwork.policy.documents.routes import TaskClass
from pointwork.policy.reading.difference import difference, signed_usd
from pointwork.policy.reading.rules_listed import GROUP_OF_FIELD, Group, rules_of
from tests.fakes.policy_facts import changed, shipped

PACKS = ("omega", "codex", "juggernaut", "socioprophet")


def sentences(before: PolicyBundle, after: PolicyBundle) -> list[str]:
    return [each.sentence for each in difference(before, after)]


def omega(**fields: Any) -> PolicyBundle:
    """Omega with fields of the pack replaced."""
    return changed(shipped(), pack=fields)


def with_class(name: str, **fields: Any) -> PolicyBundle:
    classes = shipped().pack.model_dump()["classes"]
    classes[name] = classes[name] | fields
    return omega(classes=classes)


def with_rule(threshold: int, *, trigger: str = "long_text", and_marked: str = "") -> PolicyBundle:
    when: dict[str, Any] = {"measure": "context_tokens", "above": threshold}
    if and_marked:
        when = {"all_of": [when, {"mark": and_marked}]}
    rule = {"trigger": trigger, "kind": "escalation", "when": when, "rungs": [["gemini_class"]]}
    return with_class("high_stakes_logic", routes=[rule])


@pytest.mark.parametrize("pack", PACKS)
def test_a_bundle_does_not_differ_from_itself_read_back(pack: str) -> None:
    bundle = shipped(pack)
    again = PolicyBundle.model_validate_json(canonical_json(bundle))
    assert again.sha256 == bundle.sha256
    assert difference(bundle, again) == ()


def test_every_field_of_a_pack_has_a_group() -> None:
    assert set(GROUP_OF_FIELD) == set(Pack.model_fields)


@pytest.mark.parametrize("pack", PACKS)
def test_the_difference_of_two_packs_is_the_same_whatever_the_order_of_their_keys(
    pack: str,
) -> None:
    before, after = shipped("omega"), shipped(pack, "rtx5090")
    again = [PolicyBundle.model_validate_json(canonical_json(each)) for each in (before, after)]
    assert difference(before, after) == difference(*again)
    assert difference(before, after)


@pytest.mark.parametrize("pack", PACKS)
def test_every_value_of_a_model_and_of_its_host_is_listed(pack: str) -> None:
    listing = rules_of(shipped(pack, "rtx5090"))
    named = {path[1] for group, path in listing.rules if group is Group.MODELS}
    wanted = {*Model.model_fields, *Endpoint.model_fields} - {"price", "capabilities"}
    set_somewhere = {
        field
        for priced in shipped(pack, "rtx5090").models.values()
        for part in (priced.model, priced.endpoint)
        for field in type(part).model_fields
        if getattr(part, field) not in (None, ())
    }
    assert wanted & set_somewhere <= named
    host = {path[0] for group, path in listing.rules if group is Group.HOST}
    assert host <= set(HostProfile.model_fields)


def test_a_threshold_is_told_with_both_its_bounds() -> None:
    assert sentences(with_rule(400), with_rule(500)) == [
        "high_stakes_logic: long_text, context_tokens now above 500, was above 400"
    ]


def test_a_threshold_under_the_name_of_its_measure_is_told_once() -> None:
    before, after = (with_rule(each, trigger="context_tokens") for each in (400, 500))
    assert sentences(before, after) == [
        "high_stakes_logic: context_tokens now above 500, was above 400"
    ]


def test_a_condition_of_another_shape_is_told_whole_and_not_threshold_by_threshold() -> None:
    assert sentences(with_rule(400), with_rule(500, and_marked="bulk")) == [
        "high_stakes_logic: long_text holds while now context_tokens above 500 and marked bulk, "
        "was context_tokens above 400"
    ]


def test_a_new_rule_is_one_change_with_all_it_says() -> None:
    assert sentences(shipped(), with_rule(400)) == [
        "rule long_text of high_stakes_logic added: while context_tokens above 400: gemini_class "
        "(escalation)"
    ]
    assert sentences(with_rule(400), shipped()) == ["rule long_text of high_stakes_logic removed"]


def test_a_new_class_is_one_change_with_its_route_and_ceiling() -> None:
    pack = shipped().pack.model_dump()
    classes = pack["classes"] | {"blue_team": pack["classes"]["red_team"]}
    ceilings = pack["ceilings"] | {"blue_team": pack["ceilings"]["red_team"]}
    after = omega(classes=classes, ceilings=ceilings)
    assert sentences(shipped(), after) == [
        "class blue_team added: served by grok_class, then gpt_class or claude_class; "
        "at most $0.4000 a task"
    ]
    assert sentences(after, shipped()) == ["class blue_team removed"]


def test_a_default_route_in_another_order_is_told_as_it_goes() -> None:
    after = with_class("high_stakes_logic", rungs=[["claude_class"], ["gpt_class"]])
    assert sentences(shipped(), after) == [
        "high_stakes_logic: default route now claude_class, then gpt_class; "
        "was gpt_class, then claude_class or gemini_class"
    ]


def test_amounts_are_told_in_usd_with_their_delta() -> None:
    pack = shipped().pack.model_dump()
    ceilings = pack["ceilings"]
    ceilings["high_stakes_logic"] = ceilings["high_stakes_logic"] | {"gpt_class": 600_000_000}
    budgets = [
        {"scope": "pack", "period": "day", "limit": 15_000_000_000},
        {"scope": "caller", "period": "day", "limit": 1_000_000_000},
    ]
    found = difference(shipped(), omega(ceilings=ceilings, budgets=budgets))
    assert [(each.group, each.sentence) for each in found] == [
        (Group.CEILINGS, "high_stakes_logic: gpt_class now $0.6000, was $0.5000 (+$0.1000)"),
        (Group.BUDGETS, "budget caller a day added: $1.0000"),
        (Group.BUDGETS, "budget pack a week removed"),
        (Group.BUDGETS, "pack a day: limit now $15.0000, was $20.0000 (-$5.0000)"),
    ]


@pytest.mark.parametrize(
    ("delta", "told"), [(1, "+$0.000000001"), (-1, "-$0.000000001"), (0, "$0.0000")]
)
def test_a_delta_has_its_sign(delta: int, told: str) -> None:
    assert signed_usd(delta) == told


def test_models_of_a_family_are_added_removed_and_reordered_in_words() -> None:
    families = shipped().pack.model_dump()["families"]
    listed = ["gpt-5.1", "gpt-5.4-mini"]
    with_two, turned, with_one = (
        omega(families=families | {"gpt_class": families["gpt_class"] | {"models": models}})
        for models in (listed, listed[::-1], listed[:1])
    )
    assert sentences(with_two, turned) == [
        "gpt_class: models: reordered, now gpt-5.4-mini, gpt-5.1; was gpt-5.1, gpt-5.4-mini"
    ]
    assert sentences(with_two, with_one) == ["gpt_class: models: removed gpt-5.4-mini"]
    assert sentences(with_one, with_two) == ["gpt_class: models: added gpt-5.4-mini"]


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("redact_before_egress", False, "redact_before_egress now no, was yes"),
        ("egress_default", "allow", "egress_default now allow, was after_classification"),
        ("sensitive", "tier_only", "sensitive now tier_only, was house_or_approved"),
        ("hosted_needs_approval", True, "hosted_needs_approval now yes, was no"),
        (
            "approved_private_models",
            [{"model": "gpt-5.1", "approver": "ada", "approved_on": "2026-03-01"}],
            "approved private models: added gpt-5.1 (by ada on 2026-03-01)",
        ),
    ],
)
def test_a_privacy_switch_is_marked(field: str, value: object, told: str) -> None:
    (found,) = difference(
        shipped(), omega(privacy=shipped().pack.privacy.model_dump() | {field: value})
    )
    assert (found.group, found.sentence, found.is_privacy) == (Group.PRIVACY, told, True)


def test_what_else_decides_where_text_goes_is_marked_too() -> None:
    marks = shipped().pack.local_marks
    (mark,) = difference(shipped(), omega(local_marks=marks[1:]))
    assert (mark.sentence, mark.is_privacy) == ("local_marks: removed batch", True)
    moved = changed(shipped(), models={"gpt-5.1": {"residency": ("EU",)}})
    assert all(each.is_privacy for each in difference(shipped(), moved))
    assert sentences(shipped(), moved) == [
        "gpt-5.1: residency: added EU",
        "gpt-5.1: residency: removed US",
    ]
    (floor,) = difference(shipped(), omega(callers={"hr": {"sensitivity_floor": "sensitive"}}))
    assert (floor.sentence, floor.is_privacy) == ("caller hr added", True)


def test_a_switch_that_is_no_matter_of_privacy_is_not_marked() -> None:
    (found,) = difference(shipped(), omega(hard_stop=False))
    assert (found.group, found.sentence) == (Group.BUDGETS, "hard_stop now no, was yes")
    assert not found.is_privacy


def test_a_price_is_told_a_million_tokens() -> None:
    tier = shipped().models["gpt-5.1"].tiers[0]
    dearer = tier.model_copy(update={"output_per_mtok": tier.output_per_mtok + 500_000_000})
    after = changed(shipped(), models={"gpt-5.1": {"tiers": (dearer,)}})
    (found,) = sentences(shipped(), after)
    assert found.startswith("gpt-5.1: output a million tokens now $")
    assert found.endswith(" (+$0.5000)")


@pytest.mark.parametrize("other", PACKS[1:])
@pytest.mark.parametrize("field", Pack.model_fields)
def test_no_field_of_a_pack_changes_in_silence(field: str, other: str) -> None:
    before = shipped()
    pack = before.pack.model_copy(update={field: getattr(shipped(other).pack, field)})
    after = before.model_copy(update={"pack": pack})
    assert bool(difference(before, after)) == (before.pack_sha256 != after.pack_sha256)


@pytest.mark.parametrize("field", TaskClass.model_fields)
def test_no_field_of_a_class_changes_in_silence(field: str) -> None:
    rows = [row for pack in PACKS for row in shipped(pack).pack.classes.values()]
    for row in rows:
        before = shipped()
        old = before.pack.classes["red_team"]
        classes = before.pack.classes | {
            "red_team": old.model_copy(update={field: getattr(row, field)})
        }
        pack = before.pack.model_copy(update={"classes": classes})
        after = before.model_copy(update={"pack": pack})
        assert bool(difference(before, after)) == (before.pack_sha256 != after.pack_sha256)
