"""What a search finds."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Passage:
    """``score`` is the cosine between question and passage, above 0 and at most 1."""

    rank: int
    id: str
    title: str = field(repr=False)
    text: str = field(repr=False)
    score: float


@dataclass(frozen=True, slots=True)
class TermWeight:
    """What one word adds to a passage's score."""

    term: str = field(repr=False)
    weight: float
