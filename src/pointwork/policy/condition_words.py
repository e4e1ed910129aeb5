"""Conditions in words, each bound with the unit its pack declares."""

from collections.abc import Mapping

from pointwork.policy.conditions import Condition
from pointwork.policy.pack import Pack

_BOUNDS = (
    ("above", "above"),
    ("at_least", "at least"),
    ("below", "below"),
    ("at_most", "at most"),
)


def units_of(pack: Pack) -> dict[str, str]:
    """Unit of every measure the pack declares."""
    return {name: rule.unit for name, rule in pack.facts.measures.items()} if pack.facts else {}


def in_words(condition: Condition, units: Mapping[str, str]) -> str:
    """``files above 400 lines or the task is high-risk``."""
    for parts, word in ((condition.any_of, " or "), (condition.all_of, " and ")):
        if parts:
            return word.join(_inner(each, units) for each in parts)
    if condition.none_of:
        return (
            f"none of these holds: {', '.join(_inner(each, units) for each in condition.none_of)}"
        )
    if condition.measure:
        bound, value = next(
            (words, value)
            for name, words in _BOUNDS
            if (value := getattr(condition, name)) is not None
        )
        return " ".join(
            (condition.measure, bound, str(value), units.get(condition.measure, ""))
        ).strip()
    if condition.mark:
        return f"{condition.mark} is marked"
    if condition.high_risk:
        return "the task is high-risk"
    if condition.stage:
        return f"the stage is {condition.stage}"
    return f"the complexity is {condition.complexity}"


def _inner(condition: Condition, units: Mapping[str, str]) -> str:
    words = in_words(condition, units)
    return f"({words})" if condition.any_of or condition.all_of or condition.none_of else words
