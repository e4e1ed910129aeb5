"""Replaces what the detectors find by placeholders before a text leaves (OM-48 to OM-51).

A replaced text holds ``<EMAIL_1>`` where an address stood, the same number for the same value. The
result is read once more, and a text in which anything is still found is not given out.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from pointwork.contract.decision import FindingCount
from pointwork.contract.failures import PointworkError
from pointwork.contract.json_strings import JsonObjectError
from pointwork.contract.prompt import Prompt
from pointwork.contract.task import DataClass
from pointwork.privacy.detect import DETECTORS, scan
from pointwork.privacy.findings import LANGUAGE_DETECTOR, PERSON, Detector, Finding, count_kinds
from pointwork.privacy.placeholders import (
    PLACEHOLDER,
    SECRET_LABEL,
    Placeholders,
    placeholder_name,
)
from pointwork.privacy.prompt_pieces import Piece, pieces_of, with_texts
from pointwork.privacy.spans import Span, spans_to_replace, traced_back

_ROUNDS_MAX = 3


class LanguageReading(Protocol):
    """Finds what has no pattern: names, places, addresses (``privacy.language.host``)."""

    def find(self, text: str) -> Sequence[Finding]: ...


class RedactionError(PointworkError):
    """The prompt could not be redacted for certain, so it must not be sent."""


@dataclass(frozen=True, slots=True)
class Redacted:
    """A prompt that may leave, and what brings its answer back."""

    prompt: Prompt = field(repr=False)
    placeholders: Placeholders
    counts: tuple[FindingCount, ...]
    """Replaced spans by kind, recurrences included."""
    rules: tuple[str, ...]
    """Names and versions of the detectors that ran."""
    data_classes: tuple[DataClass, ...] = ()
    """What the reading of names and addresses says the text is, beyond what patterns found."""
    read_characters: int | None = None
    """How much of the text was read for names: all of it, or None where it was not."""


def redact(
    prompt: Prompt,
    *,
    identifiers: bool = True,
    detectors: tuple[Detector, ...] = DETECTORS,
    language: LanguageReading | None = None,
) -> Redacted:
    """Replace credentials always, and personal and customer data where ``identifiers`` (R-30).

    ``language`` finds names, places and addresses as well. It reads the text once, as it was: what
    it would say of a text full of placeholders proves nothing. The detectors read the result.

    Raises:
        LanguageUnavailableError: ``language`` could not read the text.
        RedactionError: something is still found afterwards, a person's name is that of a tool or a
            parameter, or the prompt holds an image, whose persons nobody can replace; where only
            credentials count, it passes as it is.
    """
    if prompt.has_image and identifiers:
        msg = "An image cannot be redacted; use a local model, or send the task without its image."
        raise RedactionError(msg)

    def wanted(text: str) -> list[Finding]:
        found = scan(text, detectors).findings
        return [finding for finding in found if identifiers or finding.is_secret]

    pieces = pieces_of(prompt)
    whole = _joined(pieces)
    read = language.find(whole) if language is not None and identifiers else None
    found = [*wanted(whole), *_outside_placeholders(whole, read or ())]
    spans: list[Span] = []
    left = found
    for _ in range(_ROUNDS_MAX):
        if not left:
            break
        spans = spans_to_replace(whole, found, _bounds_of(pieces))
        marks = _placeholders_for(whole, spans)
        left = wanted(_joined(_replaced(pieces, spans, marks)))
        # What stood beside a replaced value may now read as a value itself.
        found = [*found, *traced_back(left, spans, marks)]
    if left:
        kinds = ", ".join(sorted({finding.kind for finding in left}))
        msg = f"After redaction the text still holds {kinds}; use a local model for this task."
        raise RedactionError(msg)
    if _is_named_for_a_person(pieces, whole, spans):
        msg = "A tool or a parameter has the name of a person; rename it, or use a local model."
        raise RedactionError(msg)
    rules = tuple(detector.name for detector in detectors)
    return _redacted(prompt, pieces, spans, rules, read)


def _outside_placeholders(whole: str, found: Iterable[Finding]) -> Iterator[Finding]:
    """Without what the prompt itself holds of our own form: ``<PERSON_1>`` is nobody's name."""
    taken = [match.span() for match in PLACEHOLDER.finditer(whole)]
    for finding in found:
        if not any(start < finding.end and finding.start < end for start, end in taken):
            yield finding


def _redacted(
    prompt: Prompt,
    pieces: Sequence[Piece],
    spans: Sequence[Span],
    rules: tuple[str, ...],
    read: Sequence[Finding] | None,
) -> Redacted:
    whole = _joined(pieces)
    marks = _placeholders_for(whole, spans)
    originals: dict[str, str] = {}
    for mark, span in zip(marks, spans, strict=True):
        if not span.is_secret:
            original = whole[span.start : span.end]
            # A person is restored by the fullest form of the name that the prompt used.
            originals[mark[1:-1]] = max(originals.get(mark[1:-1], ""), original, key=len)
    secrets = {mark[1:-1] for mark, span in zip(marks, spans, strict=True) if span.is_secret}
    return Redacted(
        prompt=_rewritten(prompt, _replaced(pieces, spans, marks)),
        placeholders=Placeholders(
            values=originals, secrets=frozenset(secrets), literals=_names_in(whole)
        ),
        counts=count_kinds(span.kind for span in spans),
        rules=rules if read is None else (*rules, LANGUAGE_DETECTOR),
        data_classes=tuple(sorted({each.data_class for each in read or () if each.data_class})),
        read_characters=None if read is None else len(whole),
    )


def _joined(pieces: Iterable[Piece]) -> str:
    return "".join(piece.text for piece in pieces)


def _bounds_of(pieces: Sequence[Piece]) -> list[tuple[int, int]]:
    """Where each piece that may be replaced stands in all of them joined."""
    bounds = []
    start = 0
    for piece in pieces:
        if not piece.is_fixed:
            bounds.append((start, start + len(piece.text)))
        start += len(piece.text)
    return bounds


def _is_named_for_a_person(pieces: Iterable[Piece], whole: str, spans: Iterable[Span]) -> bool:
    """Whether what must stay as it is says a name that is replaced elsewhere."""
    stays = "\n".join(piece.text for piece in pieces if piece.is_fixed).casefold()
    names = {whole[span.start : span.end].casefold() for span in spans if span.kind == PERSON}
    return any(re.search(rf"(?<!\w){re.escape(name)}(?!\w)", stays) for name in names)


def _names_in(whole: str) -> frozenset[str]:
    """Names of what already looks like a placeholder, which no value may be given."""
    return frozenset(placeholder_name(match) for match in PLACEHOLDER.finditer(whole))


def _placeholders_for(whole: str, spans: Sequence[Span]) -> list[str]:
    """The placeholder of each span: one per value, numbered by kind in the order of the text."""
    taken = _names_in(whole)
    last: Counter[str] = Counter()
    mark_of: dict[str, str] = {}
    values = _values_of(whole, spans)
    for span, original in zip(spans, values, strict=True):
        if original not in mark_of:
            label = SECRET_LABEL if span.is_secret else span.kind
            last[label] += 1
            while f"{label}_{last[label]}" in taken:
                last[label] += 1
            mark_of[original] = f"<{label}_{last[label]}>"
    return [mark_of[value] for value in values]


def _values_of(whole: str, spans: Sequence[Span]) -> list[str]:
    """What each span stands for: its text, or of a person the fullest name it is a part of.

    ``Ada Lovelace``, ``ADA LOVELACE`` and ``Lovelace`` are one person to who reads the answer, so
    they must be one to the model. Where two persons share the part, it stays a value of its own.
    """
    persons = {
        whole[span.start : span.end]: frozenset(whole[span.start : span.end].casefold().split())
        for span in spans
        if span.kind == PERSON and not span.is_secret
    }
    full: dict[str, str] = {}
    for name, words in persons.items():
        holders = {held for held in persons.values() if words <= held}
        fullest = [held for held in holders if not any(held < other for other in holders)]
        if len(fullest) == 1:
            full[name] = next(each for each, held in persons.items() if held == fullest[0])
    texts = (whole[span.start : span.end] for span in spans)
    return [full.get(text, text) for text in texts]


def _replaced(pieces: Sequence[Piece], spans: Sequence[Span], marks: Sequence[str]) -> list[Piece]:
    """Each piece with its spans as placeholders; ``spans`` count in all pieces joined."""
    replacements = iter((*zip(spans, marks, strict=True), None))
    following = next(replacements)
    replaced = []
    start = 0
    for piece in pieces:
        text, end = piece.text, start + len(piece.text)
        rewritten: list[str] = []
        at = start
        while not piece.is_fixed and following is not None and following[0].end <= end:
            span, mark = following
            rewritten += (text[at - start : span.start - start], mark)
            at = span.end
            following = next(replacements)
        replaced.append(Piece("".join((*rewritten, text[at - start :])), piece.is_fixed))
        start = end
    return replaced


def _rewritten(prompt: Prompt, pieces: Iterable[Piece]) -> Prompt:
    try:
        return with_texts(prompt, (piece.text for piece in pieces if not piece.is_fixed))
    except JsonObjectError:
        pass
    # Two keys that name one person cannot both stand for them in one object.
    msg = "Two keys of a tool call name the same value; use a local model for this task."
    raise RedactionError(msg)
