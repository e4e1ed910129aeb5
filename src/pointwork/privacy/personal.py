"""Personal data by its shape, or by the word before it: addresses, networks, births, accounts."""

import ipaddress
import re
from collections.abc import Callable, Iterator

from pointwork.contract.task import DataClass
from pointwork.privacy.findings import Detector, Finding
from pointwork.privacy.shapes import ShapeRule, shape_rule
from pointwork.privacy.streets import STREETS
from pointwork.privacy.view import View

_NAME = "personal@1"


def _find_personal(view: View) -> Iterator[Finding]:
    has_digit = _DIGIT.search(view.text) is not None
    for rule in _RULES:
        if rule.hints and not any(hint in view.lowered for hint in rule.hints):
            continue
        if not rule.hints and not has_digit:
            continue
        source = view.lowered if rule.in_any_case else view.text
        group = "value" if "value" in rule.pattern.groupindex else 0
        for match in rule.pattern.finditer(source):
            if rule.check is None or rule.check(match):
                yield Finding(rule.kind, *match.span(group), rule.data_class, _NAME)


PERSONAL = Detector(name=_NAME, find=_find_personal)

_DIGIT = re.compile(r"[0-9]")


def _is_personal_mail(match: re.Match[str]) -> bool:
    """``git@host:path`` names a repository, not a person."""
    is_remote = match.string[match.end() : match.end() + 1] in {":", "/"} and match[0][:4] == "git@"
    return not is_remote


def _is_public_v4(match: re.Match[str]) -> bool:
    """A global address that is not a version or a section number written alike."""
    try:
        address = ipaddress.IPv4Address(match[0])
    except ValueError:
        return False
    if sum(octet >= 10 for octet in address.packed) < 2 or match[0].endswith(".0.0"):
        return False
    before = match.string[max(0, match.start() - 12) : match.start()].lower()
    return bool(address.is_global) and _VERSION_BEFORE.search(before) is None


_VERSION_BEFORE = re.compile(
    r"(?:version|ver|v|release|section|rev|build|chapter|§|[a-z]/)[ .:=]?\s?$"
)


def _is_public_v6(match: re.Match[str]) -> bool:
    groups = [group for group in match[0].split(":") if group]
    if len(groups) < 3 or len(groups[0]) < 3:
        return False
    try:
        return bool(ipaddress.IPv6Address(match[0]).is_global)
    except ValueError:
        return False


def _is_device(match: re.Match[str]) -> bool:
    """Not broadcast, not empty, and with a letter: six pairs of digits are something else."""
    digits = match[0].replace(":", "").replace("-", "").lower()
    return len(set(digits)) > 1 and any(character in "abcdef" for character in digits)


def _has_digits(least: int) -> Callable[[re.Match[str]], bool]:
    def holds(match: re.Match[str]) -> bool:
        count: int = sum(character.isdigit() for character in match["value"])
        return count >= least

    return holds


_MONTH = (
    r"(?:jan|feb|f[ée]v|m[aä]r|mrz|apr|avr|ma[iyj]|jun|juin|jul|juil|aug|août|ago|sep|o[ck]t|out|nov"
    r"|de[czs]|d[ée]c|ene|gen|giu|lug|set|dic|abr|dez)[a-zäéû]{0,8}\.?"
)
_YEAR = r"(?:19[0-9]{2}|20[0-2][0-9])"
_DATE = (
    rf"(?:{_YEAR}[-./][0-9]{{1,2}}[-./][0-9]{{1,2}}"
    rf"|[0-9]{{1,2}}[-./ ]{{1,2}}[0-9]{{1,2}}[-./ ]{{1,2}}(?:{_YEAR}|[0-9]{{2}})"
    rf"|[0-9]{{1,2}}(?:st|nd|rd|th)?\.? (?:of |de |di )?{_MONTH},? (?:de |del )?{_YEAR}"
    rf"|{_MONTH} [0-9]{{1,2}}(?:st|nd|rd|th)?,? {_YEAR}|{_YEAR}年[0-9]{{1,2}}月[0-9]{{1,2}}日)"
)
_OF_NUMBER = r"(?:[ _-]?(?:number|num|no|nr|nummer|n[uú]mero|numéro|id|ref|reference)\b)?\.?"
_IS = r"[\"']?\s{0,2}[:=#-]{0,2}\s{0,2}(?:(?:is|ist|est|es|è|é|was|of)\s{1,2}:?\s{0,2})?[\"'#]?"
_UNDER = r"(?:id|number|num|no|nr|nummer|n[uú]mero|numéro|code|#)"

_CUSTOMER = DataClass.CUSTOMER

_RULES: tuple[ShapeRule, ...] = (
    shape_rule(
        "EMAIL",
        r"(?<![\w.+%-])[\w.+%-]{1,64}+@(?:[^\W_](?:[\w-]{0,62})\.){1,6}[^\W\d_]{2,24}(?![^\W_]|-\w)",
        "@",
        check=_is_personal_mail,
    ),
    shape_rule(
        "EMAIL",
        r"(?<![\w.+-])[\w.+-]{1,64}+ ?[\[({] ?at ?[\])}] ?[\w-]{1,63}"
        r"(?:(?: ?[\[({] ?dot ?[\])}] ?|\.)[\w-]{1,63}){1,4}",
        *("[at", "(at", "{at", "[ at", "( at"),
        in_any_case=True,
    ),
    shape_rule(
        "IP_ADDRESS",
        r"(?<![\w.-])(?<![\w:.]/)(?:[0-9]{1,3}\.){3}[0-9]{1,3}(?![\w-])(?!\.[0-9])",
        ".",
        check=_is_public_v4,
    ),
    shape_rule(
        "IP_ADDRESS",
        r"(?<![\w:.])(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{1,4}(?!\w|:[\w:])",
        ":",
        check=_is_public_v6,
    ),
    shape_rule(
        "MAC_ADDRESS",
        r"(?<![0-9A-Za-z:-])[0-9A-Fa-f]{2}([:-])(?:[0-9A-Fa-f]{2}\1){4}[0-9A-Fa-f]{2}(?!\w|[:-]\w)",
        *(":", "-"),
        check=_is_device,
    ),
    shape_rule(
        "DATE_OF_BIRTH",
        r"(?:date of birth|d\.?o\.?b\.?\b|birth[ _-]?da(?:te|y)|\bborn\b|geboren|geburtsdatum|geb\."
        r"|n[ée]e? le|date de naissance|fecha de nacimiento|nacid[oa]|nat[oa] il|data di nascita"
        r"|data de nascimento|geboortedatum|född|født|urodzon[ya]|data urodzenia|дата рождения"
        r"|родил|生年月日|出生)"
        rf"[^0-9\n]{{0,24}}?\n?[^0-9\n]{{0,4}}?(?<![0-9])(?P<value>{_DATE})(?![0-9])",
        *("birth", "dob", "d.o.b", "born", "gebor", "geburt", "geb.", "né le", "née le", "ne le"),
        *("naiss", "nacim", "nacid", "nato il", "nata il", "nascita", "nascimento", "geboort"),
        *("född", "født", "urodz", "рожд", "родил", "生年月日", "出生"),
        in_any_case=True,
    ),
    shape_rule(
        "PASSPORT",
        r"(?:passport|reisepass|passeport|pasaporte|passaporto|passaporte|paspoort|paszport|паспорт|护照|パスポート)"
        rf"{_OF_NUMBER}{_IS}(?P<value>[a-z]{{0,3}}[ -]?[0-9][a-z0-9]{{4,9}}[0-9a-z])\b",
        *(
            "passp",
            "reisepass",
            "pasap",
            "passap",
            "paspoo",
            "paszp",
            "паспорт",
            "护照",
            "パスポート",
        ),
        check=_has_digits(5),
        in_any_case=True,
    ),
    shape_rule(
        "DRIVING_LICENCE",
        r"(?:driv(?:er|ing)(?:'?s?)[ _-]?(?:licen[cs]e)|führerschein|permis de conduire"
        rf"|licencia de conducir){_OF_NUMBER}{_IS}(?P<value>[a-z0-9](?:[ -]?[a-z0-9]){{5,17}})\b",
        *("driv", "führerschein", "permis", "licencia"),
        check=_has_digits(5),
        in_any_case=True,
    ),
    shape_rule(
        "ACCOUNT_NUMBER",
        r"\b(?:account|acct|a/c|bank account|konto|compte|cuenta|conta|conto|rekening)[ ._-]?"
        r"(?:number|num|no|nr|nummer|n[uú]mero|numéro|id|#)?\.?"
        rf"{_IS}(?P<value>[a-z]{{0,4}}[0-9](?:[ -]?[0-9a-z]){{5,24}})\b",
        *("account", "acct", "a/c", "konto", "compte", "cuenta", "conta", "conto", "rekening"),
        check=_has_digits(6),
        data_class=_CUSTOMER,
        in_any_case=True,
    ),
    shape_rule(
        "SORT_CODE",
        rf"sort[ _-]?code{_IS}(?P<value>[0-9]{{2}}[ -]?[0-9]{{2}}[ -]?[0-9]{{2}})\b",
        "sort",
        data_class=_CUSTOMER,
        in_any_case=True,
    ),
    shape_rule(
        "CUSTOMER_ID",
        r"(?:customer|client|member|subscriber|policy ?holder|insured|loyalty|kunden|klanten"
        rf"|cliente|kunde)[ _-]?{_UNDER}{_IS}(?P<value>[a-z0-9][a-z0-9-]{{3,24}}[a-z0-9])\b",
        *(
            "customer",
            "client",
            "member",
            "subscriber",
            "holder",
            "insured",
            "loyalty",
            "kunde",
            "klant",
        ),
        check=_has_digits(4),
        data_class=_CUSTOMER,
        in_any_case=True,
    ),
    shape_rule(
        "POLICY_NUMBER",
        r"(?:policy|insurance|versicherung|police|póliza|polizza)[ _-]?"
        rf"(?:number|no|nr|nummer|#)\.?{_IS}"
        r"(?P<value>[a-z0-9][a-z0-9 /-]{4,24}[0-9])\b",
        *("policy", "insurance", "versicher", "police", "póliza", "polizza"),
        check=_has_digits(5),
        data_class=_CUSTOMER,
        in_any_case=True,
    ),
    shape_rule(
        "EMPLOYEE_ID",
        rf"(?:employee|staff|personnel|student|personalnummer|matrikel)[ _-]?{_UNDER}{_IS}"
        r"(?P<value>[a-z0-9][a-z0-9-]{3,18}[0-9])\b",
        *("employee", "staff", "personnel", "student", "matrikel", "personalnummer"),
        check=_has_digits(4),
        in_any_case=True,
    ),
    shape_rule(
        "PATIENT_ID",
        rf"(?:patient|patienten|paciente)[ _-]?{_UNDER}{_IS}"
        r"(?P<value>[a-z0-9][a-z0-9-]{3,18}[0-9])\b",
        *("patient", "paciente"),
        check=_has_digits(4),
        in_any_case=True,
    ),
    shape_rule(
        "MEDICAL_RECORD",
        r"(?:\bmrn|medical[ _-]?record|health[ _-]?(?:insurance|card|plan)|hospital"
        rf"|krankenversicherten|kvnr|dossier médical|medicare|medicaid){_OF_NUMBER}{_IS}"
        r"(?P<value>[a-z]{0,3}[0-9](?:[ -]?[a-z0-9]){4,14})\b",
        *("mrn", "medical", "health", "hospital", "krankenv", "kvnr", "médical", "medica"),
        check=_has_digits(5),
        in_any_case=True,
    ),
    *STREETS,
)
