"""What changed between two versions of the rules, in words. Pure; the order never varies."""

from collections.abc import Iterator
from dataclasses import dataclass

from pointwork.contract.money import format_usd
from pointwork.policy.bundle import PolicyBundle
from pointwork.policy.reading.rules_listed import Group, Key, Listing, Rule, Value, rules_of

_ORDER = {group: number for number, group in enumerate(Group)}


@dataclass(frozen=True)
class RuleChange:
    """One changed rule."""

    group: Group
    sentence: str
    is_privacy: bool
    """Whether it bears on where content may go or what is kept of it."""


def difference(before: PolicyBundle, after: PolicyBundle) -> tuple[RuleChange, ...]:
    """Every rule in which the bundles differ, group by group, each group by name.

    Packs, models with their prices, and host profiles are compared field by field; the bundles
    are the same where nothing is returned. A class, family, budget or model that only one of them
    has is one change.
    """
    old, new = rules_of(before), rules_of(after)
    found = [*_entries(old, new), *_rules(old, new)]
    found.sort(key=lambda each: (_ORDER[each[0][0]], each[0][1], each[1].sentence))
    return tuple(change for _, change in found)


def _entries(old: Listing, new: Listing) -> list[tuple[Key, RuleChange]]:
    found: list[tuple[Key, RuleChange]] = []
    for name in old.entries.keys() ^ new.entries.keys():
        is_new = name in new.entries
        group, words, is_privacy = (new if is_new else old).entries[name]
        if _owner(name) in old.entries.keys() ^ new.entries.keys():
            continue  # the class it belongs to is one change already
        told = f": {words}" if words and is_new else ""
        sentence = f"{name} {'added' if is_new else 'removed'}{told}"
        # An entry stands before the changes within the others.
        found.append(((group, ("", name)), RuleChange(group, sentence, is_privacy)))
    return found


def _owner(name: str) -> str:
    """The class of a rule of a class; no other entry stands within an entry."""
    return f"class {name.rpartition(' of ')[2]}" if name.startswith("rule ") else ""


def _rules(old: Listing, new: Listing) -> list[tuple[Key, RuleChange]]:
    gone = old.entries.keys() ^ new.entries.keys()
    changed = {
        key
        for key in old.rules.keys() | new.rules.keys()
        if (rule := new.rules.get(key) or old.rules[key]).entry not in gone
        and _owner(rule.entry) not in gone
        and _value(old, key) != _value(new, key)
    }
    found: list[tuple[Key, RuleChange]] = []
    for key in changed:
        before, after = old.rules.get(key), new.rules.get(key)
        either = after or before
        if either is None or either.under in changed:
            continue
        group, path = key
        name = f"{path[0]}: {' '.join(path[1:])}" if len(path) > 1 else path[0]
        found += [
            (key, RuleChange(group, sentence, either.is_privacy))
            for sentence in _sentences(name, before, after)
        ]
    return found


def _value(listing: Listing, key: Key) -> Value | None:
    rule = listing.rules.get(key)
    return rule.value if rule else None


def _sentences(name: str, before: Rule | None, after: Rule | None) -> list[str]:
    if before is None or after is None:
        return [*_set_or_unset(name, before, after)]
    if isinstance(before.value, tuple) and isinstance(after.value, tuple):
        return _listed(name, before.value, after.value, is_order=after.is_order)
    if isinstance(before.value, int) and isinstance(after.value, int):
        delta = signed_usd(after.value - before.value)
        was = f"{format_usd(after.value)}, was {format_usd(before.value)}"
        return [f"{name} now {was} ({delta})"]
    return [_changed(name, _shown(before), _shown(after))]


def _changed(name: str, before: str, after: str) -> str:
    between = "; was" if ", " in after else ", was"
    return f"{name} now {after}{between} {before}"


def _set_or_unset(name: str, before: Rule | None, after: Rule | None) -> Iterator[str]:
    for rule, listed, told in (
        (after, "added", "now {}, was not set"),
        (before, "removed", "no longer set, was {}"),
    ):
        if rule is not None and not rule.is_order:
            is_list = isinstance(rule.value, tuple)
            yield (
                f"{name}: {listed} {_shown(rule)}"
                if is_list
                else (f"{name} {told.format(_shown(rule))}")
            )


def _listed(
    name: str, before: tuple[str, ...], after: tuple[str, ...], *, is_order: bool
) -> list[str]:
    """What came, what went, and whether what stayed stands in another order."""
    sentences = []
    stayed = [each for each in before if each in after]
    if not is_order:
        if came := [each for each in after if each not in before]:
            sentences.append(f"{name}: added {', '.join(came)}")
        if went := [each for each in before if each not in after]:
            sentences.append(f"{name}: removed {', '.join(went)}")
    if stayed != [each for each in after if each in before]:
        sentences.append(f"{name}: reordered, now {', '.join(after)}; was {', '.join(before)}")
    if not sentences and not is_order:
        sentences.append(_changed(name, ", ".join(before), ", ".join(after)))
    return sentences


def _shown(rule: Rule) -> str:
    match rule.shown or rule.value:
        case int() as amount:
            return format_usd(amount)
        case tuple() as values:
            return ", ".join(values) or "none"
        case words:
            return words


def signed_usd(delta_nano_usd: int) -> str:
    """``+$0.1000`` or ``-$0.1000``; no sign for nothing."""
    sign = "+" if delta_nano_usd > 0 else "-" if delta_nano_usd < 0 else ""
    return f"{sign}{format_usd(abs(delta_nano_usd))}"
