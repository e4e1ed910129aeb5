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


def shape_rule(
    kind: str,
    pattern: str,
    *hints: str,
    check: Callable[[re.Match[str]], bool] | None = None,
    data_class: DataClass = DataClass.PERSONAL,
    flags: re.RegexFlag = re.NOFLAG,
) -> ShapeRule:
    return ShapeRule(kind, re.compile(pattern, flags), hints, check, data_class)
