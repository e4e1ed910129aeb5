"""A rule for personal data: how it is written, where to look at all, and when to believe it."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from pointwork.contract.task import DataClass


@dataclass(frozen=True, slots=True)
class ShapeRule:
    """``pattern``'s group ``value``, or the whole match, is the finding if ``check`` agrees."""

    kind: str
    pattern: re.Pattern[str]
    hints: tuple[str, ...] = ()
    """Lower-case strings of which one must occur; empty where any digit will do."""
    check: Callable[[re.Match[str]], bool] | None = None
    data_class: DataClass = DataClass.PERSONAL
    in_any_case: bool = False
    """``pattern`` is in lower case and read against the lower-cased text: ignoring case while
    matching would cost the search for the first letter, which is most of the speed."""


def shape_rule(
    kind: str,
    pattern: str,
    *hints: str,
    check: Callable[[re.Match[str]], bool] | None = None,
    data_class: DataClass = DataClass.PERSONAL,
    in_any_case: bool = False,
) -> ShapeRule:
    return ShapeRule(kind, re.compile(pattern), hints, check, data_class, in_any_case)
