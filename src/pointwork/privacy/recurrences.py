"""Every further place in a text where a value already found occurs again, letter for letter."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import TypeVar

VALUE_CHARACTERS_MIN = 4
"""Shorter values are replaced where they were found only: two letters occur in every word."""

T = TypeVar("T")


def find_recurrences(text: str, owner_of: Mapping[str, T]) -> Iterator[tuple[int, int, T]]:
    """Start, end and owner of each occurrence in ``text`` of each value, overlapping ones too.

    One pass, whatever the number of values: they are looked up by their first four characters and
    their length, so a table of ten thousand customers costs no more than one.
    """
    lengths_of: dict[str, set[int]] = defaultdict(set)
    for value in owner_of:
        if len(value) >= VALUE_CHARACTERS_MIN:
            lengths_of[value[:VALUE_CHARACTERS_MIN]].add(len(value))
    if not lengths_of:
        return
    for start in range(len(text) - VALUE_CHARACTERS_MIN + 1):
        for length in lengths_of.get(text[start : start + VALUE_CHARACTERS_MIN], ()):
            owner = owner_of.get(text[start : start + length])
            if owner is not None and start + length <= len(text):
                yield start, start + length, owner
