"""A bundle's rules one by one, each under the name people know it by: what a difference compares.

Every field of the pack, of each model and of the host is in the list, so that no change is silent.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any

from pydantic import BaseModel

from pointwork.contract.decision import Site
from pointwork.contract.money import format_usd
from pointwork.policy.bundle import PolicyBundle
from pointwork.policy.documents.catalogue import PricedModel
from pointwork.policy.documents.conditions import Condition
from pointwork.policy.documents.pack import BudgetLimit, Pack
from pointwork.policy.documents.routes import RouteRule, TaskClass
from pointwork.policy.reading.route_words import (
    condition_words,
    rule_words,
    rungs_words,
    thresholds,
)


class Group(StrEnum):
    """In the order in which people are shown them."""

    HEADER = "header"
    CLASSES = "classes"
    ROUTES = "routes"
    FAMILIES = "families"
    CEILINGS = "ceilings"
    BUDGETS = "budgets"
    PRIVACY = "privacy"
    GUARDS = "guards"
    LANES = "lanes"
    STAGES = "stages"
    SIGNALS = "signals"
    FLAGS = "flags"
    FACTS = "facts"
    OTHER = "other rules"
    MODELS = "models and prices"
    HOST = "host"


_FIELDS_OF_GROUP: dict[Group, tuple[str, ...]] = {
    Group.HEADER: (
        *("schema_version", "pack", "version", "effective", "supersedes", "objectives", "change"),
        *("timezone", "mode", "created", "updated", "status", "changelog", "derived"),
    ),
    Group.CLASSES: ("classes", "task_types"),
    Group.ROUTES: (
        *("rank", "mark_routes", "local_marks", "high_volume_items", "large_context_tokens"),
        *("large_context_family", "local_family", "downgrade_classes", "adviser_families"),
        *("offline_mark", "high_risk_marks", "on_quality_failure"),
    ),
    Group.FAMILIES: ("families",),
    Group.CEILINGS: ("ceilings", "ceiling_near_ratio", "on_ceiling", "likely_output"),
    Group.BUDGETS: ("budgets", "hard_stop", "on_budget"),
    Group.PRIVACY: ("privacy", "callers", "prompt_evidence", "cache"),
    Group.GUARDS: (
        *("approvals", "retry", "deadline_seconds", "vendors_min", "frontier_guard", "holds_for"),
        *("policy_change", "release_required", "verification", "metrics_feedback"),
        "guarded_tools",
    ),
    Group.LANES: ("lanes", "lane_floors", "escalation_reasons"),
    Group.STAGES: ("stages", "pipeline"),
    Group.SIGNALS: ("required_signals", "overlay"),
    Group.FLAGS: ("flags",),
    Group.FACTS: ("facts", "high_risk_groups"),
    Group.OTHER: ("spec", "responsibilities", "batch", "balance_min"),
}
GROUP_OF_FIELD = {name: group for group, names in _FIELDS_OF_GROUP.items() for name in names}

_OWN_GROUP = {"rungs": Group.ROUTES, "second_opinion": Group.ROUTES, "review_when": Group.ROUTES}
"""Fields of a class that are shown apart from its other fields."""
_PRIVACY_FIELDS = frozenset(
    {*_FIELDS_OF_GROUP[Group.PRIVACY], "local_marks", "offline_mark", "holds_for", "local_family"}
)
_PRIVACY_NAMES = frozenset(
    {"site", "residency", "adapter", "base_url", "endpoint", "cloud_only", "cloud_if_high_risk"}
)
"""Where content goes, whichever group the rule stands in."""
_AMOUNTS = frozenset({"limit", "pause_expensive_from", "ceiling"})
_PRICES = {
    "input_per_mtok": "input a million tokens",
    "output_per_mtok": "output a million tokens",
    "cached_input_per_mtok": "cached input a million tokens",
    "cache_write_per_mtok": "cache write a million tokens",
}
_ENTRIES = {
    "families": "family",
    "lanes": "lane",
    "stages": "stage",
    "flags": "flag",
    "callers": "caller",
    "high_risk_groups": "high-risk group",
}

Value = str | int | tuple[str, ...]
"""Words, an amount in nano-USD, or a list."""
Path = tuple[str, ...]
Key = tuple[Group, Path]


@dataclass(frozen=True)
class Rule:
    """One rule. Two are the same when ``value`` is."""

    value: Value
    is_privacy: bool = False
    shown: str | None = None
    """What a person reads instead of ``value``."""
    entry: str = ""
    """The class, family, budget or model it belongs to, as ``class implementer``."""
    under: Key | None = None
    """The rule that says it all where that one changed too."""
    is_order: bool = False
    """The list is only about which goes before which."""


@dataclass
class Listing:
    """Every rule by group and path, and every named entry with what it is in a few words."""

    rules: dict[Key, Rule] = field(default_factory=dict)
    entries: dict[str, tuple[Group, str, bool]] = field(default_factory=dict)

    def put(self, group: Group, path: Path, rule: Rule) -> None:
        while (group, path) in self.rules:
            path = (*path[:-1], f"{path[-1]} (another)")
        self.rules[group, path] = rule


def rules_of(bundle: PolicyBundle) -> Listing:
    """Every rule of the bundle."""
    found = Listing()
    for name in Pack.model_fields:
        _pack_field(found, bundle.pack, name)
    for name, priced in bundle.models.items():
        _model(found, name, priced)
    for path, value in _flat(bundle.host):
        found.put(Group.HOST, path, Rule(value))
    return found


def _pack_field(found: Listing, pack: Pack, name: str) -> None:
    group, value = GROUP_OF_FIELD[name], getattr(pack, name)
    if name in _OF_THEIR_OWN:
        _OF_THEIR_OWN[name](found, pack)
    elif name in _ENTRIES:
        for each, entry in value.items():
            _entry(found, group, name, each, entry)
    else:
        # The header's sentences are known by their own names: what, why, affects.
        prefix = () if name == "change" else (name,)
        for path, part in _flat(value, prefix, name):
            found.put(group, path, Rule(part, name in _PRIVACY_FIELDS))


def _classes(found: Listing, pack: Pack) -> None:
    for name, row in pack.classes.items():
        _class(found, name, row, pack.ceilings.get(name, {}))


def _ceilings(found: Listing, pack: Pack) -> None:
    for task_class, cells in pack.ceilings.items():
        for family, amount in cells.items():
            rule = Rule(amount, entry=f"class {task_class}")
            found.put(Group.CEILINGS, (task_class, family), rule)


def _privacy(found: Listing, pack: Pack) -> None:
    privacy = pack.privacy
    for part in type(privacy).model_fields:
        if part != "approved_private_models":
            for path, value in _flat(getattr(privacy, part), (part,), part):
                found.put(Group.PRIVACY, path, Rule(value, is_privacy=True))
    approved = tuple(
        f"{each.model} (by {each.approver} on {each.approved_on})"
        for each in privacy.approved_private_models
    )
    if approved:
        found.put(Group.PRIVACY, ("approved private models",), Rule(approved, is_privacy=True))


def _floors(found: Listing, pack: Pack) -> None:
    for number, floor in enumerate(pack.lane_floors, start=1):
        name = f"floor {number}"
        found.put(Group.LANES, (name, "reason"), Rule(floor.reason))
        found.put(Group.LANES, (name, "lane"), Rule(floor.lane.value))
        _condition(found, Group.LANES, (name, "when"), floor.when, "")


def _budgets(found: Listing, pack: Pack) -> None:
    for budget in pack.budgets:
        _budget(found, budget)


_OF_THEIR_OWN: dict[str, Callable[[Listing, Pack], None]] = {
    "classes": _classes,
    "ceilings": _ceilings,
    "budgets": _budgets,
    "lane_floors": _floors,
    "privacy": _privacy,
}


def _entry(found: Listing, group: Group, name: str, key: str, value: BaseModel) -> None:
    entry, private = f"{_ENTRIES[name]} {key}", name in _PRIVACY_FIELDS
    found.entries[entry] = (group, _few_words(value), private)
    for part in type(value).model_fields:
        inner = getattr(value, part)
        if isinstance(inner, Condition):
            _condition(found, group, (key, part), inner, entry)
            continue
        for path, each in _flat(inner, (key, part), part):
            is_private = private or part in _PRIVACY_NAMES
            found.put(group, path, Rule(each, is_private, entry=entry))


def _few_words(value: BaseModel) -> str:
    models = getattr(value, "models", ())
    if isinstance(models, tuple) and models:
        return f"models {', '.join(models)}"
    lane = getattr(value, "lane", None)
    return f"lane {lane}" if lane else ""


def _class(found: Listing, name: str, row: TaskClass, cells: Mapping[str, int]) -> None:
    entry = f"class {name}"
    most = format_usd(max((*cells.values(), row.ceiling or 0)))
    words = f"served by {rungs_words(row.rungs)}; at most {most} a task"
    found.entries[entry] = (Group.CLASSES, words, False)
    route = Rule(rungs_words(row.rungs), entry=entry)
    found.put(Group.ROUTES, (name, "default route"), route)
    order = tuple(rule.trigger for rule in row.routes)
    found.put(Group.ROUTES, (name, "rules"), Rule(order, entry=entry, is_order=True))
    for rule in row.routes:
        _route(found, name, rule)
    for part in type(row).model_fields:
        value = getattr(row, part)
        if part in ("rungs", "routes") or value is None:
            continue
        if isinstance(value, Condition):
            _condition(found, _OWN_GROUP[part], (name, part), value, entry)
        elif part == "ceiling":
            found.put(Group.CEILINGS, (name, "any family"), Rule(value, entry=entry))
        else:
            for path, each in _flat(value, (name, part), part):
                rule_ = Rule(each, part in _PRIVACY_NAMES, entry=entry)
                found.put(Group.CLASSES, path, rule_)


def _route(found: Listing, name: str, rule: RouteRule) -> None:
    entry = f"rule {rule.trigger} of {name}"
    found.entries[entry] = (Group.ROUTES, rule_words(rule), False)
    _condition(found, Group.ROUTES, (name, rule.trigger), rule.when, entry)
    parts = {
        "goes to": rungs_words(rule.rungs),
        "is of kind": rule.kind.value,
        "ranks by": rule.factor,
    }
    for words, value in parts.items():
        if value is not None:
            found.put(Group.ROUTES, (name, f"{rule.trigger} {words}"), Rule(value, entry=entry))


def _condition(found: Listing, group: Group, path: Path, condition: Condition, entry: str) -> None:
    """What the condition looks at as one rule, and each of its thresholds as a rule of its own."""
    whole = (group, (*path[:-1], f"{path[-1]} holds while"))
    words = condition_words(condition)
    shape = condition_words(condition, with_bounds=False)
    found.put(*whole, Rule(shape, shown=words, entry=entry))
    for measure, bound in thresholds(condition):
        name = measure if measure == path[-1] else f"{path[-1]}, {measure}"
        found.put(group, (*path[:-1], name), Rule(bound, entry=entry, under=whole))


def _budget(found: Listing, budget: BudgetLimit) -> None:
    name = f"{budget.scope} a {budget.period}"
    entry = f"budget {name}"
    found.entries[entry] = (Group.BUDGETS, format_usd(budget.limit), False)
    for path, value in _flat(budget, (name,)):
        if path[-1] not in ("scope", "period"):
            found.put(Group.BUDGETS, path, Rule(value, entry=entry))


def _model(found: Listing, name: str, priced: PricedModel) -> None:
    entry = f"model {name}"
    model, endpoint = priced.model, priced.endpoint
    cost = "without a price"
    if priced.tiers:
        first = priced.tiers[0]
        cost = (
            f"{format_usd(first.input_per_mtok)} in and {format_usd(first.output_per_mtok)} out "
            "a million tokens"
        )
    words = f"{model.vendor}, {endpoint.site.replace('_', ' ')}, {cost}"
    outside = endpoint.site is not Site.LOCAL
    found.entries[entry] = (Group.MODELS, words, outside)
    values: dict[str, Any] = {part: getattr(model, part) for part in type(model).model_fields}
    source = values.pop("price")
    if source is not None:
        values["price"] = source.model_dump(exclude={"tiers"})
    values |= {part: getattr(endpoint, part) for part in type(endpoint).model_fields}
    values["price_version"] = priced.price_version
    for part, value in values.items():
        for path, each in _flat(value, (name, part), part):
            rule = Rule(each, part in _PRIVACY_NAMES, entry=entry)
            found.put(Group.MODELS, path, rule)
    for tier in priced.tiers:
        since = f" from {tier.from_input_tokens} tokens on" if tier.from_input_tokens else ""
        for part, words in _PRICES.items():
            rule = Rule(getattr(tier, part), entry=entry)
            found.put(Group.MODELS, (name, f"{words}{since}"), rule)


def _flat(value: Any, path: Path = (), name: str = "") -> Iterator[tuple[Path, Value]]:
    """Each value under ``value`` with its path. What is not set has none."""
    match value:
        case None | ():
            return
        case BaseModel():
            parts = type(value).model_fields
            found = [
                one for part in parts for one in _flat(getattr(value, part), (*path, part), part)
            ]
            # A part that is there and says nothing is not one that is missing: `facts` without
            # any mark refuses every mark.
            yield from found or [(path, "there and empty")]
        case Mapping():
            for key, each in value.items():
                yield from _flat(each, (*path, str(key)), name)
        case tuple() if any(isinstance(each, BaseModel) for each in value):
            for number, each in enumerate(value, start=1):
                yield from _flat(each, (*path, _called(each, number)))
        case _:
            yield path, _plain(value, name)


def _plain(value: Any, name: str) -> Value:
    match value:
        case bool():
            return "yes" if value else "no"
        case int() if name in _AMOUNTS:
            return value
        case tuple():
            return tuple(str(each) for each in value)
        case Decimal():
            return f"{value:f}"
        case _:
            return str(value)


def _called(value: BaseModel, number: int) -> str:
    """What an entry of a list is known by, else its place."""
    for part in ("model", "name", "role", "version"):
        if isinstance(name := getattr(value, part, None), str):
            return name
    return str(number)
