"""What the words around a name, an age, a date or an address say: patterns for prose.

They are looser than the patterns of the tier that always runs, which must not err: what they find
is replaced in texts that leave, where a replaced word too many does little harm.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from pointwork.privacy.language.gazetteer import Gazetteer
from pointwork.privacy.language.marks import Kind, Mark


@dataclass(frozen=True, slots=True)
class _Rule:
    kind: Kind
    pattern: re.Pattern[str]


def _rule(kind: Kind, pattern: str, flags: int = 0) -> _Rule:
    return _Rule(kind, re.compile(pattern, flags))


_I = re.IGNORECASE
_CAPITAL = r"[A-ZÀ-ÖØ-ÞĀ-ŽΑ-ΩА-Я]"
_WORD = rf"{_CAPITAL}[\w'’.-]*"
_NUMBER = r"#?\d{1,5}[A-Za-z]?"
_MONTH = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?"
    r"|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\.?"
)
_UNIT = r"(?:Apt|Apartment|Suite|Ste|Unit|Flat|Room|Floor|Box|PSC|Postbox|P\.?\s?O\.? ?Box)"

_RULES = (
    _rule(
        Kind.AGE,
        r"\b(?:aged?|age of|age:|turn(?:s|ed|ing)?|i'?m|i am|(?:he|she)(?:'s| is| was)|was)\s+"
        r"\d{1,3}\b(?!\s*(?:%|percent|minutes|hours|days|km|miles|[./:]\d))"
        r"(?:[\s-]?(?:years?|yrs?)(?:[\s-]old)?|\s?y/?o\b)?"
        r"|\b\d{1,3}[\s-]?(?:years?|yrs?)[\s-]old\b|\b\d{1,3}\s?y/o\b",
        _I,
    ),
    _rule(
        Kind.TITLE,
        r"\b(?:Mr|Mrs|Ms|Miss|Mx|Dr|Prof|Sir|Madam|Herr|Frau|Mme|Mlle|Sra?|Srta)\b\.?(?=\s+\w)",
    ),
    _rule(Kind.TITLE, r"(?:^|(?<=[.!?]\s)|(?<=\n))(?:mr|mrs|ms|dr)\.(?=\s+\w)"),
    _rule(
        Kind.DATE,
        r"\b\d{4}[-/.]\d{1,2}[-/.]\d{1,2}(?:[T ]\d{1,2}:\d{2}(?::\d{2})?(?:\.\d+)?Z?)?\b"
        r"|\b\d{1,2}[-/.]\d{1,2}[-/.](?:19|20)\d{2}\b"
        rf"|\b{_MONTH}\s+\d{{1,2}}(?:st|nd|rd|th)?,?\s+(?:19|20)\d{{2}}\b"
        rf"|\b\d{{1,2}}(?:st|nd|rd|th)?\s+(?:of\s+)?{_MONTH},?\s+(?:19|20)\d{{2}}\b"
        rf"|\b{_MONTH},?\s+(?:19|20)\d{{2}}\b"
        r"|\b(?:in|since|during|until|from|circa|of|before|after|founded in) (?:19|20)\d{2}\b"
        r"(?![\d./:%]|\s(?:tokens|bytes|items|rows|users|people|files|lines|words|pages))",
        _I,
    ),
    _rule(Kind.STREET_ADDRESS, rf"\b{_UNIT}\.?\s*{_NUMBER}\b"),
    _rule(Kind.STREET_ADDRESS, rf"\b(?:apt|suite|unit|p\.? ?o\.? box)\.?\s{_NUMBER}\b", _I),
    _rule(Kind.STREET_ADDRESS, r"\b(?:APO|FPO|DPO)\s+A[AEP]\s+\d{5}\b", _I),
    _rule(
        Kind.STREET_ADDRESS,
        rf"\bthe corner of (?:{_NUMBER} )?{_WORD}(?: {_WORD}){{0,4}}?(?: {_NUMBER})? and"
        rf" (?:{_NUMBER} )?(?:ul\. )?{_WORD}(?: {_WORD}){{0,3}}(?: {_NUMBER})?",
    ),
    _rule(Kind.POSTCODE, r"\b\d{5}-\d{4}\b|\b[A-Z]{1,2}\d[A-Z\d]?\s\d[A-Z]{2}\b"),
    _rule(Kind.POSTCODE, r"\b[A-Z]\d[A-Z]\s\d[A-Z]\d\b|\b[A-Z]{2}\s+\d{5}\b"),
    _rule(
        Kind.ORGANIZATION,
        rf"\b(?:\d{{1,4}} )?{_WORD}(?: {_WORD}| &| of){{0,5}},? (?:Inc(?:orporated)?|LLC|LLP|Ltd"
        r"|Limited|PLC|GmbH|AG|S\.?A\.?|S\.?p\.?A|B\.?V\.?|Corp(?:oration)?|Group|Holdings"
        r"|and Sons|& Sons|& Co|Associates|Bank|University|Hospital|Partners|Consulting"
        r"|Foundation)\b\.?",
    ),
    _rule(
        Kind.PHONE,
        r"(?<![\w.,/\-])(?!\d{4}-\d{2}-\d{2})(?:\+\d{1,3}[\s.\-]?)?\(?0?\d{2,4}\)?(?:[\s.\-]\d{2,4}){2,4}(?:\s?x\d{1,5})?"
        r"(?![\w/]|-\d|[.,]\d)"
        r"|(?<![\w.,/\-+])\d{3}[ -]\d{4}(?![\w/]|[ -]\d|[.,]\d)",
    ),
)
_NAME = rf"{_CAPITAL}[\w'’-]+"
_SMALL = r"[a-zà-öø-ÿā-ž]"
_TRIO = re.compile(rf"\b({_NAME}), ({_NAME}),? (?:and|&) ({_NAME})\b")
_PAIR = re.compile(
    rf"(?<![\w.]){_NAME}(?: {_CAPITAL}\.?)?(?: (?:de|da|del|di|van|von|der|bin|al|Ó|O|Mc) ?)?"
    rf" {_NAME}"
)
_LOWER_PAIR = re.compile(
    rf"(?<![\w.])({_SMALL}{{3,}}) (?:({_SMALL})\.? )?((?:{_SMALL}|['’-]){{3,}})(?!\w)"
)


def read_context(text: str, names: Gazetteer) -> Iterator[Mark]:
    """Marks of every rule."""
    for rule in _RULES:
        for match in rule.pattern.finditer(text):
            yield Mark(rule.kind, *match.span())
    yield from _listed_names(text, names)


def _listed_names(text: str, names: Gazetteer) -> Iterator[Mark]:
    """Names on the lists, where more than one of them stand together."""
    for match in _TRIO.finditer(text):
        if all(part.casefold() in names.last for part in match.groups()):
            yield Mark(Kind.ORGANIZATION, *match.span())
    for match in _PAIR.finditer(text):
        parts = match[0].split()
        if parts[0].casefold() in names.first and names.is_name(parts[-1]):
            yield Mark(Kind.PERSON, *match.span())
    for match in _LOWER_PAIR.finditer(text):
        first, initial, last = match.groups()
        if first in names.first and last in names.last and (initial or len(first) > 4):
            yield Mark(Kind.PERSON, *match.span())
