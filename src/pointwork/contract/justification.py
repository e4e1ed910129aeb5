"""Reasons of convenience: what justifies no exception to a route (OM-69)."""

import re

SUBSTANCE_LETTERS_MIN = 8
"""Letters and digits that must be left of a reason without what is listed here."""

CONVENIENCE_PHRASES = (
    "as a favour",
    "because i can",
    "because i said so",
    "because i want",
    "because i want it",
    "because i want to",
    "boss said so",
    "cannot be bothered",
    "cannot wait",
    "do not ask",
    "do not care",
    "do not like the local model",
    "easier for me",
    "easier this way",
    "feel like it",
    "for convenience",
    "for fun",
    "for me",
    "for testing",
    "get it done",
    "had to",
    "in a hurry",
    "it is better",
    "it is easier",
    "it is faster",
    "it is quicker",
    "just a test",
    "just because",
    "just for now",
    "just in case",
    "just testing",
    "just this once",
    "just try",
    "like it more",
    "like this model",
    "more convenient",
    "my favourite",
    "n/a",
    "need it now",
    "no particular reason",
    "no real reason",
    "no reason",
    "not applicable",
    "personal preference",
    "please do it",
    "prefer it",
    "prefer this model",
    "saves me time",
    "seems better",
    "short on time",
    "takes too long",
    "to be safe",
    "to save time",
    "to see what happens",
    "to test",
    "too slow",
    "try it out",
    "want it",
    "want to",
    "want to try",
    "works better",
    "why not",
)
"""Each stands for its sense alone: a reason that says more than these is read by a person."""

_CONVENIENCE_WORDS = frozenset(
    {
        *("asap", "better", "convenience", "convenient", "easier", "easy", "fast", "faster"),
        *("favorite", "favourite", "fun", "hurry", "need", "nicer", "override", "please"),
        *("prefer", "preference", "preferred", "quick", "quicker", "quickly", "reason"),
        *("reasons", "simpler", "speed", "tbd", "test", "tested", "testing", "tests", "thanks"),
        *("todo", "try", "trying", "urgent", "want", "wanted", "whatever"),
    }
)
_FILLER = frozenset(
    {
        *("a", "about", "again", "all", "also", "am", "an", "and", "any", "are", "as", "at"),
        *("be", "because", "been", "but", "by", "can", "cant", "care", "could", "do", "does"),
        *("doing", "done", "dont", "for", "from", "get", "go", "got", "had", "has", "have", "i"),
        *("if", "im", "in", "is", "it", "its", "just", "like", "lot", "make", "me", "model"),
        *("more", "much", "my", "no", "not", "now", "of", "ok", "okay", "on", "one", "only"),
        *("or", "our", "really", "right", "so", "some", "that", "the", "then", "there", "these"),
        *("they", "thing", "this", "those", "to", "today", "too", "up", "us", "use", "used"),
        *("using", "very", "was", "way", "we", "will", "with", "would", "yes", "you", "your"),
    }
)
_SPACES = re.compile(r"[^\w/]+|_+")


def convenience_in(reason: str) -> str | None:
    """Why ``reason`` justifies nothing, in a sentence; None where something is left of it.

    Phrases and words of convenience are taken out, whatever their case and punctuation. A reason
    that also says something else stands: a person reads it, and may strike it.
    """
    text = f" {' '.join(_SPACES.sub(' ', reason.casefold().replace(chr(39), '')).split())} "
    for phrase in sorted(CONVENIENCE_PHRASES, key=len, reverse=True):
        text = text.replace(f" {phrase} ", " ")
    left = [word for word in text.split() if word not in _FILLER | _CONVENIENCE_WORDS]
    if sum(map(len, left)) >= SUBSTANCE_LETTERS_MIN:
        return None
    return (
        "reason names convenience and justifies no exception; say what the default route cannot do "
        "for this work, and how that is known"
    )
