"""Whether a text is in another language than English, by the small words it uses."""

import re
from functools import lru_cache
from importlib import import_module

_LANGUAGES = ("de", "fr", "es", "it", "pt", "nl", "sv", "da", "nb", "fi", "pl", "cs", "ro", "tr")
_WORD = re.compile(r"[^\W\d_]+")
_WORDS_MIN = 3


def is_foreign(text: str) -> bool:
    """Whether small words of one other language outnumber English ones; at least three."""
    words = [word.lower() for word in _WORD.findall(text)]
    english = sum(word in _small_words("en") for word in words)
    other = max(sum(word in _small_words(code) for word in words) for code in _LANGUAGES)
    return other >= _WORDS_MIN and other > english


@lru_cache
def _small_words(code: str) -> frozenset[str]:
    """spaCy's list of a language; of another than English, without the words English has too."""
    words = frozenset(import_module(f"spacy.lang.{code}.stop_words").STOP_WORDS)
    return words if code == "en" else words - _small_words("en")
