"""The file of a bulk run: one JSON object a line, every line checked before anything starts.

No fault quotes a text. The file is read twice, once to be checked and once to be sealed, so that no
more than a few items are in memory.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pointwork.cli.declaring import check_against_policy, declare
from pointwork.cli.errors import CliError
from pointwork.cli.screen import listed
from pointwork.contract.bulk import ITEM_ID_PATTERN, ITEMS_MAX, item_task_id
from pointwork.contract.failures import TaskRefusedError
from pointwork.contract.prompt import Prompt, Speaker, TextPart, Turn
from pointwork.contract.task import OUTPUT_TOKENS_MAX, Sensitivity, TaskDeclaration

if TYPE_CHECKING:
    from pointwork.client.bulk import BulkItem
    from pointwork.policy.bundle import PolicyLibrary

FAULTS_TOLD_MAX = 20
LINE_BYTES_MAX = 16_000_000
_KEYS = ("id", "text", "messages", "task_class", "sensitivity", "max_output_tokens")
_ROLES = {
    "system": Speaker.SYSTEM,
    "developer": Speaker.SYSTEM,
    "user": Speaker.USER,
    "assistant": Speaker.ASSISTANT,
}


class LineError(Exception):
    """What is wrong with one line: the field, its value and what to do, never a text."""


@dataclass(frozen=True, slots=True)
class _Line:
    item_id: str
    declaration: TaskDeclaration
    prompt: Prompt


@dataclass(frozen=True, slots=True)
class Checked:
    """What the whole file comes to."""

    item_count: int
    declared_sha256: str


class BulkFile:
    """The items that a file and the options of the command declare."""

    def __init__(
        self, path: Path, run_id: str, options: Mapping[str, Any], library: "PolicyLibrary"
    ) -> None:
        """``options``: caller, pack, task_class, sensitivity, priority and max_tokens.

        Raises:
            CliError, UnknownPackError: an option is not allowed, or there is no such file.
        """
        if not path.is_file():
            what = "does not exist" if not path.exists() else "is not a regular file"
            raise CliError(f"FILE {path} {what}", "give the path of a file of JSON lines")
        self._path = path
        self._run_id = run_id
        limits = {"max_output_tokens": options["max_tokens"]}
        fields = {each: options[each] for each in _OF_THE_COMMAND}
        self._declared = declare(limits, task_id=item_task_id(run_id, "item"), **fields)
        check_against_policy(self._declared, library)
        self._classes = library.active(self._declared.pack).pack.classes

    def check(self) -> Checked:
        """Read every line.

        Raises:
            CliError: lines are bad; all of them are told, up to ``FAULTS_TOLD_MAX``.
        """
        first_of: dict[str, int] = {}
        faults: list[str] = []
        digest, bad = hashlib.sha256(), 0
        for number, raw in self._lines():
            try:
                line = self._parse(raw)
                _check_is_new(line.item_id, first_of)
                first_of[line.item_id] = number
                if len(first_of) > ITEMS_MAX:
                    raise CliError(f"FILE {self._path} has more than {ITEMS_MAX} items", "split it")
                digest.update(_declared(line))
            except LineError as fault:
                bad += 1
                if bad <= FAULTS_TOLD_MAX:
                    faults.append(f"  line {number}: {fault}")
        if bad:
            more = [f"  and {bad - FAULTS_TOLD_MAX} more"] if bad > FAULTS_TOLD_MAX else []
            told = "\n".join([*faults, *more])
            lines = "1 bad line" if bad == 1 else f"{bad} bad lines"
            raise CliError(
                f"FILE {self._path} has {lines}:\n{told}\nnothing was started", "correct the file"
            )
        if not first_of:
            raise CliError(f"FILE {self._path} holds no item", "give one JSON object a line")
        return Checked(len(first_of), digest.hexdigest())

    def items(self, declared_sha256: str) -> Iterator["BulkItem"]:
        """Every item in order, of a file that came to ``declared_sha256`` when it was checked.

        Raises:
            CliError: the file was changed since.
        """
        from pointwork.client.bulk import BulkItem

        digest = hashlib.sha256()
        for position, (_, raw) in enumerate(self._lines(), 1):
            try:
                line = self._parse(raw)
            except LineError:
                raise self._changed() from None
            digest.update(_declared(line))
            yield BulkItem(position, line.item_id, line.declaration, line.prompt)
        if digest.hexdigest() != declared_sha256:
            raise self._changed()

    def _changed(self) -> CliError:
        return CliError(f"FILE {self._path} was changed while it was read", "run it again")

    def _lines(self) -> Iterator[tuple[int, bytes]]:
        """Number and bytes of each line that is not blank."""
        with self._path.open("rb") as file:
            number = 0
            while raw := file.readline(LINE_BYTES_MAX):
                number += 1
                rest = raw
                while len(rest) == LINE_BYTES_MAX and not rest.endswith(b"\n"):
                    rest = file.readline(LINE_BYTES_MAX)
                if number == 1:
                    raw = raw.removeprefix(b"\xef\xbb\xbf")
                if raw.strip():
                    yield number, raw

    def _parse(self, raw: bytes) -> _Line:
        from pointwork.ledger.content_checks import checked_prompt

        given = _object(raw)
        unknown = [each for each in given if each not in _KEYS]
        if unknown:
            raise LineError(f"key {_shown(unknown[0])} is not known; use {listed(list(_KEYS))}")
        item_id = given.get("id")
        if not isinstance(item_id, str) or not re.fullmatch(ITEM_ID_PATTERN, item_id):
            raise LineError(
                f"id {_shown(item_id)} is not allowed; use a string of 1 to 79 letters, digits and "
                ". _ : - starting with a letter or digit"
            )
        prompt = _prompt(given)
        try:
            checked_prompt(prompt)
        except TaskRefusedError as error:
            raise LineError(str(error)) from None
        changed = self._changes(given)
        task_id = item_task_id(self._run_id, item_id)
        return _Line(
            item_id, self._declared.model_copy(update={"task_id": task_id, **changed}), prompt
        )

    def _changes(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The fields of the declaration that the line sets itself."""
        changed: dict[str, Any] = {}
        task_class, level = given.get("task_class"), given.get("sensitivity")
        tokens = given.get("max_output_tokens")
        if task_class is not None:
            if not isinstance(task_class, str) or task_class not in self._classes:
                names = listed(sorted(self._classes))
                raise LineError(
                    f"task_class {_shown(task_class)} is not known; use one of: {names}"
                )
            changed["task_class"] = task_class
        if level is not None:
            if level not in list(Sensitivity):
                names = listed(list(Sensitivity))
                raise LineError(f"sensitivity {_shown(level)} is not known; use one of: {names}")
            changed["sensitivity"] = Sensitivity(level)
        if tokens is not None:
            if type(tokens) is not int or not 1 <= tokens <= OUTPUT_TOKENS_MAX:
                raise LineError(
                    f"max_output_tokens {_shown(tokens)} is not allowed; give a whole number from "
                    f"1 to {OUTPUT_TOKENS_MAX}"
                )
            constraints = self._declared.constraints
            changed["constraints"] = constraints.model_copy(update={"max_output_tokens": tokens})
        return changed


_OF_THE_COMMAND = ("caller", "pack", "task_class", "sensitivity", "priority")


def _declared(line: _Line) -> bytes:
    return line.declaration.model_dump_json().encode() + b"\n"


def _check_is_new(item_id: str, first_of: Mapping[str, int]) -> None:
    if item_id in first_of:
        first = first_of[item_id]
        raise LineError(f"id {item_id!r} is that of line {first} too; give each item its own")


def _object(raw: bytes) -> dict[str, Any]:
    if len(raw) >= LINE_BYTES_MAX:
        raise LineError(f"has more than {LINE_BYTES_MAX} bytes; split the item")
    try:
        given = json.loads(raw.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise LineError(f"is not UTF-8 at byte {error.start}; save the file as UTF-8") from None
    except (ValueError, RecursionError):
        raise LineError("is not JSON; write one object a line") from None
    if not isinstance(given, dict):
        raise LineError(f"is {_kind(given)}; write one JSON object a line")
    return given


def _prompt(given: Mapping[str, Any]) -> Prompt:
    text, messages = given.get("text"), given.get("messages")
    if (text is None) == (messages is None):
        which = "both given" if text is not None else "both missing"
        raise LineError(f"text and messages are {which}; give one of them")
    if text is not None:
        if not isinstance(text, str):
            raise LineError(f"text is {_kind(text)}; give a string")
        return Prompt.from_text(text)
    if not isinstance(messages, list) or not messages:
        raise LineError("messages is no list of messages; give at least one")
    return Prompt(turns=tuple(_turn(at, each) for at, each in enumerate(messages)))


def _turn(at: int, message: Any) -> Turn:
    place = f"messages.{at}"
    if not isinstance(message, dict) or set(message) != {"role", "content"}:
        raise LineError(f"{place} is no message; give role and content, and nothing else")
    role, content = message["role"], message["content"]
    speaker = _ROLES.get(role) if isinstance(role, str) else None
    if speaker is None:
        raise LineError(f"{place}.role {_shown(role)} is not known; use {listed(list(_ROLES))}")
    if not isinstance(content, str):
        raise LineError(f"{place}.content is {_kind(content)}; give a string")
    return Turn(speaker=speaker, parts=(TextPart(text=content),))


def _kind(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case list():
            return "a list"
        case dict():
            return "an object"
        case _:
            return "a string"


def _shown(value: object) -> str:
    """A short value as it was given; of a list or an object its kind alone."""
    if isinstance(value, list | dict):
        return _kind(value)
    text = json.dumps(value, ensure_ascii=True)
    return text if len(text) <= 40 else f"{text[:40]}… ({len(text)} characters)"
