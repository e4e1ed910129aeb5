"""The text as a language model expects it: without quote marks, and not in capitals throughout."""

import re

_QUOTED = re.compile(r"^[ \t]*(?:[>?|*#]+[ \t]?)+", re.MULTILINE)
_SHOUTED = re.compile(r"\b[^\W\d_]{4,}\b")


def calmed(text: str) -> str:
    """``text`` with the same length: marks of quoted lines are blank, shouted words are names.

    ``> POZNAŃ`` reads ``  Poznań``: models were made on prose, and take capitals for an
    organisation and the mark for the first word of the line.
    """
    blanked = _QUOTED.sub(lambda match: " " * len(match[0]), text)
    return _SHOUTED.sub(_as_name, blanked)


def _as_name(match: re.Match[str]) -> str:
    word = match[0]
    name = word[0] + word[1:].lower()
    # Some capitals have no small letter of their own length; a shift would move every later place.
    return name if word.isupper() and len(name) == len(word) else word
