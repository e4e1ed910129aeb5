"""Hard rules: what a task shows so plainly that no model need be asked.

A rule that fires wrongly sends a task to the wrong route with certainty, so each is narrow and
leaves the doubtful case to the classifier.
"""

import re
from collections.abc import Iterable

BULK_ITEMS_MIN = 100
"""Below this, "generate 20 ..." is as often a request for ideas as one for volume."""

_MEDIA_TYPES = ("image/", "audio/", "video/")

_PRODUCE = (
    r"(?:generate|create|make|produce|synthesi[sz]e|simulate"
    r"|erzeuge|erstelle|generiere|génère|genera|generar|gera|gere|crée|crea|cria)"
)
_POLITE = r"(?:please\s+|(?:can|could|would|will)\s+you\s+(?:please\s+)?|bitte\s+)?"
_COUNT = r"(?P<count>\d{1,3}(?:[.,'\s]\d{3})+|\d+)(?P<thousands>\s?k\b)?"
# A measure of length is not a count of items: "create a 500 word story" asks for one story.
_NOT_LENGTH = (
    r"(?![\s-]*(?:words?|w[öo]rter|mots|palabras|parole|palavras|characters?|zeichen|chars?"
    r"|tokens?|pages?|seiten|lines?\s+of\s+code|loc|px|pixels?|mm|cm|km|m|kg|g|ml|%|percent"
    r"|€|\$|eur\b|usd\b|dollars?|euros?|seconds?|minutes?|hours?|days?|years?|[x×]\s*\d"
    r"|polygons?|vertices|triangles?|images?|pictures?|photos?|videos?|bilder|degrees?|°))"
)
# "Create 2027 budget options" names a year; a round 2000 is a count.
_YEAR = re.compile(r"(?:19|20)(?!00)\d\d")
_VOLUME_REQUEST = re.compile(
    rf"^\W*{_POLITE}{_PRODUCE}\s+(?:me\s+|us\s+|mir\s+|uns\s+)?{_COUNT}\b{_NOT_LENGTH}\s+\w",
    re.IGNORECASE,
)


def class_by_rule(text: str, attachment_media_types: Iterable[str] = ()) -> str | None:
    """The class that attachments or an explicit count decide, or None where neither does.

    `attachment_media_types` are IANA media types such as "image/png".
    """
    if any(media_type.lower().startswith(_MEDIA_TYPES) for media_type in attachment_media_types):
        return "perception_multimodal"
    if _is_volume_request(text):
        return "bulk_generation"
    return None


def _is_volume_request(text: str) -> bool:
    """Whether `text` opens by asking for at least BULK_ITEMS_MIN items."""
    request = _VOLUME_REQUEST.match(text)
    if request is None:
        return False
    if _YEAR.fullmatch(request["count"]):
        return False
    count = int(re.sub(r"\D", "", request["count"]))
    return count * (1000 if request["thousands"] else 1) >= BULK_ITEMS_MIN
