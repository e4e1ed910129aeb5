"""What looks like a secret's value and is none: a template, a mask, a word about the secret."""

import math
import re
from collections import Counter

_ENTROPY_BITS_MIN = 2.8
"""Per character. A word repeats its letters; a random hex string does not."""

_TRIM = ".,;:)]}>\"'`。，、"

_STAND_IN = re.compile(
    r"(?i)(?:<.*|\$.*|\{.*|%.*|@.*|\(.*|\[.*|[*•.x_#-]+|x{3,}.*"
    r"|(?:your|my|the|some|enter|insert|new|old|user|db|test|fake|dummy)[ _-]?(?:.{0,20}[ _-])?"
    r"(?:password|passwd|pass|secret|token|key|pwd|here)s?"
    r"|change[_-]?(?:me|it|this)|placeholder|redacted|hidden|masked|none|null|nil|true|false"
    r"|undefined|empty|secret|password|passwd|string|str|text|bytes|required|optional|example"
    r"|(?:os|process|env|self|this|args|config|settings|options|params|request|req|ctx|var|vars"
    r"|data|secrets|local|module|github|user|form|body|props|state|values?)\.[a-z_].*|https?:.*)"
)
_MEASURE_OR_HASH = re.compile(
    r"(?i)(?:[0-9]{1,4}[-–](?:bit|byte|char|digit|letter|day|hour|minute|word|[0-9]{1,4}).*"
    r"|(?:sha|md|bcrypt|argon|aes|pbkdf|base|scrypt|rfc|utf|ipv|oauth|2fa|mfa|v)[-_]?[0-9].*"
    r"|[0-9]{1,3}(?:%|\+|st|nd|rd|th)|.*://.*|[0-9]{1,2}:[0-9]{2}.*)"
)
_WORDS_ABOUT_PASSWORDS = """
wrong incorrect invalid expired required hidden stored hashed encrypted reset changed missing
empty weak strong safe secure compromised correct valid needed lost forgotten blank null unset
optional visible exposed leaked shared rejected accepted case sensitive being never always still
also only just about longer shorter what that this then there when where which good here known
unknown kept used sent saved falsch richtig abgelaufen vergessen nicht incorrecte oublié pas
incorrecta errata scaduta incorreta verlopen niet fel nieprawidłowe mandatory generated created
okay fine gone different same easy simple hard bad included protected locked disabled enabled
working failing asked salted plaintext plain rotated managed back from with your must should
when they
"""
_SAID_OF_PASSWORDS = frozenset(_WORDS_ABOUT_PASSWORDS.split())


def is_stand_in(value: str) -> bool:
    """A template, a mask, a type's name or an expression that reads the value from elsewhere."""
    return _STAND_IN.fullmatch(value.rstrip(_TRIM) or value) is not None


def is_said_of_passwords(value: str) -> bool:
    """A word people use about a password rather than as one."""
    return value.lower() in _SAID_OF_PASSWORDS


def is_password_like(value: str) -> bool:
    """Holds a digit or a sign no word holds, and is not a measure or the name of a hash."""
    body = value.rstrip(_TRIM)
    if len(body) < 4 or _MEASURE_OR_HASH.fullmatch(body):
        return False
    has_digit = any(character.isdigit() for character in body)
    has_sign = any(character in "!@#$%^&*+=~?|" for character in body)
    return has_digit or has_sign or body.count("-") >= 3


def is_random(value: str) -> bool:
    """Letters and digits mixed, with more entropy than a word or an identifier has."""
    letters = sum(character.isalpha() for character in value)
    digits = sum(character.isdigit() for character in value)
    if letters < 2 or digits < 2:
        return False
    counts = Counter(value)
    bits = -sum(n / len(value) * math.log2(n / len(value)) for n in counts.values())
    return bits >= _ENTROPY_BITS_MIN


def trimmed_end(text: str, start: int, end: int) -> int:
    """``end`` without the full stop or bracket that closes the sentence around the value."""
    length = len(text[start:end].rstrip(_TRIM))
    return start + length if length >= 4 else end
