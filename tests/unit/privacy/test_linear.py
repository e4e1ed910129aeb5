"""Scanning takes work in proportion to the text, whatever the text is made of."""

import subprocess
import sys

import pytest

from tests.scale import Scale

CHARACTERS, CHARACTERS_ALWAYS = 1_000_000, 250_000
SECONDS_MAX, SECONDS_MAX_ALWAYS = 240, 60
"""For two texts, on a busy machine: a quadratic pattern needs far longer."""

UNITS = (
    *(
        "a",
        "-",
        "0",
        " ",
        "@",
        "a@a.",
        "eyJaaaaaaaa.",
        "://a:",
        "QUtJ",
        "1 ",
        "1-",
        "+49 30 ",
        "::",
    ),
    *("password is ", "-----BEGIN PRIVATE KEY-----\n", "Rue de la ", "curl -u ", "<EMAIL_"),
)
# Rules run only where one of their words occurs at all, so every text begins with all of them.
_SCRIPT = """
import sys
from pointwork.privacy.detect import scan
from pointwork.privacy.tokens import TOKEN_RULES
words = [hint for rule in TOKEN_RULES for hint in rule.hints] + (
    "1 @ : - . [at] birth born passport driver account sort customer policy employee patient mrn"
    " box curl mysql machine -- password pin key token secret credential :// ssn tax card phone"
).split(" ")
for unit in sys.stdin.read().split("\\0"):
    text = " ".join(words) + (unit * (%d // len(unit) + 1))[:%d]
    assert scan(text).scanned_characters == len(text)
"""


@pytest.mark.parametrize("first", range(0, len(UNITS), 2))
def test_a_long_text_of_one_thing_repeated_is_read_to_its_end(first: int, scale: Scale) -> None:
    """A megabyte where all that was promised is asked for."""
    script = _SCRIPT % ((scale.of(CHARACTERS, CHARACTERS_ALWAYS),) * 2)
    finished = subprocess.run(
        [sys.executable, "-c", script],
        input="\0".join(UNITS[first : first + 2]),
        text=True,
        encoding="utf-8",
        timeout=scale.of(SECONDS_MAX, SECONDS_MAX_ALWAYS),
        check=False,
    )
    assert finished.returncode == 0
