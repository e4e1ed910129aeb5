"""YAML without its traps: no aliases, tags, duplicate keys or merges; bounded size and depth."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from pointwork.policy.documents.document import IS_DOCUMENT

DOCUMENT_BYTES_MAX = 1_000_000
DEPTH_MAX = 20
SHOWN_CHARACTERS_MAX = 60

T = TypeVar("T", bound=BaseModel)


class PolicyError(ValueError):
    """A policy document that cannot be used; the text names file, place, value and remedy."""


class _StrictLoader(yaml.CSafeLoader):
    """Refuses what a policy document has no use for, at the first event that shows it."""


def _construct_mapping(loader: _StrictLoader, node: yaml.MappingNode) -> dict[str, Any]:
    mapping: dict[str, Any] = {}
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, str):
            raise _at(key_node.start_mark, f"key {_shown(key)} is not text; quote it")
        if key in mapping:
            raise _at(key_node.start_mark, f"key {_shown(key)} appears twice; remove one")
        try:
            mapping[key] = loader.construct_object(value_node, deep=True)
        except PolicyError:
            raise
        except ValueError:  # a date of month 13, or a number of more digits than Python reads
            written = _shown(value_node.value)
            raise _at(
                value_node.start_mark, f"{written} is no value; correct or quote it"
            ) from None
    return mapping


_StrictLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _construct_mapping)


def _shown(value: object) -> str:
    """``value`` as an error may quote it: on one line, and short."""
    text = repr(value)
    return text if len(text) <= SHOWN_CHARACTERS_MAX else f"{text[:SHOWN_CHARACTERS_MAX]}…"


def _at(mark: Any, problem: str) -> PolicyError:
    return PolicyError(f"line {mark.line + 1}: {problem}" if mark else problem)


def _refuse_traps(text: str) -> None:
    """Walk the event stream before anything is built, so that a bomb costs only its own bytes."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        if isinstance(event, yaml.AliasEvent):
            raise _at(event.start_mark, f"alias *{event.anchor} is refused; write the value out")
        if anchor := getattr(event, "anchor", None):
            raise _at(event.start_mark, f"anchor &{anchor} is refused; write the value out")
        if tag := getattr(event, "tag", None):
            raise _at(event.start_mark, f"tag {tag} is refused; write plain values")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > DEPTH_MAX:
                raise _at(event.start_mark, f"nested deeper than {DEPTH_MAX} levels; flatten it")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def read_document(path: Path, kind: type[T]) -> T:
    """Read and validate one document.

    Raises:
        PolicyError: the file is missing, too large, not UTF-8, not plain YAML, or says something
            its schema does not allow.
    """
    return parse_document(_read_text(path), kind, name=str(path))


def parse_document(text: str, kind: type[T], *, name: str) -> T:
    """As ``read_document`` for text already at hand; ``name`` stands in error messages."""
    if "\0" in text:
        raise PolicyError(f"{name}: holds a NUL character; save it as plain text")
    try:
        _refuse_traps(text)
        value = yaml.load(text, Loader=_StrictLoader)
    except PolicyError as error:
        raise PolicyError(f"{name}: {error}") from None
    except yaml.MarkedYAMLError as error:
        place = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise PolicyError(f"{name}: {place}{error.problem or 'not YAML'}; correct it") from None
    except yaml.YAMLError as error:
        raise PolicyError(f"{name}: not YAML ({type(error).__name__}); correct it") from None
    if not isinstance(value, dict):
        raise PolicyError(f"{name}: is not a mapping of keys to values; see docs/architecture.md")
    try:
        return kind.model_validate(value, context={IS_DOCUMENT: True})
    except ValidationError as error:
        raise PolicyError(f"{name}: {_first_problem(error, text)}") from None


def _read_text(path: Path) -> str:
    if path.is_symlink():
        raise PolicyError(f"{path}: is a symbolic link; put the document itself there")
    if not path.is_file():
        raise PolicyError(f"{path}: is not a file; give the path of a policy document")
    size_bytes = path.stat().st_size
    if size_bytes > DOCUMENT_BYTES_MAX:
        raise PolicyError(f"{path}: {size_bytes} bytes exceed {DOCUMENT_BYTES_MAX}; shorten it")
    try:
        return path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise PolicyError(f"{path}: byte {error.start} is not UTF-8; save it as UTF-8") from None


def place_in(path: Path, *location: int | str) -> str:
    """``PATH: line N``, for an error about what stands at ``location`` of a document."""
    line = _line_of(_read_text(path), location)
    return f"{path}: line {line}" if line else str(path)


def _first_problem(error: ValidationError, text: str) -> str:
    details = error.errors(include_url=False)
    first = _deepest(details)
    location = first["loc"]
    place = ".".join(str(part)[:SHOWN_CHARACTERS_MAX] for part in location)
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        message = "unknown key; remove it or correct its spelling"
    elif first["type"] == "missing":
        message = "is missing; add it"
    elif isinstance(first.get("input"), str | int | float | bool):
        shown = _shown(first["input"])
        message = message if shown in message else f"{message} (found {shown})"
    if not location:
        location = _location_named(message, text)
    line = _line_of(text, location)
    more = f" ({len(details) - 1} more)" if len(details) > 1 else ""
    where = f"line {line}: " if line else ""
    return f"{where}{place}: {message}{more}" if place else f"{where}{message}{more}"


def _deepest(details: list[ErrorDetails]) -> ErrorDetails:
    """The first problem. Of a value that may be one of several kinds, the kind that fits best:

    there each kind has a problem of its own, and the one that was read furthest is what was meant.
    """
    place = details[0]["loc"][:-1]
    alike = [each for each in details if each["loc"][: len(place)] == place]
    return max(alike, key=lambda each: len(each["loc"]))


def _location_named(message: str, text: str) -> tuple[int | str, ...]:
    """The keys of the dotted path that ``message`` begins with; a key may hold dots itself."""
    rest = message.partition(": ")[0]
    node = yaml.compose(text, Loader=yaml.CSafeLoader)
    found: list[int | str] = []
    while rest:
        step = next((each for each in _steps(node) if f"{rest}.".startswith(f"{each[0]}.")), None)
        if step is None:
            break
        name, key, node = step
        found.append(key)
        rest = rest[len(name) + 1 :]
    return tuple(found)


def _steps(node: yaml.Node | None) -> Iterator[tuple[str, int | str, yaml.Node]]:
    """How an error may call each part of ``node``, its key or number, and the part itself."""
    if isinstance(node, yaml.MappingNode):
        yield from ((key.value, key.value, value) for key, value in node.value)
    elif isinstance(node, yaml.SequenceNode):
        for number, each in enumerate(node.value):
            yield str(number), number, each
            fields = each.value if isinstance(each, yaml.MappingNode) else ()
            yield from ((v.value, number, each) for k, v in fields if k.value == "trigger")


def _line_of(text: str, location: tuple[int | str, ...]) -> int | None:
    """The line where the deepest part of ``location`` that exists in the document stands."""
    node = yaml.compose(text, Loader=yaml.CSafeLoader)
    line: int | None = None
    for part in location:
        if isinstance(node, yaml.MappingNode):
            pair = next((each for each in node.value if each[0].value == str(part)), None)
            if pair is None:
                continue  # a key that is missing, or the kind of a value that may be one of several
            line, node = pair[0].start_mark.line + 1, pair[1]
        elif (
            isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value)
        ):
            node = node.value[part]
            line = node.start_mark.line + 1
        else:
            break
    return line
