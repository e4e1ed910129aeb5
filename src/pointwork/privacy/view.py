"""The text as a detector reads it: look-alikes folded, invisible characters gone, places kept."""

import re
import unicodedata
from array import array
from dataclasses import dataclass, field
from functools import lru_cache

_NOT_ASCII = re.compile(r"[^\x00-\x7f]")
_LOOK_ALIKE_FORMS = ("<wide>", "<narrow>", "<font>", "<circle>")
_INVISIBLE_MARKS = frozenset({0x034F, 0x115F, 0x1160, 0x3164, *range(0xFE00, 0xFE10)})
_PUNCTUATION = {
    **dict.fromkeys("“”„‟«»「」『』", '"'),
    **dict.fromkeys("‘’‚‛‹›", "'"),
    "−": "-",
    "∕": "/",
    "。": ".",
}


@dataclass(frozen=True, slots=True)
class View:
    """``text`` is what patterns read; ``lowered`` is the same in lower case, place for place."""

    text: str = field(repr=False)
    lowered: str = field(repr=False)
    positions: "array[int] | None" = field(default=None, repr=False)
    """Where each character of ``text`` stands in the original; None where nothing was folded."""

    def original_span(self, start: int, end: int) -> tuple[int, int]:
        """The span of the original text behind ``start`` to ``end`` of the view (not empty)."""
        if self.positions is None:
            return start, end
        return self.positions[start], self.positions[end - 1] + 1

    def before(self, start: int, length: int) -> str:
        """Up to ``length`` characters that stand before ``start``, in lower case."""
        return self.lowered[max(0, start - length) : start]


def view_of(text: str) -> View:
    """Fold full-width, styled and circled characters, dashes, quotes and digits of every script.

    Zero-width and other format characters are dropped: ``A\\u200bK\\u200bIA`` reads ``AKIA``.
    """
    if text.isascii():
        return View(text=text, lowered=text.lower())
    pieces: list[str] = []
    positions = array("l")
    done = 0
    for match in _NOT_ASCII.finditer(text):
        folded = _fold(match[0])
        if folded == match[0]:
            continue
        at = match.start()
        pieces += (text[done:at], folded)
        positions.extend(range(done, at))
        positions.extend([at] * len(folded))
        done = at + 1
    if not pieces:
        return View(text=text, lowered=_lowered(text))
    pieces.append(text[done:])
    positions.extend(range(done, len(text)))
    folded_text = "".join(pieces)
    return View(text=folded_text, lowered=_lowered(folded_text), positions=positions)


def _lowered(text: str) -> str:
    lowered = text.lower()
    if len(lowered) == len(text):
        return lowered
    # A dotted capital I lowers to two characters, which would shift every place after it.
    return "".join(character.lower()[0] for character in text)


@lru_cache(maxsize=4096)
def _fold(character: str) -> str:
    if character in _PUNCTUATION:
        return _PUNCTUATION[character]
    category = unicodedata.category(character)
    if category == "Cf" or ord(character) in _INVISIBLE_MARKS:
        return ""
    if category == "Nd":
        return str(unicodedata.decimal(character))
    if category == "Pd":
        return "-"
    if category == "Zs":
        return " "
    # Only forms that are the same sign drawn otherwise; a superscript is not its digit.
    if unicodedata.decomposition(character).startswith(_LOOK_ALIKE_FORMS):
        return unicodedata.normalize("NFKC", character)
    return character
