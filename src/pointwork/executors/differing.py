"""What differs between answers given side by side, marked for a person who reads them in full.

Nothing here is compared anew: whether answers count as one is ``comparing``'s to say.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

from pointwork.executors.comparing import differing_members, member_of, parse_json

VALUE_CHARACTERS_MAX = 60
_ABSENT = "(absent)"
_WORDS_MAX = 2000
_LINES_MAX = 3000
_WORD = re.compile(r"\s*(?:\w+|[^\w\s])|\s+$")


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of an answer, and whether some other answer lacks it there."""

    text: str
    differs: bool


def marked(texts: Sequence[str]) -> list[list[Piece]]:
    """Each text in full, in pieces: by words where that is quick, by lines otherwise.

    Texts longer than both bounds come back whole and unmarked.
    """
    for split, most in ((_words, _WORDS_MAX), (_lines, _LINES_MAX)):
        cut = [split(text) for text in texts]
        if all(len(each) <= most for each in cut):
            return [_joined(own, cut, at) for at, own in enumerate(cut)]
    return [[Piece(text, differs=False)] for text in texts]


def member_values(texts: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """Where JSON answers differ, with each answer's value there, shortened."""
    trees = [parse_json(text) for text in texts]
    for path in differing_members(trees):
        pointer = "".join(f"/{step}" for step in path) or "/"
        yield pointer, [_value(tree, path) for tree in trees]


def _words(text: str) -> list[str]:
    return _WORD.findall(text)


def _lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)


def _joined(own: Sequence[str], cut: Sequence[Sequence[str]], at: int) -> list[Piece]:
    shared = [True] * len(own)
    keys = [each.strip() for each in own]
    for other in (each for number, each in enumerate(cut) if number != at):
        matcher = SequenceMatcher(None, keys, [each.strip() for each in other], autojunk=False)
        found = [False] * len(own)
        for start, _, size in matcher.get_matching_blocks():
            found[start : start + size] = [True] * size
        shared = [one and two for one, two in zip(shared, found, strict=True)]
    pieces: list[Piece] = []
    for text, is_shared in zip(own, shared, strict=True):
        before, after = pieces[-1:], Piece(text, not is_shared)
        if before and before[0].differs == after.differs:
            pieces[-1] = Piece(before[0].text + text, after.differs)
        elif before and after.differs:
            # The space before a word is no part of what differs.
            bare = text.lstrip()
            pieces[-1] = Piece(before[0].text + text[: len(text) - len(bare)], differs=False)
            pieces.append(Piece(bare, differs=True))
        else:
            pieces.append(after)
    return pieces


def _value(tree: Any, path: Sequence[str | int]) -> str:
    try:
        value = member_of(tree, path)
    except (LookupError, TypeError):
        return _ABSENT
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= VALUE_CHARACTERS_MAX else f"{text[:VALUE_CHARACTERS_MAX]}..."
