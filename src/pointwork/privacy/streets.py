"""Street addresses that have a form: number and way, in the order of a dozen countries.

A shape is all this is. An address without its number, a village or a farm has none.
"""

import re

from pointwork.privacy.shapes import ShapeRule, shape_rule

_TITLE = r"[A-ZÀ-ÖØ-Þ][\w'’.-]{0,30}"
_NAMED = r"[A-ZÀ-ÖØ-Þ][a-zà-öø-ÿ'’.-]{2,30}"
_WAY = (
    r"(?:Street|St|Avenue|Ave|Road|Rd|Boulevard|Blvd|Lane|Ln|Drive|Dr|Court|Terrace|Parkway|Pkwy"
    r"|Highway|Hwy|Crescent|Close|Gardens|Grove|Square|Sq|Circle|Trail|Alley|Plaza|Way|Place)"
)
_UNIT = r"(?:,?\s{1,2}(?:Apt|Apartment|Suite|Ste|Unit|Flat|Room)\.?\s?#?[0-9]{1,5}[A-Za-z]?\b)?"
_PARTICLE = r"(?:(?:de|di|du|des|la|le|del|della|do|da|das|dos|las|los|el|d'|l')\s?){0,3}"
_LANDMARK = re.compile(
    r"Wall Street|Times Square|Google Drive|Test Drive|Hard Drive|Flash Drive|Supreme Court"
    r"|High Court|District Court|Appeals Court|Silk Road|Sesame Street|Milky Way|Trafalgar Square"
)


def _is_no_landmark(match: re.Match[str]) -> bool:
    return _LANDMARK.search(match[0]) is None


STREETS: tuple[ShapeRule, ...] = (
    shape_rule(
        "STREET_ADDRESS",
        r"(?<![\w.$€£-])[0-9]{1,5}[A-Za-z]?\s{1,2}"
        rf"(?:{_TITLE}\s{{1,2}}|[0-9]{{1,3}}(?:st|nd|rd|th)\s)"
        rf"(?:{_TITLE}\s{{1,2}}){{0,2}}?{_WAY}\b(?!['’])\.?{_UNIT}",
        check=_is_no_landmark,
    ),
    shape_rule(
        "STREET_ADDRESS",
        r"(?<!\w)[A-ZÀ-ÖØ-Þ][\w'’-]{1,30}(?: [A-ZÀ-ÖØ-Þ]?[\w'’-]{0,30})?"
        r"(?:[Ss]tra(?:ss|ß)e|[Ss]tr\.|[Gg]asse|[Pp]latz|[Ww]eg|[Aa]llee|straat|laan|plein|vägen|gatan|vej|gade"
        r"|veien|katu|kuja|utca) [0-9]{1,4}(?: ?[a-zA-Z])?\b",
    ),
    shape_rule(
        "STREET_ADDRESS",
        r"(?<!\w)(?:Via|Viale|[Rr]ue|[Cc]alle|Rua|Piazza|Avenida|Avda?\.|[Uu]lica|[Uu]l\."
        rf"|[Bb]oulevard|[Aa]venue|Carrer|Strada|Corso|Paseo)\s{_PARTICLE}{_NAMED}"
        rf"(?:\s{_PARTICLE}{_NAMED}){{0,3}},?\s(?:n[º°.]?\s?)?[0-9]{{1,4}}\b",
    ),
    shape_rule(
        "STREET_ADDRESS",
        r"(?<![\w.-])[0-9]{1,4}(?:\s?(?:bis|ter))?,?\s"
        r"(?:[Rr]ue|[Aa]venue|[Bb]oulevard|[Pp]lace|[Ii]mpasse|[Qq]uai)"
        rf"\s{_PARTICLE}{_NAMED}(?:[\s-]{_PARTICLE}{_NAMED}){{0,3}}",
    ),
    shape_rule(
        "STREET_ADDRESS",
        r"(?:\bp\.?\s?o\.?\s?box|\bpostfach|\bpostbus|\bboîte postale|\bapartado(?: postal)?)"
        r"\s{1,2}[0-9]{1,6}\b",
        *("box", "postfach", "postbus", "postale", "apartado"),
        in_any_case=True,
    ),
)
