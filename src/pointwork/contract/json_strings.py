"""The texts inside a JSON value: what a detector reads of it, and how each of them is replaced."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

DEPTH_MAX = 64
"""How deep objects and lists may stand in one another. No tool's parameters come near it."""


class JsonObjectError(ValueError):
    """A text is not the one JSON object it should be. Its own text quotes none of it."""


class Place(Enum):
    """Where a text stands in a JSON value."""

    KEY = auto()
    TEXT = auto()
    NUMBER = auto()
    """A number, as the text that it is written as."""


@dataclass(frozen=True, slots=True)
class JsonString:
    """One text of a JSON value, without JSON's escapes."""

    text: str
    place: Place
    key: str
    """The key it stands under; of what stands in a list, the key of the list."""
    opens: str = ""
    """Of a key: the bracket with which its value begins, where it is an object or a list."""


def read_object(text: str) -> dict[str, Any]:
    """The one JSON object that ``text`` is, read so that nothing of it stays unseen.

    Raises:
        JsonObjectError: it is not JSON, no object, nested too deep, or gives a key twice, of which
            two readers would see different values.
    """
    problem = "it is not JSON"
    try:
        value = json.loads(text, object_pairs_hook=_pairs, parse_constant=_no_number)
    except JsonObjectError as error:
        problem, value = str(error), None
    except (ValueError, RecursionError):
        value = None
    else:
        problem = "it is not a JSON object"
    if not isinstance(value, dict):
        # Raised out here: the decoder's own error carries the document.
        raise JsonObjectError(problem)
    if _is_too_deep(value):
        raise JsonObjectError(f"its values are nested more than {DEPTH_MAX} deep")
    return value


def with_strings(value: Any, replace: Callable[[JsonString], str], key: str = "") -> Any:
    """``value`` with each of its texts as ``replace`` gives it, asked in the order of writing.

    A number that is replaced becomes a text.

    Raises:
        JsonObjectError: two keys of one object became equal.
    """
    match value:
        case dict():
            changed = {
                replace(JsonString(name, Place.KEY, key, _bracket(held))): with_strings(
                    held, replace, name
                )
                for name, held in value.items()
            }
            if len(changed) < len(value):
                raise JsonObjectError("two keys of one object would become equal")
            return changed
        case list():
            return [with_strings(each, replace, key) for each in value]
        case str():
            return replace(JsonString(value, Place.TEXT, key))
        case bool() | None:
            return value
        case _:
            written = json.dumps(value)
            given = replace(JsonString(written, Place.NUMBER, key))
            return value if given == written else given


def readable(value: object) -> str:
    """``value`` as a detector reads it: a key before what it names, and no escapes of JSON."""
    pieces: list[str] = []

    def read(each: JsonString) -> str:
        before, after = around(each)
        pieces.append(f"{before}{each.text}{after}")
        return each.text

    with_strings(value, read)
    return "".join(pieces)


def around(each: JsonString) -> tuple[str, str]:
    """What stands before and after a text in ``readable``.

    The bracket after a key keeps the key below it from being read as its value.
    """
    match each.place:
        case Place.KEY:
            return '"', f'": {each.opens}'
        case Place.TEXT:
            return '"', '", '
        case Place.NUMBER:
            return "", ", "


def _bracket(value: object) -> str:
    return "{" if isinstance(value, dict) else "[" if isinstance(value, list) else ""


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({name for name, _ in pairs}) < len(pairs):
        raise JsonObjectError("a key stands twice in one object")
    return dict(pairs)


def _no_number(name: str) -> float:
    raise JsonObjectError("it holds a number that JSON has not")


def _is_too_deep(value: object, depth: int = 0) -> bool:
    if depth > DEPTH_MAX:
        return True
    if isinstance(value, dict):
        return any(_is_too_deep(each, depth + 1) for each in value.values())
    return isinstance(value, list) and any(_is_too_deep(each, depth + 1) for each in value)
