"""Conditions and routes in words: the same in `explain` and in a difference of two packs."""

from collections.abc import Iterable

from pointwork.policy.documents.conditions import Condition
from pointwork.policy.documents.routes import PlainRung, RouteRule, Rung, families_of

_BOUNDS = (
    ("above", "above"),
    ("at_least", "at least"),
    ("below", "below"),
    ("at_most", "at most"),
)


def bound_words(condition: Condition) -> str:
    """``above 400``; empty where the condition is not about a measure."""
    found = ((words, getattr(condition, name)) for name, words in _BOUNDS)
    return next((f"{words} {value}" for words, value in found if value is not None), "")


def condition_words(condition: Condition, *, with_bounds: bool = True) -> str:
    """``files above 400 or high-risk``; without its bounds two thresholds of one rule are alike."""
    for parts, word in ((condition.any_of, " or "), (condition.all_of, " and ")):
        if parts:
            return word.join(_inner(each, with_bounds=with_bounds) for each in parts)
    if condition.none_of:
        named = (_inner(each, with_bounds=with_bounds) for each in condition.none_of)
        return f"none of {', '.join(named)}"
    if condition.measure:
        return f"{condition.measure} {bound_words(condition)}" if with_bounds else condition.measure
    if condition.mark:
        return f"marked {condition.mark}"
    if condition.high_risk:
        return "high-risk"
    if condition.stage:
        return f"in stage {condition.stage}"
    return f"complexity {condition.complexity}"


def _inner(condition: Condition, *, with_bounds: bool) -> str:
    words = condition_words(condition, with_bounds=with_bounds)
    return f"({words})" if condition.any_of or condition.all_of or condition.none_of else words


def thresholds(condition: Condition) -> Iterable[tuple[str, str]]:
    """Each measure the condition bounds, with its bound, in the condition's own order."""
    if condition.measure:
        yield condition.measure, bound_words(condition)
    for each in (*condition.any_of, *condition.all_of, *condition.none_of):
        yield from thresholds(each)


def rung_words(rung: PlainRung | Rung) -> str:
    words = " or ".join(families_of(rung))
    if not isinstance(rung, Rung):
        return words
    opens = " (on an outage only)" if rung.opens_on == "outage" else ""
    return f"{words}{opens}{f' [{rung.trigger}]' if rung.trigger else ''}"


def rungs_words(rungs: Iterable[PlainRung | Rung]) -> str:
    return ", then ".join(rung_words(each) for each in rungs)


def rule_words(rule: RouteRule) -> str:
    """The whole rule as a sentence's tail: when it holds, and who serves then."""
    ranks = f", ranked by {rule.factor}" if rule.factor else ""
    return f"while {condition_words(rule.when)}: {rungs_words(rule.rungs)} ({rule.kind}{ranks})"
