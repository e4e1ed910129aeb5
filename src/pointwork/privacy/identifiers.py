"""Numbers that prove themselves: a checksum, an embedded date or an issued range must hold.

Formats that ordinary numbers share (nine bare digits, say) also need a word before them that names
the scheme; formats that nothing else has need none. The checks are python-stdnum's.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from stdnum import imei, luhn
from stdnum.ar import cuit
from stdnum.at import vnr
from stdnum.au import tfn
from stdnum.be import nn as be_nn
from stdnum.bg import egn
from stdnum.br import cpf
from stdnum.ca import sin
from stdnum.ch import ssn as ch_ssn
from stdnum.cl import rut
from stdnum.cn import ric
from stdnum.cz import rc
from stdnum.de import idnr
from stdnum.dk import cpr
from stdnum.ee import ik
from stdnum.es import dni, nie
from stdnum.eu import vat
from stdnum.fi import hetu
from stdnum.fr import nif as fr_nif
from stdnum.fr import nir
from stdnum.gb import nhs, utr
from stdnum.gr import amka
from stdnum.hr import oib
from stdnum.ie import pps
from stdnum.il import idnr as il_idnr
from stdnum.in_ import aadhaar, pan
from stdnum.is_ import kennitala
from stdnum.iso7064 import mod_97_10
from stdnum.it import codicefiscale
from stdnum.jp import in_ as my_number
from stdnum.kr import rrn
from stdnum.lt import asmens
from stdnum.mx import curp
from stdnum.nl import bsn
from stdnum.no import fodselsnummer
from stdnum.pl import pesel
from stdnum.pt import cc as pt_cc
from stdnum.pt import nif as pt_nif
from stdnum.ro import cnp
from stdnum.se import personnummer
from stdnum.si import emso
from stdnum.tr import tckimlik
from stdnum.us import itin, rtn, ssn
from stdnum.za import idnr as za_idnr

from pointwork.contract.task import DataClass
from pointwork.privacy.cues import Cues, cues_of
from pointwork.privacy.findings import Detector, Finding
from pointwork.privacy.view import View

_NAME = "identifiers@1"

_IBAN_COUNTRIES = """
AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27
DK18 DO28 EE20 EG29 ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HR21 HU28 IE22
IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19
MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 PT25 QA29 RO24 RS22 RU33 SA24 SC31
SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 YE30
"""
_IBAN_LENGTHS = {entry[:2]: int(entry[2:]) for entry in _IBAN_COUNTRIES.split()}
_IBAN = re.compile(r"[A-Za-z]{2}[0-9]{2}(?:[ -]?[A-Za-z0-9]){11,30}")
_DIGITS = re.compile(r"[0-9]{4}(?:[ -]?[0-9]){8,15}|[0-9]{4}\.[0-9]{4}\.[0-9]{4}\.[0-9]{1,7}")
_CARD_CUES = cues_of(
    *("card", "creditcard", "karte", "carte", "tarjeta", "carta", "kort", "kaart", "maestro"),
    *("cc", "pan"),
)


@dataclass(frozen=True, slots=True)
class NumberRule:
    """A scheme: the shape a number is written in, its check, and the words that announce it."""

    kind: str
    shape: re.Pattern[str]
    check: Callable[[str], bool]
    cues: Cues | None = None
    """The words of which one must stand just before the number; None where none is needed."""
    data_class: DataClass = DataClass.PERSONAL


def _find_identifiers(view: View) -> Iterator[Finding]:
    text = view.text
    rules = tuple(rule for rule in _RULES if rule.cues is None or rule.cues.occur_in(view))
    for anchor in _ANCHOR.finditer(text):
        at = anchor.start()
        for kind, end in _long_numbers(view, at):
            yield Finding(kind, at, end, DataClass.PERSONAL, _NAME)
        for rule in rules:
            match = rule.shape.match(text, at)
            if match is None or (rule.cues and not rule.cues.stand_before(view, at)):
                continue
            if rule.check(match[0]):
                yield Finding(rule.kind, at, match.end(), rule.data_class, _NAME)


IDENTIFIERS = Detector(name=_NAME, find=_find_identifiers)


def _long_numbers(view: View, at: int) -> Iterator[tuple[str, int]]:
    """Cards and IBANs, whose groups may run on into the next word or number: the end is sought."""
    if match := _DIGITS.match(view.text, at):
        for end in _ends(view.text, at, match.end(), range(19, 11, -1)):
            if _is_card(view, at, end):
                yield "CARD", end
                break
    if match := _IBAN.match(view.text, at):
        length = _IBAN_LENGTHS.get(view.text[at : at + 2].upper(), 0)
        for end in _ends(view.text, at, match.end(), range(length, length + 1)):
            if mod_97_10.is_valid(_rotated(_compact(view.text[at:end]).upper())):
                yield "IBAN", end


def _rotated(iban: str) -> str:
    return iban[4:] + iban[:4]


def _ends(text: str, start: int, limit: int, lengths: range) -> Iterator[int]:
    """Ends at which the number has one of ``lengths`` characters and a word boundary follows."""
    end_at: dict[int, int] = {}
    count = 0
    for place in range(start, limit):
        count += text[place].isalnum()
        end_at[count] = place + 1 if text[place].isalnum() else end_at[count]
    for length in lengths:
        end = end_at.get(length)
        if end is not None and not text[end : end + 1].isalnum():
            yield end


def _is_card(view: View, start: int, end: int) -> bool:
    """Luhn, an issued range, and a length that range uses (a cue where lengths are unusual)."""
    number = _compact(view.text[start:end])
    if not luhn.is_valid(number) or len(set(number)) == 1:
        return False
    length, two, three, four = len(number), int(number[:2]), int(number[:3]), int(number[:4])
    usual = (
        (number[0] == "4" and length in {13, 16, 19})
        or ((51 <= two <= 55 or 2221 <= four <= 2720) and length == 16)
        or (two in {34, 37} and length == 15)
        or ((two in {36, 38, 39} or 300 <= three <= 305 or three == 309) and length == 14)
        or ((four == 6011 or two in {62, 65} or 644 <= three <= 649) and 16 <= length <= 19)
        or (3528 <= four <= 3589 and 16 <= length <= 19)
        or (four in {2131, 1800} and length == 15)
    )
    if usual:
        return True
    # Maestro's ranges take in most other numbers, so there a word must say card.
    return _CARD_CUES.stand_before(view, start)


def _compact(text: str) -> str:
    return "".join(character for character in text if character.isalnum())


def _rule(
    kind: str,
    shape: str,
    check: Callable[[str], bool],
    *cues: str,
    data_class: DataClass = DataClass.PERSONAL,
) -> NumberRule:
    pattern = re.compile(shape + r"(?![A-Za-z0-9])(?![.-][0-9])")
    return NumberRule(
        kind=kind,
        shape=pattern,
        check=check,
        cues=cues_of(*cues) if cues else None,
        data_class=data_class,
    )


def _is_dni_or_nie(number: str) -> bool:
    return bool(dni.is_valid(number) or nie.is_valid(number))


def _is_dated_cpr(number: str) -> bool:
    return bool(cpr.is_valid(number)) and number[:6] != "000000"


def _always(_number: str) -> bool:
    """For schemes without a check digit, whose shape and cue have to do."""
    return True


_NINE = r"[0-9]{3}[ .-]?[0-9]{3}[ .-]?[0-9]{3}"
_ELEVEN = r"[0-9]{2}[ ]?[0-9]{3}[ ]?[0-9]{3}[ ]?[0-9]{3}"
_TAX = ("tax", "tin", "fiscal", "fiscaal")

_RULES: tuple[NumberRule, ...] = (
    # Distinctive by shape and check together
    _rule("US_SSN", r"[0-9]{3}([- ])[0-9]{2}\1[0-9]{4}", ssn.is_valid),
    _rule("US_ITIN", r"9[0-9]{2}([- ])[0-9]{2}\1[0-9]{4}", itin.is_valid),
    _rule(
        "FR_NIR",
        r"[12] ?[0-9]{2} ?[0-9]{2} ?[0-9][0-9AB] ?[0-9]{3} ?[0-9]{3} ?[0-9]{2}",
        nir.is_valid,
    ),
    _rule("ES_DNI", r"(?:[0-9]{8}|[XYZ]-?[0-9]{7})-?[A-Z]", _is_dni_or_nie),
    _rule(
        "IT_CODICE_FISCALE",
        r"[A-Za-z]{6} ?[0-9A-Za-z]{2} ?[A-Za-z][0-9A-Za-z]{2} ?[A-Za-z][0-9A-Za-z]{3}[A-Za-z]",
        codicefiscale.is_valid,
    ),
    _rule("BE_NN", r"[0-9]{2}\.[0-9]{2}\.[0-9]{2}-[0-9]{3}[.-][0-9]{2}", be_nn.is_valid),
    _rule("SE_PERSONNUMMER", r"(?:[0-9]{2})?[0-9]{6}[-+][0-9]{4}", personnummer.is_valid),
    _rule("FI_HETU", r"[0-9]{6}[-+A-FU-Y][0-9]{3}[0-9A-Y]", hetu.is_valid),
    _rule("NO_FODSELSNUMMER", r"[0-9]{6} ?[0-9]{5}", fodselsnummer.is_valid),
    _rule("CZ_RC", r"[0-9]{6}/[0-9]{3,4}", rc.is_valid),
    _rule("IE_PPS", r"[0-9]{7}[A-W][A-IW]?", pps.is_valid),
    _rule("PT_CC", r"[0-9]{8} ?[0-9] ?[A-Z][A-Z0-9][0-9]", pt_cc.is_valid),
    _rule("CH_AHV", r"756[. ]?[0-9]{4}[. ]?[0-9]{4}[. ]?[0-9]{2}", ch_ssn.is_valid),
    _rule("IN_PAN", r"[A-Z]{5}[0-9]{4}[A-Z]", pan.is_valid),
    _rule("IN_AADHAAR", r"[2-9][0-9]{3}([ -])[0-9]{4}\1[0-9]{4}", aadhaar.is_valid),
    _rule("BR_CPF", r"[0-9]{3}\.[0-9]{3}\.[0-9]{3}-[0-9]{2}", cpf.is_valid),
    _rule("CN_RIC", r"[1-9][0-9]{16}[0-9Xx]", ric.is_valid),
    _rule("KR_RRN", r"[0-9]{6}-[0-9]{7}", rrn.is_valid),
    _rule("MX_CURP", r"[A-Z]{4}[0-9]{6}[HMX][A-Z]{5}[0-9A-Z][0-9]", curp.is_valid),
    _rule("CL_RUT", r"[0-9]{1,2}\.[0-9]{3}\.[0-9]{3}-[0-9Kk]", rut.is_valid),
    _rule("AR_CUIT", r"[0-9]{2}-[0-9]{8}-[0-9]", cuit.is_valid),
    _rule("GB_NINO", r"[A-CEGHJ-PR-TW-Z]{2}( ?)[0-9]{2}\1[0-9]{2}\1[0-9]{2}\1[A-D]", _always),
    _rule(
        "VAT",
        r"(?:ATU|BE|BG|CY|CZ|DE|DK|EE|EL|ES|FI|FR|HR|HU|IE|IT|LT|LU|LV|MT|NL|PL|PT|RO|SE|SI|SK)"
        r" ?(?:[0-9A-Z]{2} ?)?(?:[0-9A-Z]{8,12}|[0-9]{3}[ .][0-9]{3}[ .][0-9]{3})",
        vat.is_valid,
        data_class=DataClass.CUSTOMER,
    ),
    # Told from other numbers by the word before them
    _rule("US_SSN", r"[0-9]{9}", ssn.is_valid, "ssn", "social security"),
    _rule("US_ITIN", r"9[0-9]{8}", itin.is_valid, "itin", "taxpayer"),
    _rule("US_ROUTING", r"[0-9]{9}", rtn.is_valid, "routing", "aba", "rtn"),
    _rule("DK_CPR", r"[0-9]{6}-?[0-9]{4}", _is_dated_cpr, "cpr", "personnummer", "fødselsdato"),
    _rule("DE_IDNR", _ELEVEN, idnr.is_valid, "steuer", "idnr", "tin", "tax"),
    _rule(
        "NL_BSN",
        r"[0-9]{4}[. ]?[0-9]{2}[. ]?[0-9]{3}",
        bsn.is_valid,
        "bsn",
        "burgerservice",
        "sofi",
    ),
    _rule("PL_PESEL", r"[0-9]{11}", pesel.is_valid, "pesel"),
    _rule("EE_IK", r"[0-9]{11}", ik.is_valid, "isikukood", "personal code"),
    _rule("LT_ASMENS", r"[0-9]{11}", asmens.is_valid, "asmens", "personal code"),
    _rule("RO_CNP", r"[0-9]{13}", cnp.is_valid, "cnp", "cod numeric"),
    _rule("BG_EGN", r"[0-9]{10}", egn.is_valid, "egn", "егн"),
    _rule("HR_OIB", r"[0-9]{11}", oib.is_valid, "oib"),
    _rule("SI_EMSO", r"[0-9]{13}", emso.is_valid, "emso", "emšo", "jmbg"),
    _rule("PT_NIF", _NINE, pt_nif.is_valid, "nif", "contribuinte", *_TAX),
    _rule(
        "FR_NIF", r"[0-9]{2} ?[0-9]{2} ?[0-9]{3} ?[0-9]{3} ?[0-9]{3}", fr_nif.is_valid, "spi", *_TAX
    ),
    _rule("GR_AMKA", r"[0-9]{11}", amka.is_valid, "amka", "αμκα"),
    _rule("AT_VNR", r"[0-9]{4} ?[0-9]{6}", vnr.is_valid, "svnr", "sozialversicherung", "sv-n"),
    _rule("GB_NHS", r"[0-9]{3}[ -]?[0-9]{3}[ -]?[0-9]{4}", nhs.is_valid, "nhs"),
    _rule("GB_UTR", r"[0-9]{5} ?[0-9]{5}", utr.is_valid, "utr", "taxpayer"),
    _rule("CA_SIN", _NINE, sin.is_valid, "sin", "social insurance", "assurance sociale"),
    _rule("AU_TFN", r"[0-9]{3} ?[0-9]{3} ?[0-9]{2,3}", tfn.is_valid, "tfn", "tax file"),
    _rule("ZA_ID", r"[0-9]{6} ?[0-9]{4} ?[0-9]{3}", za_idnr.is_valid, "id", "identity"),
    _rule("TR_TCKN", r"[0-9]{11}", tckimlik.is_valid, "kimlik", "tckn", "tc no"),
    _rule("IL_ID", r"[0-9]{9}", il_idnr.is_valid, "teudat", "israel", "תעודת", "ת.ז"),
    _rule("IS_KENNITALA", r"[0-9]{6}-?[0-9]{4}", kennitala.is_valid, "kennit", "kt."),
    _rule(
        "JP_MY_NUMBER",
        r"[0-9]{4}[ -]?[0-9]{4}[ -]?[0-9]{4}",
        my_number.is_valid,
        "my number",
        "マイナンバー",
    ),
    _rule("BR_CPF", r"[0-9]{11}", cpf.is_valid, "cpf"),
    _rule("IN_AADHAAR", r"[0-9]{12}", aadhaar.is_valid, "aadhaar", "aadhar", "uidai"),
    _rule("SE_PERSONNUMMER", r"(?:[0-9]{2})?[0-9]{10}", personnummer.is_valid, "personnummer"),
    _rule("IMEI", r"[0-9]{2}-?[0-9]{6}-?[0-9]{6}-?[0-9]", imei.is_valid, "imei"),
)

# One cheap test per word finds where a number may begin; only there are the rules tried.
_ANCHOR = re.compile(
    r"(?<![A-Za-z0-9])(?<![0-9][./])"
    # The second is the one scheme that ends so soon after its first digit.
    r"(?=[A-Za-z]{0,6}[ -]?[0-9][0-9A-Za-z]?[0-9A-Za-z ./+-]{6}|[A-Z]{5}[0-9]{4}[A-Z])"
)
