"""Scanning takes work in proportion to the text, whatever the text is made of."""

import subprocess
import sys

import pytest

CHARACTERS = 1_000_000
SECONDS_MAX = 120
"""For three texts of a megabyte: a quadratic pattern would need hours, a linear one seconds."""

UNITS = (
    *("a", "-", "0", " ", "@", "\u200b", "４", "a@a.", "eyJ", "eyJaaaaaaaa.", "://a:", "QUtJ"),
    *("-----BEGIN PRIVATE KEY-----\n", "password ", "my password is ", "token=a1", "api_key "),
    *("1 ", "1-", "+49 30 ", "4111 ", "DE89 ", "::", "Rue de la ", "1 Ab ", "date of birth "),
    *("customer id ", "account 1", "curl -u ", "<EMAIL_"),
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


@pytest.mark.parametrize("first", range(0, len(UNITS), 3))
def test_a_megabyte_of_one_thing_repeated_is_read_to_its_end(first: int) -> None:
    script = _SCRIPT % (CHARACTERS, CHARACTERS)
    finished = subprocess.run(
        [sys.executable, "-c", script],
        input="\0".join(UNITS[first : first + 3]),
        text=True,
        encoding="utf-8",
        timeout=SECONDS_MAX,
        check=False,
    )
    assert finished.returncode == 0
