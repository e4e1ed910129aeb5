"""Telephone numbers, by the numbering plans that the library ``phonenumbers`` carries.

Its own matcher is not used: it reads the whole text once per region (6 ms a kB each, measured) and
gives up after 65,535 tries. Here a text is read once for what is written like a telephone number,
and only that is held against the plans.
"""

import re
from collections.abc import Iterator
from functools import lru_cache

import phonenumbers

from pointwork.contract.task import DataClass
from pointwork.privacy.cues import cues_of
from pointwork.privacy.findings import Detector, Finding
from pointwork.privacy.view import View

_NAME = "phones@1"
_REGIONS = "US GB DE FR IT ES IN AU BR CH NL SE DK NO FI IE BE AT PT PL CZ GR JP ZA NZ TR"
_DIGITS_MIN = 7
_DIGITS_MAX = 15
_REACH_OF_BARE_DIGITS = 24
"""Characters. Digits in one run are anything, so the word has to be closer."""

_WRITTEN = re.compile(
    r"(?:(?<![0-9+])\+|(?<![A-Za-z0-9_+?%#@/\\])(?<![0-9][.:-])\(?)"
    r"[0-9](?:[ ()./-]{0,2}[0-9]){6,15}"
    r"(?P<extension> ?(?:x|ext\.?) ?[0-9]{1,5})?"
    r"(?![A-Za-z0-9@=%]|_\w|:[0-9])(?!-[A-Za-z0-9]{0,16}[0-9])(?![.][0-9])"
)
_NORTH_AMERICAN = re.compile(r"\(?[2-9][0-9]{2}(?:\) ?|[ .-])[2-9][0-9]{2}[ .-][0-9]{4}")
_ISO_DATE = re.compile(
    r"(?:19|20)[0-9]{2}[-./ ](?:0?[1-9]|1[0-2])[-./ ](?:0?[1-9]|[12][0-9]|3[01])"
)
_OTHER_NUMBER = re.compile(
    r"(?:0?[1-9]|[12][0-9]|3[01])[-./ ](?:0?[1-9]|[12][0-9]|3[01])[-./ ](?:19|20)[0-9]{2}.*"
    r"|(?:1[5-9]|20)[0-9]{2} ?[-/] ?(?:1[5-9]|20)[0-9]{2}"
    r"|[0-9]{1,3}(?:\.[0-9]{1,3}){3}"
    r"|[0-9]{5}-[0-9]{4}"
    r"|[0-9]{4}-[0-9]{4}"
    r"|[0-9]+\.[0-9]+"
)
"""Dates, spans of years, network addresses, nine-digit postcodes, serial numbers and decimals."""
_TRUNK = re.compile(r"\(0?[0-9]{1,4}\)|\(?0[1-9][0-9]{0,4}[ ()./-]")
"""What a number that is dialled begins with. 0-306-40615-2 is a book."""
_CUES = cues_of(
    *("phone", "telefon", "mobile", "call", "cell", "fax", "tel", "tél", "whatsapp", "handy"),
    *("sms", "dial", "ring", "reach", "móvil", "numéro", "celular", "portable", "gsm", "hotline"),
    *("rufen", "appelez", "llame", "contact", "desk", "office", "landline", "手机", "电话", "電話"),
    *("тел", "телефон", "texted", "text me", "answering"),
)


def _find_phones(view: View) -> Iterator[Finding]:
    for match in _WRITTEN.finditer(view.text):
        number_end = match.start("extension") if match["extension"] else match.end()
        if _is_phone(view, match.start(), number_end):
            yield Finding("PHONE", match.start(), match.end(), DataClass.PERSONAL, _NAME)
        else:
            for start, end in _within(view.text[match.start() : number_end], match.start()):
                yield Finding("PHONE", start, end, DataClass.PERSONAL, _NAME)


PHONES = Detector(name=_NAME, find=_find_phones)


def _within(run: str, at: int) -> Iterator[tuple[int, int]]:
    """Numbers that read as such by themselves, where another number stands before or behind.

    Else ``7 (415) 555-0132`` would be one number in no plan, and a digit put there hide the rest.
    """
    gaps = [place for place, character in enumerate(run) if character == " "]
    done = 0
    for start in (0, *(gap + 1 for gap in gaps)):
        for end in (len(run), *reversed(gaps)):
            written = run[start:end].rstrip(" ./-(")
            # Three columns of a table look like 415 555 0132; with signs between, they do not.
            is_column = written.replace(" ", "").isdigit() and written[0] != "0"
            if start >= done and not is_column and _reads_alone(written):
                done = start + len(written)
                yield at + start, at + done
                break


def _reads_alone(written: str) -> bool:
    if _NORTH_AMERICAN.fullmatch(written):
        return True
    if _ISO_DATE.match(written) or _OTHER_NUMBER.fullmatch(written):
        return False
    digits = "".join(character for character in written if character.isdigit())
    return _TRUNK.match(written) is not None and len(digits) >= 8 and _is_in_a_plan(digits)


def _is_phone(view: View, start: int, end: int) -> bool:
    written = view.text[start:end]
    digits = "".join(character for character in written if character.isdigit())
    if not _DIGITS_MIN <= len(digits) <= _DIGITS_MAX:
        return False
    if written.startswith("+"):
        return _is_international(digits)
    if _NORTH_AMERICAN.fullmatch(written):
        return True
    if _ISO_DATE.match(written) or _OTHER_NUMBER.fullmatch(written):
        return False
    is_grouped = not written.isdigit()
    if is_grouped and _CUES.stand_before(view, start):
        return True
    if _CUES.stand_before(view, start, _REACH_OF_BARE_DIGITS):
        return _is_in_a_plan(digits)
    # Without a word before it, only a leading zero or bracket tells it from any other number.
    if written.startswith("00"):
        return is_grouped and _is_international(digits[2:])
    return _reads_alone(written)


@lru_cache(maxsize=4096)
def _is_international(digits: str) -> bool:
    """Possible is enough behind a plus: made-up and newly issued numbers count as well."""
    try:
        number = phonenumbers.parse(f"+{digits}")
    except phonenumbers.NumberParseException:
        return False
    return phonenumbers.is_possible_number(number)


@lru_cache(maxsize=4096)
def _is_in_a_plan(digits: str) -> bool:
    return any(plan.fullmatch(digits) for plan in _plans())


@lru_cache(maxsize=1)
def _plans() -> tuple[re.Pattern[str], ...]:
    """National numbers of each region, with the trunk prefix dialled inside it or without."""
    plans = []
    for region in _REGIONS.split():
        metadata = phonenumbers.PhoneMetadata.metadata_for_region(region)
        if metadata is None or metadata.general_desc is None:
            continue
        prefix = metadata.national_prefix or ""
        national = metadata.general_desc.national_number_pattern
        plans.append(re.compile(f"(?:{prefix})?(?:{national})"))
    return tuple(plans)
