"""Credentials that a word before them names: ``password = ...``, ``API_KEY=``, "my PIN is"."""

import re
from collections.abc import Iterator

from pointwork.privacy.stand_ins import (
    is_password_like,
    is_random,
    is_said_of_passwords,
    is_stand_in,
    trimmed_end,
)
from pointwork.privacy.tokens import Span
from pointwork.privacy.view import View

_PASSWORD = re.compile(
    "password|passwd|passphrase|passcode|pass_word|pwd|passwort|kennwort|mot de passe|motdepasse"
    "|contraseña|contrasena|parola d'ordine|senha|wachtwoord|hasło|haslo|lösenord|losenord"
    "|adgangskode|kodeord|passord|salasana|heslo|jelszó|şifre|sifre|parola|пароль|κωδικός"
    "|密码|密碼|口令|パスワード|暗証番号|비밀번호|암호"
)
_PIN = re.compile(r"(?<![\w.-])pin(?!\w)")
_SECRET = re.compile(r"key|token|secret|credential|(?<=access_)pat")
_IS_OWNED_BY = re.compile(
    r"(?<!\w)(?:my|our|his|her|their|your|mein|unser|mon|notre|mi|mia|minha|mijn|moje)\s"
    r"(?:\w{1,20}\s)?$"
)
_KEY_IS_OF = re.compile(
    r"(?:api|access|secret|private|auth|client|app|application|consumer|encryption|signing|webhook"
    r"|shared|session|service|master|admin|refresh|bearer|bot|deploy|account|storage|subscription"
    r"|personal|jwt|hmac)[ _.-]?(?:access[ _.-]?)?$"
)
_ASSIGN = r"[\"'\]]{0,2}\s{0,3}(?::=|=>|={1,3}|:)\s{0,4}"
_VALUE = (
    r"(?:\\?\"(?P<double>[^\"\n]{4,256}?)\\?\"|'(?P<single>[^'\n]{4,256})'|`(?P<tick>[^`\n]{4,256})`"
    r"|(?P<bare>[^\s\"'`<>(){}\[\],;]{4,256}))(?P<after>[(\[]?)"
)
_PASSWORD_SET = re.compile(rf"(?:_?[0-9]|s)?{_ASSIGN}{_VALUE}")
_PASSWORD_SAID = re.compile(
    r"(?:s|en)?(?:\s{1,3}[^\s:=\"'`]{1,30}){0,6}?"
    r"\s{1,3}(?:is|was|to|ist|lautet|war|est|es|è|é|är|er|on|jest|je|это|είναι)(?:\s{1,3}now)?"
    rf"\s{{0,3}}:?\s{{1,3}}{_VALUE}",
    re.IGNORECASE,
)
_PASSWORD_SAID_CJK = re.compile(
    r"\s{0,2}(?:是|为|為|は|은|는|가|:|=)\s{0,2}[\"'`]?(?P<bare>[!-~]{4,128})"
)
_SECRET_SET = re.compile(
    r"s?(?:_?(?:base|value|key|id))?(?:"
    + _ASSIGN
    + r"|\s{1,3}(?:is|ist|est|es|è|é)\s{0,2}:?\s{1,3})"
    r"(?:\\?[\"'`])?(?P<bare>[A-Za-z0-9+/=_.~:-]{12,512})(?P<after>[(\[]?)"
)
_OWNER_CHARACTERS = 30
_PREFIX_CHARACTERS = 24


def find_named_secrets(view: View) -> Iterator[Span]:
    """Every credential that a name announces, as spans of the value alone."""
    for name in _PASSWORD.finditer(view.lowered):
        yield from _password_after(view, name)
    for name in _PIN.finditer(view.lowered):
        yield from _said_password(view, name)
    for name in _SECRET.finditer(view.lowered):
        yield from _secret_after(view, name)


def _password_after(view: View, name: re.Match[str]) -> Iterator[Span]:
    match = _PASSWORD_SET.match(view.text, name.end())
    if match is None:
        yield from _said_password(view, name)
        return
    start, end, is_quoted = _value_span(match)
    value = view.text[start:end]
    if is_stand_in(value) or (match["after"] and not is_quoted):
        return
    # DB_PASSWORD=swordfish in a settings file, or ;password=swordfish; in a connection string, is
    # a value; elsewhere a bare word after the name is a variable or a type.
    is_closed = match[0].startswith("=") and view.text[end : end + 1] in {"", ";", "&", "\n"}
    is_setting = view.text[name.start() : name.end()].isupper() or is_closed
    is_word = is_setting and value.isalpha() and not is_said_of_passwords(value)
    if is_quoted or is_password_like(value) or is_word:
        yield "PASSWORD", start, trimmed_end(view.text, start, end)


def _said_password(view: View, name: re.Match[str]) -> Iterator[Span]:
    """``my password for the wiki is ...`` in a dozen languages."""
    text = view.text
    match = _PASSWORD_SAID_CJK.match(text, name.end()) or _PASSWORD_SAID.match(text, name.end())
    if match is None:
        return
    start, end, is_quoted = _value_span(match)
    end = trimmed_end(text, start, end)
    value = text[start:end]
    if is_stand_in(value):
        return
    is_owned = _IS_OWNED_BY.search(view.before(name.start(), _OWNER_CHARACTERS)) is not None
    is_whole_answer = is_owned and text[end : end + 2].strip() in {"", ".", ",", "!", ";"}
    if (
        is_quoted
        or is_password_like(value)
        or (is_whole_answer and not is_said_of_passwords(value))
    ):
        yield "PASSWORD", start, end


def _secret_after(view: View, name: re.Match[str]) -> Iterator[Span]:
    """A value too random to be a word, given to a name that says key, token or secret."""
    match = _SECRET_SET.match(view.text, name.end())
    if match is None or match["after"]:
        return
    before = view.before(name.start(), _PREFIX_CHARACTERS)
    if name[0] in {"key", "pat"} and _KEY_IS_OF.search(before) is None:
        return
    start, end = match.span("bare")
    end = trimmed_end(view.text, start, end)
    value = view.text[start:end]
    if not is_stand_in(value) and is_random(value):
        yield "SECRET_SETTING", start, end


def _value_span(match: re.Match[str]) -> tuple[int, int, bool]:
    """Start and end of the value, and whether it stood in quotes."""
    for name in ("double", "single", "tick"):
        if match.groupdict().get(name) is not None:
            return *match.span(name), True
    return *match.span("bare"), False
