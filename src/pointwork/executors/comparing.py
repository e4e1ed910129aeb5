"""Whether several answers say the same, and where they do not: JSON by structure, text exactly.

Nothing is scored, ranked or merged. What differs at all is a person's to settle (OM-55 to OM-61).
"""

import json
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

PLACES_MAX = 100
PATH_CHARACTERS_MAX = 200
_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,39}")
_Member = tuple[str | int, ...]
_Absent = object()


@dataclass(frozen=True, kw_only=True, slots=True)
class Compared:
    """``places`` are JSON pointers or line numbers; ``count`` is how many there are in all."""

    kind: Literal["json", "text"]
    places: tuple[str, ...]
    count: int

    @property
    def agree(self) -> bool:
        return self.count == 0


def compare(answers: Sequence[str]) -> Compared:
    """Compare two or more answers. The result holds places and no values.

    JSON where every answer is a JSON object or list: the order of keys and the way a number is
    written make no difference, numbers are equal only exactly. Otherwise text, equal only exactly
    after Unicode normalisation (NFC) and without white space around it.
    """
    trees = [parse_json(answer) for answer in answers]
    if all(isinstance(tree, dict | list) for tree in trees):
        paths = differing_members(trees)
        return _compared("json", [_pointer(path) for path in paths])
    return _compared("text", _differing_lines([_normal(answer) for answer in answers]))


def differing_members(trees: Sequence[Any]) -> list[_Member]:
    """The members, by keys and positions, at which not all trees are equal, in document order."""
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
        elif not all(_equal(values[0], each) for each in values[1:]):
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


def _compared(kind: Literal["json", "text"], places: list[str]) -> Compared:
    return Compared(kind=kind, places=tuple(places[:PLACES_MAX]), count=len(places))
