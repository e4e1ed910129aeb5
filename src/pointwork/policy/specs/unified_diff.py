"""A unified diff as files and changed lines. What cannot be read in full is refused.

Hunks are read by their own counts, so that a removed line ``-- x`` is never taken for a header.
"""

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

DIFF_CHARACTERS_MAX = 8_000_000
PATH_CHARACTERS_MAX = 4_096

Side = Literal["added", "removed"]

_HUNK = re.compile(r"@@ -(\d{1,9})(?:,(\d{1,9}))? \+(\d{1,9})(?:,(\d{1,9}))? @@")
_COMMIT = re.compile(r"(?:commit|From) [0-9a-f]{7,64}(?: |$)")
_ESCAPE = re.compile(rb"\\([abfnrtv\"\\]|[0-7]{1,3})")
_PREFIXES = ("a/", "b/", "c/", "i/", "o/", "w/")
_NO_FILE = "/dev/null"
_SIGNATURE = ("--", "-- ")
"""What `format-patch` ends a diff with."""


class DiffError(ValueError):
    """A text that is no complete unified diff; the sentence names the line and the remedy."""

    def __init__(self, line: int, problem: str) -> None:
        super().__init__(f"line {line}: {problem}")
        self.line = line


@dataclass(frozen=True, slots=True)
class ChangedLine:
    number: int
    """In the new file for an added line, in the old one for a removed line."""
    side: Side
    text: str


@dataclass
class ChangedFile:
    has_prefixes: bool
    """Names stand behind ``a/`` and ``b/`` or the like."""
    paths: list[str] = field(default_factory=list)
    """The file's path; then the old one where it moved."""
    lines: list[ChangedLine] = field(default_factory=list)

    def name(self, *names: str) -> None:
        """Take up names as the diff writes them; those of ``+++`` and ``---`` go first."""
        bare = [each[2:] if self._is_prefixed(each) else each for each in names]
        self.paths = list(dict.fromkeys([*bare, *self.paths]))

    def _is_prefixed(self, name: str) -> bool:
        return self.has_prefixes and name.startswith(_PREFIXES)


def read_diff(diff: str) -> list[ChangedFile]:
    """The changed files of ``git diff``, ``git show``, ``format-patch`` or ``diff -u``.

    Raises:
        DiffError: too long, cut short, a merge's combined diff, or no diff at all.
    """
    if len(diff) > DIFF_CHARACTERS_MAX:
        raise DiffError(1, f"over {DIFF_CHARACTERS_MAX} characters; give the change in parts")
    if not diff.strip():
        return []
    files = _Reader(diff).files()
    if not files:
        raise DiffError(1, "holds no change of a file; give the output of `git diff`")
    for each in files:
        if not each.paths:
            raise DiffError(1, "a file's name cannot be told; give the output of `git diff`")
    return files


class _Reader:
    def __init__(self, diff: str) -> None:
        self.lines = diff.split("\n")
        self.at = 0
        self.found: list[ChangedFile] = []
        self.file: ChangedFile | None = None
        """None in what stands before a diff: a commit's message."""
        self.is_in_hunks = False

    def files(self) -> list[ChangedFile]:
        while self.at < len(self.lines):
            line = self.lines[self.at].rstrip("\r")
            if line.startswith("diff --git "):
                self._begin(_git_names(line.removeprefix("diff --git ")))
            elif line.startswith(("diff --cc ", "diff --combined ", "@@@ ")):
                raise self._refused("a merge's combined diff; compare with one side of the merge")
            elif line.startswith("--- ") and self._next().startswith("+++ "):
                self._named(line)
            elif line.startswith("@@ "):
                self._hunk(line)
            elif _COMMIT.match(line):
                self.file = None
            elif self.file is not None:
                self._header(self.file, line)
            self.at += 1
        return self.found

    def _refused(self, problem: str) -> DiffError:
        return DiffError(min(self.at, len(self.lines) - 1) + 1, problem)

    def _next(self) -> str:
        return self.lines[self.at + 1] if self.at + 1 < len(self.lines) else ""

    def _begin(self, names: list[str]) -> ChangedFile:
        # Names that are equal as written carry no a/ and b/.
        self.file = ChangedFile(has_prefixes=len(set(names)) != 1)
        self.is_in_hunks = False
        self.found.append(self.file)
        self._name(self.file, names)
        return self.file

    def _name(self, file: ChangedFile, names: list[str]) -> None:
        if any(len(name) > PATH_CHARACTERS_MAX for name in names):
            raise self._refused(f"a path over {PATH_CHARACTERS_MAX} characters; shorten it")
        file.name(*(name for name in names if name and name != _NO_FILE))

    def _named(self, line: str) -> None:
        """The pair ``--- old`` and ``+++ new``; it begins a file where no ``diff --git`` did."""
        new = _unquoted(self._next().rstrip("\r").removeprefix("+++ "))
        names = [new, _unquoted(line.removeprefix("--- "))]
        if self.file is None or self.is_in_hunks:
            self._begin(names)
        else:
            self._name(self.file, names)
        self.at += 1

    def _header(self, file: ChangedFile, line: str) -> None:
        if line.startswith(("rename from ", "rename to ", "copy from ", "copy to ")):
            moved = _unquoted(line.partition(" ")[2].partition(" ")[2])
            file.paths = list(dict.fromkeys([moved, *file.paths]))
        elif line[:1] in ("+", "-") and line not in _SIGNATURE:
            raise self._refused("a changed line outside a hunk; give the whole diff, unedited")

    def _hunk(self, line: str) -> None:
        head = _HUNK.match(line)
        if head is None or self.file is None:
            raise self._refused("a hunk without a file or without line numbers; give the diff")
        self.is_in_hunks = True
        old, new = int(head[1]), int(head[3])
        old_left, new_left = int(head[2] or 1), int(head[4] or 1)
        if not old_left and not new_left:
            return
        for body in self._body():
            sign = body[:1]
            is_old, is_new = sign in ("-", " ", ""), sign in ("+", " ", "")
            old_left, new_left = old_left - is_old, new_left - is_new
            if old_left < 0 or new_left < 0 or not (is_old or is_new or sign == "\\"):
                raise self._refused("not what the hunk's line counts announce; give the whole diff")
            if sign == "+":
                self.file.lines.append(ChangedLine(new, "added", body[1:]))
            elif sign == "-":
                self.file.lines.append(ChangedLine(old, "removed", body[1:]))
            old, new = old + is_old, new + is_new
            if not old_left and not new_left:
                return
        raise self._refused("the diff is cut short within a hunk; give the whole diff")

    def _body(self) -> Iterator[str]:
        while self.at + 1 < len(self.lines):
            self.at += 1
            yield self.lines[self.at].rstrip("\r")


def _git_names(names: str) -> list[str]:
    """Both names of ``a/x b/x``; empty where blanks leave open which is which.

    Only a rename's names differ otherwise, and it states them again on lines of their own.
    """
    if names.startswith('"') and (cut := names.find('" ', 1)) > 0:
        return [_unquoted(names[cut + 2 :]), _unquoted(names[: cut + 1])]
    middle = len(names) // 2
    old, new = names[:middle], names[middle + 1 :]
    if names[middle : middle + 1] != " ":
        return []
    is_pair = old == new or (old.startswith(_PREFIXES) and old[2:] == new[2:])
    return [new, old] if is_pair else []


def _unquoted(name: str) -> str:
    """A path as git writes it: quoted where it is unusual, with a tab and a time by other tools."""
    if len(name) > 1 and name.startswith('"') and name.rstrip().endswith('"'):
        raw = name.rstrip()[1:-1].encode("utf-8", "replace")
        return _ESCAPE.sub(_unescape, raw).decode("utf-8", "replace")
    return name.partition("\t")[0].rstrip("\r").encode("utf-8", "replace").decode()


def _unescape(found: re.Match[bytes]) -> bytes:
    sign = found[1]
    if sign.isdigit():
        return bytes([int(sign, 8) & 0xFF])
    return codecs.decode(found[0].decode(), "unicode_escape").encode()
