"""What the readers of language report before it is put together: stretches with a rough kind."""

import re
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """Rough kinds; the value is the name on the record and in the placeholder."""

    PERSON = "PERSON"
    TITLE = "TITLE"
    STREET_ADDRESS = "STREET_ADDRESS"
    POSTCODE = "POSTCODE"
    PLACE = "PLACE"
    ORGANIZATION = "ORGANIZATION"
    NATIONALITY = "NATIONALITY"
    DATE = "DATE"
    AGE = "AGE"
    PHONE = "PHONE"
    WEB_ADDRESS = "WEB_ADDRESS"
    NUMBER = "ID_NUMBER"


@dataclass(frozen=True, slots=True)
class Mark:
    """One stretch, ``start`` to ``end`` in characters, half open."""

    kind: Kind
    start: int
    end: int
    score: float = 1.0

    @property
    def is_number(self) -> bool:
        """A kind that is mostly digits, and easily taken for a number that is nobody's."""
        return self.kind in (Kind.NUMBER, Kind.STREET_ADDRESS, Kind.POSTCODE)


ADDRESS_KINDS = frozenset({Kind.STREET_ADDRESS, Kind.POSTCODE, Kind.PLACE})

_NO_NAME = re.compile(r"[_<>{}=`|\\]")
_LETTER = re.compile(r"[^\W\d_]")


def is_wordlike(value: str) -> bool:
    """Whether a model may have meant a name: letters, and no sign that code is made of."""
    return _LETTER.search(value) is not None and _NO_NAME.search(value) is None
