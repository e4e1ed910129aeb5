"""Reads prose for names, places, organisations, addresses and dates, with all readers in union."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise

from pointwork.contract.task import DataClass
from pointwork.privacy.findings import LANGUAGE_DETECTOR, Finding
from pointwork.privacy.language.calm import calmed
from pointwork.privacy.language.context import read_context
from pointwork.privacy.language.entities import Entities
from pointwork.privacy.language.foreign import is_foreign
from pointwork.privacy.language.gazetteer import Gazetteer, gazetteer
from pointwork.privacy.language.joining import joined
from pointwork.privacy.language.marks import ADDRESS_KINDS, Kind, Mark
from pointwork.privacy.language.rampart import Labelled, Rampart

WINDOW_CHARACTERS = 4_000
OVERLAP_CHARACTERS = 400

_OF_LABEL = {
    "GIVEN_NAME": Kind.PERSON,
    "SURNAME": Kind.PERSON,
    "PHONE": Kind.PHONE,
    "STREET_NAME": Kind.STREET_ADDRESS,
    "BUILDING_NUMBER": Kind.STREET_ADDRESS,
    "SECONDARY_ADDRESS": Kind.STREET_ADDRESS,
    "CITY": Kind.PLACE,
    "STATE": Kind.PLACE,
    "ZIP_CODE": Kind.POSTCODE,
}
_PERSONAL = frozenset({Kind.PERSON, Kind.STREET_ADDRESS, Kind.PHONE, Kind.NUMBER})
"""What makes a text personal data. A place, a date or a company alone does not; it is replaced."""

_READERS_AGREED_MIN = 2
_SURE_SCORE = 0.6
_WORD_SCORE_MIN = 0.3
_NUMBER_SCORE_MIN = 0.8
_DOUBTFUL_SCORE = 0.85
_CERTAIN_SCORE = 0.97
_NUMBER_CHARACTERS_MIN = 5
_NOT_A_NAME = re.compile(r"[\d_/<>{}=]")
_BESIDE_CHARACTERS = 3
_SENTENCE_END = re.compile(r"(?<=[.!?。！？])\s+|\n+")
_SENTENCES_MIN = 2
_WORD = re.compile(r"[^\W\d_]+")
_NAMING = frozenset({"PROPN", "NOUN", "X", "NUM", ""})


class LanguageReader:
    """The readers, loaded once. Not thread-safe: it is used in a process of its own."""

    def __init__(self) -> None:
        self._entities = Entities()
        self._rampart = Rampart()
        self._names = gazetteer()

    def read(self, text: str) -> list[Finding]:
        """Findings in all of ``text``, window by window; two may overlap.

        Where that names nobody, each sentence is read by itself as well: what stands around a name
        sways the models, and anybody can put a harmless page in front of one.
        """
        found: list[Finding] = []
        for start in _window_starts(text):
            window = text[start : start + WINDOW_CHARACTERS]
            found += (finding.shifted(start) for finding in self._read_window(window))
        if any(finding.data_class is not None for finding in found):
            return found
        return [*found, *self._read_sentences(text)]

    def _read_sentences(self, text: str) -> Iterator[Finding]:
        sentences = list(_sentences(text))
        if len(sentences) < _SENTENCES_MIN:
            return
        for start, sentence in sentences:
            if len(sentence) <= WINDOW_CHARACTERS and _may_name(sentence, self._names):
                for finding in self._read_window(sentence):
                    # By itself, a heading is easily taken for a name: both readers must agree.
                    if finding.data_class is not None:
                        yield finding.shifted(start)

    def _read_window(self, text: str) -> list[Finding]:
        entities, words = self._entities.read(text)
        tokens = list(self._tokens(text, words))
        rules = list(read_context(text, self._names))
        if is_foreign(text):
            # An English model takes any sentence of another language for a name.
            entities = [mark for mark in entities if _is_backed(mark, [*tokens, *rules])]
        marks = [*entities, *_in_company(text, tokens, [*entities, *rules]), *rules]
        grown = joined(text, marks, self._names)
        readers = (entities, [token for token in tokens if token.score >= _SURE_SCORE], rules)
        return [_finding(mark, readers) for mark in grown]

    def _tokens(self, text: str, words: Sequence[tuple[int, int, str]]) -> Iterator[Mark]:
        speech = {start: kind for start, _, kind in words}
        for mark in _by_word(text, self._rampart.read(calmed(text))):
            if _is_believed(text, mark, speech.get(mark.start, "")):
                yield mark


def _sentences(text: str) -> Iterator[tuple[int, str]]:
    """Where each sentence or line begins, and what it says."""
    start = 0
    for end in _SENTENCE_END.finditer(text):
        if text[start : end.start()].strip():
            yield start, text[start : end.start()]
        start = end.end()
    if text[start:].strip():
        yield start, text[start:]


def _may_name(sentence: str, names: Gazetteer) -> bool:
    """Whether a word has a capital that no sentence gave it, or two in a row are on the lists."""
    words = _WORD.findall(sentence)
    if any(not word.islower() for word in words[1:]) or any(map(names.is_name, words[:1])):
        return True
    return any(
        first.casefold() in names.first and last.casefold() in names.last
        for first, last in pairwise(words)
    )


def _window_starts(text: str) -> Iterator[int]:
    """Windows overlap, so that what stands at the edge of one stands inside another."""
    start = 0
    while True:
        yield start
        if start + WINDOW_CHARACTERS >= len(text):
            return
        start += WINDOW_CHARACTERS - OVERLAP_CHARACTERS


def _by_word(text: str, tokens: Sequence[Labelled]) -> Iterator[Mark]:
    """Parts of words put together: a word is as likely a name as its letters are on average."""
    parts: dict[tuple[int, int], list[Labelled]] = defaultdict(list)
    for token in tokens:
        parts[_word_around(text, token.start, token.end)].append(token)
    for (start, end), labelled in parts.items():
        weight = sum(part.score * (part.end - part.start) for part in labelled) / (end - start)
        label = Counter(part.label for part in labelled).most_common(1)[0][0]
        if weight >= _WORD_SCORE_MIN and end - start > 1 and label != "URL":
            yield Mark(_OF_LABEL.get(label, Kind.NUMBER), start, end, weight)


def _word_around(text: str, start: int, end: int) -> tuple[int, int]:
    while start > 0 and text[start - 1].isalnum() and text[start].isalnum():
        start -= 1
    while end < len(text) and text[end].isalnum() and text[end - 1].isalnum():
        end += 1
    return start, end


def _is_believed(text: str, mark: Mark, speech: str) -> bool:
    """A verb in small letters is no surname, unless the model is sure of it."""
    value = text[mark.start : mark.end]
    if mark.kind is Kind.PERSON and _NOT_A_NAME.search(value):
        return False
    if mark.kind is Kind.NUMBER and len(value) < _NUMBER_CHARACTERS_MIN:
        return False
    is_word = value.islower() and value.isalpha()
    if is_word and mark.score < _DOUBTFUL_SCORE and not text.islower():
        return False
    return not (is_word and speech not in _NAMING and mark.score < _CERTAIN_SCORE)


def _in_company(text: str, tokens: Sequence[Mark], others: Sequence[Mark]) -> Iterator[Mark]:
    """Without numbers that stand alone: 12 is a house number beside a street, and else nothing."""
    places = [
        (mark.start, mark.end)
        for mark in (*others, *tokens)
        if mark.kind in ADDRESS_KINDS and not text[mark.start].isdigit()
    ]
    for token in tokens:
        near = any(
            start - _BESIDE_CHARACTERS <= token.end and token.start <= end + _BESIDE_CHARACTERS
            for start, end in places
        )
        is_house = token.kind is Kind.STREET_ADDRESS and text[token.start].isdigit()
        is_sure = token.score >= _NUMBER_SCORE_MIN and not is_house
        if near or is_sure or not token.is_number:
            yield token


def _is_backed(mark: Mark, others: Sequence[Mark]) -> bool:
    if mark.kind not in (Kind.PERSON, Kind.PLACE, Kind.ORGANIZATION, Kind.NATIONALITY):
        return True
    return any(other.start < mark.end and mark.start < other.end for other in others)


def _finding(mark: Mark, readers: Sequence[Sequence[Mark]]) -> Finding:
    """Replaced in any case; personal data, which keeps a task in, where two readers say so."""
    said = sum(
        any(
            other.kind in _PERSONAL and other.start < mark.end and mark.start < other.end
            for other in reader
        )
        for reader in readers
    )
    is_personal = mark.kind in _PERSONAL and said >= _READERS_AGREED_MIN
    data_class = DataClass.PERSONAL if is_personal else None
    return Finding(mark.kind, mark.start, mark.end, data_class, LANGUAGE_DETECTOR)
