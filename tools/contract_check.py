"""What the validators of the JSON contracts do alike: read strictly, check, say what is wrong.

A contract is a schema under schemas/ and a check of what a schema cannot say: that names within one
document refer to each other. Exit codes: 0 all good, 1 a document is wrong, 2 one cannot be read.
"""

import argparse
import difflib
import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
GOOD, WRONG, UNREADABLE = 0, 1, 2
SHOWN_CHARACTERS_MAX = 80
PLAIN_KEY = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")

Step = str | int


@dataclass(frozen=True)
class Problem:
    """Something wrong at one place of a document, and what to do about it."""

    at: tuple[Step, ...]
    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{json_path(self.at)} {self.what}; {self.remedy}"


@dataclass(frozen=True)
class Contract:
    """One JSON contract: its name, the example it ships with, and how its names hang together."""

    name: str
    example: str
    cross_check: Callable[[dict[str, Any]], Iterator[Problem]]
    """Called only with a document that follows the schema."""

    @property
    def schema_file(self) -> Path:
        return ROOT / "schemas" / f"{self.name}.schema.json"

    def default_files(self) -> list[Path]:
        """The shipped example first, then every other document of this kind in examples/."""
        folder = ROOT / "examples"
        shipped = folder / self.example
        others = sorted(set(folder.glob(f"{self.name}.*json")) - {shipped})
        return [shipped, *others]


class UnreadableError(Exception):
    """The check could not be made; the text says why and what to do."""


def read_json(path: Path) -> Any:
    """
    Raises:
        UnreadableError: no such file, not UTF-8, not JSON, a key twice in one object, or NaN.
    """
    try:
        return json.loads(
            path.read_bytes().decode("utf-8"),
            object_pairs_hook=_without_repeated_keys,
            parse_constant=_no_constant,
        )
    except OSError as error:
        raise UnreadableError(f"cannot be read: {error.strerror}; check the path") from error
    except UnicodeDecodeError as error:
        raise UnreadableError(
            f"is not UTF-8 at byte {error.start}; save it as UTF-8 without a byte order mark"
        ) from error
    except json.JSONDecodeError as error:
        where = f"line {error.lineno} column {error.colno}"
        raise UnreadableError(f"is not JSON: {error.msg} at {where}; correct it") from error
    except ValueError as error:
        raise UnreadableError("holds a number too long to read; write a shorter one") from error
    except RecursionError as error:
        raise UnreadableError("is nested too deeply; no contract is; correct it") from error


def _without_repeated_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A parser that keeps the last of two equal keys would hide the first from a reader."""
    read: dict[str, Any] = {}
    for key, value in pairs:
        if key in read:
            raise UnreadableError(f"has the key {shown(key)} twice in one object; keep one")
        read[key] = value
    return read


def _no_constant(word: str) -> None:
    raise UnreadableError(f"holds {word}, which is no number of JSON; write a number")


def json_path(at: tuple[Step, ...]) -> str:
    """``$.lanes[4].name``; an odd key is quoted, so that a path is always one line."""
    path = "$"
    for step in at:
        if isinstance(step, int):
            path += f"[{step}]"
        elif step and set(step) <= PLAIN_KEY:
            path += f".{step}"
        else:
            path += f"[{json.dumps(step)}]"
    return path


def shown(value: Any) -> str:
    """The value as JSON on one line, cut where it is long."""
    text = json.dumps(value)
    return text if len(text) <= SHOWN_CHARACTERS_MAX else text[:SHOWN_CHARACTERS_MAX] + "..."


def duplicates(at: Step, entries: list[Any], key: str) -> Iterator[Problem]:
    """A problem for each entry of the list ``at`` whose ``key`` an earlier entry has already."""
    seen: dict[Any, int] = {}
    for index, entry in enumerate(entries):
        first = seen.setdefault(entry[key], index)
        if first != index:
            yield Problem(
                (at, index, key),
                f"is {shown(entry[key])}, as is {json_path((at, first, key))}",
                "give each its own",
            )


def _missing(error: Any, here: tuple[Step, ...]) -> Iterator[Problem]:
    for key in error.validator_value:
        if key not in error.instance:
            yield Problem((*here, key), "is missing", "add it")


def _unknown(error: Any, here: tuple[Step, ...]) -> Iterator[Problem]:
    known = error.schema.get("properties", {})
    for key in error.instance:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            remedy = f"write {near[0]}" if near else f"remove it; known are {', '.join(known)}"
            yield Problem((*here, key), "is not a property of this contract", remedy)


_WHAT: dict[str, Callable[[Any], str]] = {
    "minItems": lambda value: f"has {len(value)} entries",
    "maxItems": lambda value: f"has {len(value)} entries",
    "uniqueItems": lambda _: "holds an entry twice",
    "contains": lambda value: f"is {shown(value)}",
    "items": lambda value: f"has {len(value)} entries",
    "minLength": lambda value: f"has {len(value)} characters",
    "maxLength": lambda value: f"has {len(value)} characters",
}
_REMEDY: dict[str, Callable[[Any], str]] = {
    "const": lambda rule: f"write {json.dumps(rule)}",
    "enum": lambda rule: f"write one of {', '.join(json.dumps(each) for each in rule)}",
    "type": lambda rule: f"write {' or '.join([rule] if isinstance(rule, str) else rule)}",
    "minItems": lambda rule: f"list at least {rule}",
    "maxItems": lambda rule: f"list at most {rule}",
    "uniqueItems": lambda _: "list each entry once",
    "contains": lambda _: "add the entry that is missing",
    "items": lambda _: "remove those past the last one the contract names",
    "minimum": lambda rule: f"write {rule} or more",
    "exclusiveMinimum": lambda rule: f"write more than {rule}",
    "maximum": lambda rule: f"write {rule} or less",
    "minLength": lambda rule: f"write at least {rule}",
    "maxLength": lambda rule: f"write at most {rule}",
    "pattern": lambda rule: f"write it in the form {rule}",
}


def explain(error: Any) -> Iterator[Problem]:
    """A schema's error in the house's words: place, what stands there, what to write instead."""
    here = tuple(error.absolute_path)
    if error.validator == "required":
        yield from _missing(error, here)
    elif error.validator == "additionalProperties":
        yield from _unknown(error, here)
    else:
        what = _WHAT.get(error.validator, lambda value: f"is {shown(value)}")
        remedy = _REMEDY.get(error.validator, lambda _: "compare it with the schema")
        why = error.schema.get("description") if isinstance(error.schema, dict) else None
        said = remedy(error.validator_value) + (f" ({why.rstrip('.')})" if why else "")
        yield Problem(here, what(error.instance), said)


def check(contract: Contract, document: Any) -> list[Problem]:
    """Every problem of the document, in the order of its places; none where it is good.

    Raises:
        UnreadableError: the schema, or the package that reads schemas, is not there.
    """
    try:
        from jsonschema import Draft202012Validator
    except ModuleNotFoundError as error:
        raise UnreadableError(
            f"cannot be checked: this Python has no {error.name}; run `make setup`, "
            f"then `.venv/bin/python tools/{Path(sys.argv[0]).name}`"
        ) from error
    try:
        schema = read_json(contract.schema_file)
    except UnreadableError as error:
        raise UnreadableError(f"cannot be checked: {contract.schema_file.name} {error}") from error
    errors = list(Draft202012Validator(schema).iter_errors(document))
    # Where an entry is wrong, its branch of the schema counts none of its properties as known.
    told = [each for each in errors if each.validator != "unevaluatedProperties"]
    problems = {problem for error in told or errors for problem in explain(error)}
    if not errors:
        problems = set(contract.cross_check(document))
    return sorted(problems, key=lambda each: ([str(step).zfill(6) for step in each.at], each.what))


def check_file(contract: Contract, path: Path, name: str) -> int:
    """Prints one line for a good file, or one a problem on stderr; returns the exit code."""
    try:
        problems = check(contract, read_json(path))
    except UnreadableError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return UNREADABLE
    for problem in problems:
        print(f"{name}: {problem}", file=sys.stderr)
    if not problems:
        print(f"{name}: ok")
    return WRONG if problems else GOOD


def main(contract: Contract) -> int:
    """Checks the files of the command line, or what ships; returns the worst exit code."""
    parser = argparse.ArgumentParser(
        description=f"Check documents of the contract {contract.name}.",
        epilog="Exit codes: 0 all good, 1 a document is wrong, 2 a document cannot be read.",
    )
    shipped = f"default: examples/{contract.example} and others of its kind"
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE", help=shipped)
    given: list[Path] = parser.parse_args().files
    files = given or contract.default_files()
    return max(
        check_file(contract, path, str(path) if given else os.path.relpath(path)) for path in files
    )
