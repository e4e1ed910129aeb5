"""Whether several answers say the same, and where they do not: JSON by structure, text exactly.

A class may have a rule by which numbers and texts that are near enough count as the same. Nothing
is ranked or merged. What differs is a person's to settle (OM-55 to OM-61).
"""

import json
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import ROUND_FLOOR, Decimal
from fractions import Fraction
from typing import Any, Literal

from pointwork.contract.branches import Agreement, Measured, NumberTolerance, TextSimilarity
from pointwork.executors.quantities import is_number, largest_share, quantity, within
from pointwork.executors.similarity import similarity, stop

PLACES_MAX = 100
PATH_CHARACTERS_MAX = 200
_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,39}")
_Member = tuple[str | int, ...]
_Same = Callable[[Sequence[Any]], bool]
_SIMILARITY_PLACES = Decimal("0.0001")
_Absent = object()


@dataclass(frozen=True, kw_only=True, slots=True)
class Compared:
    """``places`` are JSON pointers or line numbers; ``count`` is how many there are in all."""

    kind: Literal["json", "text"]
    places: tuple[str, ...]
    count: int
    measured: Measured | None = None
    """None where no rule was given."""

    @property
    def agree(self) -> bool:
        return self.count == 0


def compare(answers: Sequence[str], rule: Agreement | None = None) -> Compared:
    """Compare two or more answers. The result holds places and no values.

    JSON where every answer is a JSON object or list: the order of keys and the way a number is
    written make no difference, numbers are equal only exactly. Otherwise text, equal only exactly
    after Unicode normalisation (NFC) and without white space around it.

    With ``rule``, numbers within its tolerance are the same, in JSON and where every answer is one
    number of the same unit; and texts are that reach its similarity and differ in no figure, sign
    or negation. Strings within JSON are compared exactly all the same.
    """
    trees = [parse_json(answer) for answer in answers]
    if all(isinstance(tree, dict | list) for tree in trees):
        return _compared_json(trees, rule)
    texts = [_normal(answer) for answer in answers]
    lines = _differing_lines(texts)
    if rule is None:
        return _compared("text", lines)
    if lines and not any(map(_is_markup, texts)):
        found = _compared_numbers(texts, lines, rule.numbers) if rule.numbers else None
        if found is None and rule.text:
            found = _compared_words(texts, lines, rule.text)
        if found is not None:
            return found
    return _compared("text", lines, Measured(measure="exact"))


def _compared_json(trees: Sequence[Any], rule: Agreement | None) -> Compared:
    unequal = differing_members(trees)
    if rule is None or rule.numbers is None:
        exactly = Measured(measure="exact") if rule else None
        return _compared("json", [_pointer(path) for path in unequal], exactly)
    tolerance = rule.numbers
    far = differing_members(trees, lambda values: _same_or_near(values, tolerance))
    of_numbers = [values for path in unequal if (values := _numbers_at(trees, path))]
    measured = Measured(
        measure="json",
        relative=tolerance.relative,
        absolute=tolerance.absolute,
        value=max(map(largest_share, of_numbers), default=Decimal(0)),
        tolerated_count=len(unequal) - len(far),
    )
    return _compared("json", [_pointer(path) for path in far], measured)


def _numbers_at(trees: Sequence[Any], path: _Member) -> list[Any]:
    try:
        values = [member_of(tree, path) for tree in trees]
    except (LookupError, TypeError):
        return []
    return values if all(map(is_number, values)) else []


def _same_or_near(values: Sequence[Any], tolerance: NumberTolerance) -> bool:
    return _same(values) or (all(map(is_number, values)) and within(values, tolerance))


def _compared_numbers(
    texts: Sequence[str], lines: list[str], tolerance: NumberTolerance
) -> Compared | None:
    """None where not every answer is one number of the same unit."""
    found = [quantity(text) for text in texts]
    units = {each.unit for each in found if each}
    numbers = [each.number for each in found if each and is_number(each.number)]
    if len(numbers) < len(texts) or len(units) != 1:
        return None
    is_near = within(numbers, tolerance)
    measured = Measured(
        measure="number",
        relative=tolerance.relative,
        absolute=tolerance.absolute,
        value=largest_share(numbers),
        tolerated_count=len(lines) if is_near else 0,
    )
    return _compared("text", [] if is_near else lines, measured)


def _compared_words(texts: Sequence[str], lines: list[str], rule: TextSimilarity) -> Compared:
    share, stopped_by = similarity(texts), stop(texts)
    is_near = not stopped_by and share >= Fraction(rule.similarity_min)
    measured = Measured(
        measure=rule.measure,
        similarity_min=rule.similarity_min,
        # Rounded down, so that what is told never seems to reach a bound that it missed.
        value=(Decimal(share.numerator) / share.denominator).quantize(
            _SIMILARITY_PLACES, ROUND_FLOOR
        ),
        stopped_by=stopped_by,
        tolerated_count=len(lines) if is_near else 0,
    )
    return _compared("text", [] if is_near else lines, measured)


def _is_markup(text: str) -> bool:
    """JSON that was refused, or fenced text: what stands in it is no prose to be measured."""
    return text.startswith(("{", "[", "```"))


def _same(values: Sequence[Any]) -> bool:
    return all(_equal(values[0], each) for each in values[1:])


def differing_members(trees: Sequence[Any], same: _Same = _same) -> list[_Member]:
    """The members, by keys and positions, at which not all trees are equal, in document order.

    ``same`` says of the values at one member, none of them all objects or lists, whether they are.
    """
    found: list[_Member] = []
    # A loop with its own stack: an answer may be nested deeper than Python calls.
    stack: list[tuple[_Member, list[Any]]] = [((), list(trees))]
    while stack:
        path, values = stack.pop()
        if all(isinstance(each, dict) for each in values):
            keys = list(dict.fromkeys(key for each in values for key in each))
            stack += [
                ((*path, key), [each.get(key, _Absent) for each in values])
                for key in reversed(keys)
            ]
        elif all(isinstance(each, list) for each in values):
            longest = max(len(each) for each in values)
            stack += [
                ((*path, at), [each[at] if at < len(each) else _Absent for each in values])
                for at in reversed(range(longest))
            ]
        elif not same(values):
            found.append(path)
    return found


def parse_json(text: str) -> Any:
    """An answer as JSON, numbers exact and strings normalised; None where it is no JSON."""
    try:
        return json.loads(
            text, parse_float=Decimal, parse_constant=_refuse, object_pairs_hook=_members
        )
    except (ValueError, ArithmeticError, RecursionError):
        return None


def member_of(tree: Any, path: Sequence[str | int]) -> Any:
    """The value at ``path``; raises LookupError where the tree has none."""
    for step in path:
        tree = tree[step]
    return tree


def _equal(one: Any, other: Any) -> bool:
    """Python takes True for 1 and a string's form for its meaning; JSON and Unicode do not."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, str) and isinstance(other, str):
        return unicodedata.normalize("NFC", one) == unicodedata.normalize("NFC", other)
    if isinstance(one, dict | list) or isinstance(other, dict | list):
        return False
    return bool(one == other)


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = {unicodedata.normalize("NFC", key): value for key, value in pairs}
    if len(found) != len(pairs):
        msg = "a key stands twice"
        raise ValueError(msg)
    return found


def _refuse(constant: str) -> Any:
    msg = f"{constant} is not JSON"
    raise ValueError(msg)


def _normal(text: str) -> str:
    return unicodedata.normalize("NFC", text).strip()


def _pointer(path: _Member) -> str:
    """A key that is no plain word may be content, so it is not told."""
    steps = (
        str(step) if isinstance(step, int) or _PLAIN_KEY.fullmatch(step) else "*" for step in path
    )
    pointer = "".join(f"/{step}" for step in steps) or "/"
    return pointer if len(pointer) <= PATH_CHARACTERS_MAX else f"{pointer[:PATH_CHARACTERS_MAX]}*"


def _differing_lines(texts: Sequence[str]) -> list[str]:
    if len(frozenset(texts)) == 1:
        return []
    texts_lines = [text.split("\n") for text in texts]
    if len({len(lines) for lines in texts_lines}) == 1:
        rows = zip(*texts_lines, strict=True)
        return [f"line {at}" for at, row in enumerate(rows, start=1) if len({*row}) > 1]
    shortest = min(len(lines) for lines in texts_lines)
    first, last = texts_lines[0], 0
    start = next(
        (at for at in range(shortest) if any(lines[at] != first[at] for lines in texts_lines)),
        shortest,
    )
    while last < shortest - start and all(
        lines[-1 - last] == first[-1 - last] for lines in texts_lines
    ):
        last += 1
    longest = max(len(lines) for lines in texts_lines)
    return [f"lines {start + 1} to {longest - last}"]


def _compared(
    kind: Literal["json", "text"], places: list[str], measured: Measured | None = None
) -> Compared:
    shown = tuple(places[:PLACES_MAX])
    return Compared(kind=kind, places=shown, count=len(places), measured=measured)
