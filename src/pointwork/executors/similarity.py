"""How alike texts are, word by word, and what makes them differ however alike they are.

A similarity says nothing about meaning: "is" and "is not" are one word apart. So a paragraph that
holds a figure, a sign or a negating word must be the same in every text, the same names must stand
in the same order, and words that are each other's opposites are a difference. No model looks at
the texts.
"""

import re
import unicodedata
from collections.abc import Sequence
from fractions import Fraction
from itertools import combinations
from typing import Literal

WORDS_MAX = 20_000
"""Longer texts are alike only where they are equal: comparing takes the product of the lengths."""

_WORD = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)*")
_NAME = re.compile(r"(?<![.!?:;\n\s])\s+[^\w\s]*([^\W\d_]\w*)")
"""A word that something of the same sentence goes before."""
_PARAGRAPH = re.compile(r"\n\s*\n")
_SIGNS = frozenset("%&/\\^@?")
_NEGATING = """
no not none never nor neither nothing nobody nowhere without cannot non hardly barely scarcely
except unless only all every always yes true false lack lacks lacking fail fails failed failing
deny denies denied refuse refuses refused wrong instead rather despite although however but
nicht nichts kein keine keinen keinem keiner keines nie niemals niemand ohne nein ausser
ne pas aucun aucune jamais rien sans ni plus personne
ning\u00fan ninguna ninguno nunca jam\u00e1s nada sin tampoco
n\u00e3o nem nenhum nenhuma sem mai senza nessuno nessuna niente nulla neanche n\u00e9
niet niets geen nooit zonder nee ikke ingen intet aldrig uden nej inte ej inget aldri uten nei
bez nigdy nic \u017caden \u017cadna
"""
"""Words that turn a sentence round: English, German, French, Spanish, Portuguese and Italian,
Dutch, Danish, Norwegian and Swedish, Polish."""
_COUNTING = """
zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen
sixteen seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety
hundred hundreds thousand thousands million millions billion billions trillion dozen half third
quarter double twice once triple first second percent
"""
_TELLING = frozenset((_NEGATING + _COUNTING).split())
_OPPOSING = ("un", "in", "im", "il", "ir", "non", "dis", "mis", "anti", "de", "a")

Stop = Literal["", "figures_or_negation", "names", "opposites", "script"]


def similarity(texts: Sequence[str]) -> Fraction:
    """The lowest similarity of any two texts, from 0 to 1.

    For two texts it is twice the longest common subsequence of their words, over the words of both:
    the order of words counts, their case and the punctuation between them do not. 1 is the same
    words in the same order; a text without words is like no other.
    """
    several = [words(text) for text in texts]
    return min(_of_two(one, other) for one, other in combinations(several, 2))


def words(text: str) -> list[str]:
    return _WORD.findall(unicodedata.normalize("NFC", text).casefold())


def stop(texts: Sequence[str]) -> Stop:
    """Why texts differ whatever their similarity; empty where nothing says so.

    ``names``: words within a sentence that begin with a capital, by their order.
    ``script``: letters of another script than Latin, whose negations are not known here.
    """
    if not all(map(_is_latin, texts)):
        return "script"
    if not _same_where_it_counts([_paragraphs(text) for text in texts]):
        return "figures_or_negation"
    if len({_names(text) for text in texts}) > 1:
        return "names"
    several = [frozenset(words(text)) for text in texts]
    return "opposites" if any(_oppose(*two) for two in combinations(several, 2)) else ""


def _of_two(one: Sequence[str], other: Sequence[str]) -> Fraction:
    if not one or not other or max(len(one), len(other)) > WORDS_MAX:
        return Fraction(0)
    return Fraction(2 * _common_subsequence(one, other), len(one) + len(other))


def _common_subsequence(one: Sequence[str], other: Sequence[str]) -> int:
    """Length of the longest one, a row of the usual table as the bits of one integer (Hyyro)."""
    places: dict[str, int] = {}
    for at, word in enumerate(one):
        places[word] = places.get(word, 0) | 1 << at
    every = (1 << len(one)) - 1
    row = every
    for word in other:
        here = row & places.get(word, 0)
        row = ((row + here) | (row - here)) & every
    return len(one) - row.bit_count()


def _same_where_it_counts(several: Sequence[list[str]]) -> bool:
    """Paragraphs that count stand at the same place and are the same, but for white space."""
    if not any(_counts(each) for paragraphs in several for each in paragraphs):
        return True
    if len({len(paragraphs) for paragraphs in several}) > 1:
        return False
    return all(
        len({*row}) == 1 for row in zip(*several, strict=True) if any(_counts(each) for each in row)
    )


def _paragraphs(text: str) -> list[str]:
    normal = unicodedata.normalize("NFC", text).strip()
    return [" ".join(each.split()) for each in _PARAGRAPH.split(normal)]


def _counts(paragraph: str) -> bool:
    if any(_is_sign(character) for character in paragraph):
        return True
    return any(each in _TELLING or each.endswith(("n't", "n\u2019t")) for each in words(paragraph))


def _is_sign(character: str) -> bool:
    if character.isnumeric() or character in _SIGNS:
        return True
    return unicodedata.category(character) in ("Sm", "Sc")


def _names(text: str) -> tuple[str, ...]:
    found = _NAME.findall(unicodedata.normalize("NFC", text).strip())
    return tuple(each for each in found if each[0].isupper())


def _is_latin(text: str) -> bool:
    return all(
        character.isascii() or unicodedata.name(character, "").startswith("LATIN")
        for character in text
        if character.isalpha()
    )


def _oppose(one: frozenset[str], other: frozenset[str]) -> bool:
    """Whether a word of one text and its negated form in the other are what sets them apart."""
    only_one, only_other = one - other, other - one
    return any(
        prefix + word in longer
        for shorter, longer in ((only_one, only_other), (only_other, only_one))
        for word in shorter
        for prefix in _OPPOSING
    )
