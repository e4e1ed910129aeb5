"""Numbers within a tolerance: in JSON, and as an answer that is one number with its unit."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from itertools import combinations
from typing import Any

from pointwork.contract.branches import NumberTolerance

_DIGITS_MAX, _EXPONENT_MAX = 50, 400
"""A number beyond these is compared exactly: a fraction of it would take no end of memory."""
_SHARE_PLACES = 6
_QUANTITY = re.compile(
    r"(?P<before>[^\d.,+\-\s]{0,3})\s?"
    r"(?P<number>[+\-\u2212]?(?:\d{1,3}(?:,\d{3}){2,}(?:\.\d+)?|\d{1,3},\d{3}\.\d+|\d+(?:\.\d+)?)"
    r"(?:[eE][+\-]?\d{1,4})?)"
    r"(?P<after>\s?[^\d\s.,]+(?:\s[^\d\s.,]+){0,2})?\.?",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Quantity:
    number: Decimal
    unit: str
    """What stands before and after the number, as it was written; empty for a bare number."""


def quantity(text: str) -> Quantity | None:
    """An answer that is one number, with up to three words of unit; None for anything else.

    ``1,234`` is none: it is a thousand to one reader and one and a bit to another.
    """
    found = _QUANTITY.fullmatch(unicodedata.normalize("NFC", text).strip())
    if found is None:
        return None
    written = found["number"].replace(",", "").replace("\u2212", "-")
    unit = f"{found['before']} {' '.join((found['after'] or '').split())}".strip()
    return Quantity(Decimal(written), unit)


def is_number(value: Any) -> bool:
    """Whether a JSON value is a number that a tolerance can be applied to."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return False
    if isinstance(value, int):
        return value.bit_length() <= 3 * _DIGITS_MAX
    parts = value.as_tuple()
    return len(parts.digits) <= _DIGITS_MAX and abs(value.adjusted()) <= _EXPONENT_MAX


def within(numbers: Sequence[Any], tolerance: NumberTolerance) -> bool:
    """Whether any two of the numbers are within the tolerance of each other."""
    relative, absolute = Fraction(tolerance.relative), Fraction(tolerance.absolute)
    return all(
        abs(one - other) <= max(absolute, relative * max(abs(one), abs(other)))
        for one, other in combinations(map(Fraction, numbers), 2)
    )


def largest_share(numbers: Sequence[Any]) -> Decimal:
    """The largest difference of any two as a share of the larger, rounded up to six places."""
    shares = [
        abs(one - other) / max(abs(one), abs(other), Fraction(1, 10**_EXPONENT_MAX))
        for one, other in combinations(map(Fraction, numbers), 2)
        if one != other
    ]
    if not shares:
        return Decimal(0)
    scaled = max(shares) * 10**_SHARE_PLACES
    return Decimal(-(-scaled.numerator // scaled.denominator)).scaleb(-_SHARE_PLACES)
