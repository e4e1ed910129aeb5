"""The credential detector: by own form, by surroundings, and both once more behind one wrapping."""

import re
import string
from collections.abc import Iterator

from pointwork.contract.task import DataClass
from pointwork.privacy.findings import Detector, Finding
from pointwork.privacy.marked_secrets import find_marked_secrets
from pointwork.privacy.named_secrets import find_named_secrets
from pointwork.privacy.tokens import Span, decode_base64, find_tokens
from pointwork.privacy.view import View, view_of

_BASE64 = re.compile(
    r"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{20,}+(?:\r?\n[A-Za-z0-9+/_-]{4,}+)*+={0,2}"
)
_HEX = re.compile(r"(?<![0-9A-Fa-f])(?:[0-9A-Fa-f]{2}){12,}+(?![0-9A-Fa-f])")
_ROT13 = str.maketrans(
    string.ascii_letters,
    "".join(
        alphabet[13:] + alphabet[:13]
        for alphabet in (string.ascii_lowercase, string.ascii_uppercase)
    ),
)
_NAME = "credentials@1"


def _find_credentials(view: View) -> Iterator[Finding]:
    for find in (_find_plain, _find_base64, _find_hex, _find_rot13):
        for kind, start, end in find(view):
            yield Finding(kind, start, end, DataClass.CREDENTIAL, _NAME)


CREDENTIALS = Detector(name=_NAME, find=_find_credentials)


def _find_plain(view: View) -> Iterator[Span]:
    yield from find_tokens(view.text)
    yield from find_marked_secrets(view)
    yield from find_named_secrets(view)


def _find_base64(view: View) -> Iterator[Span]:
    """A run whose bytes read as text that holds a credential is a credential as a whole."""
    for match in _BASE64.finditer(view.text):
        run = "".join(match[0].split())
        # Glued to something before it, the encoded part may begin at any of four places.
        for skipped in range(4):
            kind = _kind_within(decode_base64(run[skipped:]))
            if kind is not None:
                yield kind, *match.span()
                break


def _find_hex(view: View) -> Iterator[Span]:
    for match in _HEX.finditer(view.text):
        kind = _kind_within(bytes.fromhex(match[0]))
        if kind is not None:
            yield kind, *match.span()


def _find_rot13(view: View) -> Iterator[Span]:
    """Own form only: a turned sentence has no surroundings that say anything."""
    yield from find_tokens(view.text.translate(_ROT13))


def _kind_within(decoded: bytes) -> str | None:
    """What the decoded bytes hold. Random bytes are almost never ASCII, so this is a cheap gate."""
    if not decoded or not decoded.isascii():
        return None
    text = decoded.decode("ascii")
    for kind, _, _ in _find_plain(view_of(text)):
        return kind
    return None
