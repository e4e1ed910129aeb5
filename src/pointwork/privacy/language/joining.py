"""Joins what belongs together: the lines of an address, a name and its initial, its degree."""

import re
from collections.abc import Iterable, Iterator, Sequence

from pointwork.privacy.language.gazetteer import Gazetteer
from pointwork.privacy.language.marks import ADDRESS_KINDS, Kind, Mark

_GAP_CHARACTERS_MAX = 40
_ADDRESS_GAP = re.compile(r"[\s,>?/#-]*(?:(?!\d{1,2}:)[\w.'’()/-]+[\s,>?]+){0,3}", re.UNICODE)
_ENDS_SENTENCE = re.compile(r"[\w)]{3,}[.!?;:](?:\s|$)|\n\s*\n\s*\n")
_INITIAL = re.compile(r"\s+(?:[^\W\d_]\.?\s+){1,2}|\s+|-|\s+(?:d[aei]l?|van|von|der|bin|al)\s+")
_AFTER_NAME = re.compile(r",?\s(?:Jr|Sr|II|III|IV|MD|DDS|DVM|PhD|Ph\.D|Esq|MBA|CPA|RN)\b\.?")
_NEXT_NAME = re.compile(r"[ ]([^\W\d_][\w'’-]+)")
_HOUSE_NUMBER = re.compile(r"(?<![\w.,-])\d{1,5}[A-Za-z]?\s+$")
_HOUSE_NUMBER_AFTER = re.compile(r",?\s\d{1,5}[a-zA-Z]?\b(?![.,]\d)")


def joined(text: str, marks: Sequence[Mark], names: Gazetteer) -> list[Mark]:
    """``marks`` and what lies between or beside them."""
    grown = [*marks, *_beside(text, marks, names)]
    return [*grown, *_between(text, grown)]


def _beside(text: str, marks: Iterable[Mark], names: Gazetteer) -> Iterator[Mark]:
    for mark in marks:
        if mark.kind is Kind.PERSON:
            yield from _rest_of_name(text, mark, names)
        elif mark.kind is Kind.STREET_ADDRESS:
            before = _HOUSE_NUMBER.search(text[max(0, mark.start - 8) : mark.start])
            if before:
                yield Mark(mark.kind, mark.start - len(before[0]), mark.end)
            after = _HOUSE_NUMBER_AFTER.match(text, mark.end)
            if after:
                yield Mark(mark.kind, mark.start, after.end())


def _rest_of_name(text: str, mark: Mark, names: Gazetteer) -> Iterator[Mark]:
    after = _AFTER_NAME.match(text, mark.end)
    if after:
        yield Mark(Kind.PERSON, mark.start, after.end())
    following = _NEXT_NAME.match(text, mark.end)
    if following and following[1][0].isupper() and following[1].casefold() in names.last:
        yield Mark(Kind.PERSON, mark.start, following.end())


def _between(text: str, marks: Iterable[Mark]) -> Iterator[Mark]:
    ordered = sorted(marks, key=lambda mark: (mark.start, -mark.end))
    last: dict[str, Mark] = {}
    for mark in ordered:
        family = _family(mark)
        if family is None:
            continue
        before = last.get(family)
        if before is not None and before.end < mark.start:
            gap = text[before.end : mark.start]
            if _is_gap(family, gap):
                mark = Mark(before.kind, before.start, mark.end)
                yield mark
        if before is None or mark.end > before.end:
            last[family] = mark


def _family(mark: Mark) -> str | None:
    if mark.kind in ADDRESS_KINDS:
        return "address"
    return "person" if mark.kind is Kind.PERSON else None


def _is_gap(family: str, gap: str) -> bool:
    if len(gap) > _GAP_CHARACTERS_MAX:
        return False
    if family == "person":
        return _INITIAL.fullmatch(gap) is not None
    return _ADDRESS_GAP.fullmatch(gap) is not None and _ENDS_SENTENCE.search(gap) is None
