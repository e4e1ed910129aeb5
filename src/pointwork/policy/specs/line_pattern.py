"""Patterns a pack holds against lines of untrusted text: regular expressions that stay linear."""

import re
from typing import Annotated

from pydantic import AfterValidator, Field

PATTERN_CHARACTERS_MAX = 300
REPEATS_MAX = 64
WAYS_MAX = 4_096
"""The most ways a pattern may have to match from one place: bounds the time per character."""

_BOUNDS = re.compile(r"\{(\d{1,3})(?:,(\d{1,3}))?\}")
_SET_OPERATORS = ("[", "--", "&&", "~~", "||")


def _checked(pattern: str) -> str:
    ways = _Reader(pattern.removeprefix("(?i)")).ways()
    if ways > WAYS_MAX:
        msg = f"{pattern!r:.60} has {ways} ways to match, over {WAYS_MAX}; split or shorten it"
        raise ValueError(msg)
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        msg = f"{pattern!r:.60} is no regular expression ({error.msg}); correct it"
        raise ValueError(msg) from None
    if compiled.search(""):
        msg = f"{pattern!r:.60} matches an empty line, so every line; make it require something"
        raise ValueError(msg)
    return pattern


LinePattern = Annotated[
    str, Field(min_length=1, max_length=PATTERN_CHARACTERS_MAX), AfterValidator(_checked)
]
"""A regular expression without ``*``, ``+``, open bounds, repeated groups, look-around and
back-references. ``(?i)`` may stand first. Searched in a line, it takes time linear in the line."""


class _Reader:
    """Walks a pattern once and counts in how many ways it can match from one place."""

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self.at = 0
        self.can_repeat = False
        """What was read last is a single character, which bounds may follow."""

    def ways(self) -> int:
        total = 1
        branches = [1]
        while self.at < len(self.pattern):
            match self.pattern[self.at]:
                case "(":
                    self._open()
                    branches.append(1)
                case ")":
                    self._step(is_single=False)
                    total *= branches.pop() if len(branches) > 1 else 1
                case "|":
                    self._step(is_single=False)
                    branches[-1] += 1
                case "*" | "+":
                    raise self._refused("repeats without a bound; write {0,20} or the like")
                case "?":
                    self._step(is_single=False)
                    total *= 2
                case "{":
                    total *= self._bounds()
                case _:
                    self._single()
        for each in branches:
            total *= each
        return total

    def _refused(self, why: str) -> ValueError:
        return ValueError(f"{self.pattern!r:.60} at character {self.at + 1} {why}")

    def _step(self, *, is_single: bool, characters: int = 1) -> None:
        self.at += characters
        self.can_repeat = is_single

    def _open(self) -> None:
        is_special = self.pattern.startswith("(?", self.at)
        if is_special and not self.pattern.startswith("(?:", self.at):
            raise self._refused("is no plain group; write (?:...), and (?i) only in front")
        self._step(is_single=False, characters=3 if is_special else 1)

    def _bounds(self) -> int:
        found = _BOUNDS.match(self.pattern, self.at)
        if found is None:
            raise self._refused("has no upper bound; write {1,20}, or \\{ for the sign itself")
        if not self.can_repeat:
            raise self._refused("repeats a group or a repetition; repeat single characters only")
        low = int(found[1])
        high = int(found[2] or found[1])
        if high > REPEATS_MAX:
            raise self._refused(f"repeats over {REPEATS_MAX} times; lower the bound")
        self._step(is_single=False, characters=len(found[0]))
        return high - low + 1

    def _single(self) -> None:
        match self.pattern[self.at]:
            case "\\":
                if self.pattern[self.at + 1 : self.at + 2].isdigit():
                    raise self._refused("refers back to a group; write the text out")
                self._step(is_single=True, characters=2)
            case "[":
                self._set()
            case _:
                self._step(is_single=True)

    def _set(self) -> None:
        """``[...]``: one character. A ``]`` is a member where it stands first or escaped."""
        end = self.at + 1
        end += self.pattern.startswith("^", end)
        end += self.pattern.startswith("]", end)
        while end < len(self.pattern) and self.pattern[end] != "]":
            if any(self.pattern.startswith(sign, end) for sign in _SET_OPERATORS):
                raise self._refused("holds a set within a set; escape the sign")
            end += 2 if self.pattern[end] == "\\" else 1
        self._step(is_single=True, characters=end + 1 - self.at)
