"""Words that announce what the number after them is."""

import re
from dataclasses import dataclass

from pointwork.privacy.view import View

_REACH_CHARACTERS = 48
_SHORT_CHARACTERS = 4


@dataclass(frozen=True, slots=True)
class Cues:
    """Lower-case words. A short one counts as a whole word only: ``sin`` is not in ``using``."""

    words: tuple[str, ...]
    pattern: re.Pattern[str]

    def occur_in(self, view: View) -> bool:
        """Whether any of the words may stand anywhere: a cheap test before any other."""
        return any(word in view.lowered for word in self.words)

    def stand_before(self, view: View, start: int, reach: int = _REACH_CHARACTERS) -> bool:
        """Whether one of the words stands within ``reach`` characters before ``start``."""
        return self.pattern.search(view.before(start, reach)) is not None


def cues_of(*words: str) -> Cues:
    choices = "|".join(
        rf"(?<![^\W_]){re.escape(word)}(?![^\W\d_])"
        if len(word) <= _SHORT_CHARACTERS
        else re.escape(word)
        for word in words
    )
    # <PHONE_1> stands where a number was; its name announces nothing about the number after it.
    return Cues(words=words, pattern=re.compile(rf"(?:{choices})(?![a-z_]{{0,24}}_[0-9]{{1,6}}>)"))
