"""Language readers for the process host: what a real one may do, at the worst."""

import os
import threading
from collections.abc import Sequence

from pointwork.contract.task import DataClass
from pointwork.privacy.findings import LANGUAGE_DETECTOR, PERSON, Finding

NAME = "Ada Lovelace"


class KnowsOneName:
    """Finds ``NAME``, and nobody else."""

    def read(self, text: str) -> Sequence[Finding]:
        at = text.find(NAME)
        if at < 0:
            return []
        return [Finding(PERSON, at, at + len(NAME), DataClass.PERSONAL, LANGUAGE_DETECTOR)]


class Hangs:
    def read(self, text: str) -> Sequence[Finding]:
        threading.Event().wait()
        return []


class Dies(KnowsOneName):
    """Ends its process on a text that says so, as native code does that fails."""

    def read(self, text: str) -> Sequence[Finding]:
        if "die" in text:
            os._exit(9)
        return super().read(text)


class Fails(KnowsOneName):
    """Raises with the text in its words."""

    def read(self, text: str) -> Sequence[Finding]:
        if "fail" in text:
            raise ValueError(text)
        return super().read(text)


def cannot_load() -> KnowsOneName:
    raise ModuleNotFoundError("no module named spacy")
