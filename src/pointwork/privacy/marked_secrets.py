"""Credentials that stand between fixed marks: key blocks, URLs, netrc and command lines."""

import re
from collections.abc import Iterator

from pointwork.privacy.stand_ins import is_stand_in, trimmed_end
from pointwork.privacy.tokens import Span
from pointwork.privacy.view import View

_KEY_BEGIN = re.compile(
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|PuTTY-User-Key-File-"
)
_KEY_END = re.compile(
    r"-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|Private-MAC: ?[0-9a-f]*"
)
_KEY_BODY = re.compile(r"[A-Za-z0-9+/=\s\\:,.\"-]*+")
_URL = re.compile(r"://([^\s:/@\"'<>]{0,128}):([^\s/\"'<>]{1,256})@")

_MARKS: tuple[tuple[str, tuple[str, ...], re.Pattern[str]], ...] = (
    (
        "PASSWORD",
        ("machine",),
        re.compile(
            r"\bmachine\s{1,8}\S{1,100}\s{1,8}login\s{1,8}\S{1,100}\s{1,8}password\s{1,8}(\S{4,128})"
        ),
    ),
    (
        "PASSWORD",
        ("curl",),
        re.compile(
            r"\bcurl\b[^\n]{0,300}?\s(?:-u|--user)[ =]?[\"']?[^\s:\"']{1,64}:([^\s\"']{4,128})"
        ),
    ),
    (
        "PASSWORD",
        ("mysql", "mariadb", "sshpass"),
        re.compile(
            r"\b(?:mysql|mysqldump|mariadb|sshpass)\b[^\n]{0,200}?"
            r"\s-p ?[\"']?([^\s\"'-][^\s\"']{3,127})"
        ),
    ),
    (
        "SECRET_SETTING",
        ("--",),
        re.compile(
            r"--(?:password|passwd|pass|passphrase|token|auth-token|api-key|apikey|secret"
            r"|client-secret)[ =][\"']?([^\s\"'<>-][^\s\"'<>]{3,255})"
        ),
    ),
)


def find_marked_secrets(view: View) -> Iterator[Span]:
    """Every credential between marks, as spans of the value alone (of a key block, all of it)."""
    yield from _key_blocks(view.text)
    yield from _url_passwords(view.text)
    for kind, hints, pattern in _MARKS:
        if any(hint in view.lowered for hint in hints):
            for match in pattern.finditer(view.text):
                if not is_stand_in(match[1]):
                    yield kind, match.start(1), trimmed_end(view.text, *match.span(1))


def _key_blocks(text: str) -> Iterator[Span]:
    """Private keys from BEGIN to END; without an END, as far as the encoded body reaches."""
    at = 0
    has_end = True
    while begin := _KEY_BEGIN.search(text, at):
        end = _KEY_END.search(text, begin.end()) if has_end else None
        # Looking for an END that is not there once per BEGIN would be quadratic.
        has_end = end is not None
        body = _KEY_BODY.match(text, begin.end())
        at = end.end() if end else (body or begin).end()
        yield "PRIVATE_KEY", begin.start(), at


def _url_passwords(text: str) -> Iterator[Span]:
    for match in _URL.finditer(text):
        if not is_stand_in(match[2]):
            yield "URL_PASSWORD", *match.span(2)
