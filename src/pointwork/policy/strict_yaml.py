"""YAML without its traps: no aliases, tags, duplicate keys or merges; bounded size and depth."""

from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

DOCUMENT_BYTES_MAX = 1_000_000
DEPTH_MAX = 20

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
            raise _at(key_node.start_mark, f"key {key!r} is not text; quote it")
        if key in mapping:
            raise _at(key_node.start_mark, f"key {key!r} appears twice; remove one")
        mapping[key] = loader.construct_object(value_node, deep=True)
    return mapping


_StrictLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _construct_mapping)


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
        return kind.model_validate(value)
    except ValidationError as error:
        raise PolicyError(f"{name}: {_first_problem(error, text)}") from None


def _read_text(path: Path) -> str:
    if path.is_symlink() or not path.is_file():
        raise PolicyError(f"{path}: is not a file; give the path of a policy document")
    size_bytes = path.stat().st_size
    if size_bytes > DOCUMENT_BYTES_MAX:
        raise PolicyError(f"{path}: {size_bytes} bytes exceed {DOCUMENT_BYTES_MAX}; shorten it")
    try:
        return path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise PolicyError(f"{path}: byte {error.start} is not UTF-8; save it as UTF-8") from None


def _first_problem(error: ValidationError, text: str) -> str:
    details = error.errors(include_url=False)
    first = details[0]
    place = ".".join(str(part) for part in first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        message = "unknown key; remove it or correct its spelling"
    elif first["type"] == "missing":
        message = "is missing; add it"
    elif isinstance(first.get("input"), str | int | float | bool):
        message = f"{message} (found {first['input']!r})"
    line = _line_of(text, first["loc"])
    more = f" ({len(details) - 1} more)" if len(details) > 1 else ""
    where = f"line {line}: " if line else ""
    return f"{where}{place}: {message}{more}" if place else f"{where}{message}{more}"


def _line_of(text: str, location: tuple[int | str, ...]) -> int | None:
    """The line where the deepest part of ``location`` that exists in the document stands."""
    node = yaml.compose(text, Loader=yaml.CSafeLoader)
    line: int | None = None
    for part in location:
        if isinstance(node, yaml.MappingNode):
            pair = next((each for each in node.value if each[0].value == str(part)), None)
            if pair is None:
                break
            line, node = pair[0].start_mark.line + 1, pair[1]
        elif (
            isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value)
        ):
            node = node.value[part]
            line = node.start_mark.line + 1
        else:
            break
    return line
