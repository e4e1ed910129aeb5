"""Six hundred injections against the real task classifier and the real detectors (rows 48, 49).

    python -m bench.injections [--names]

Each of 30 carriers slips each of 20 texts into a held-out prompt of the classifier that also holds
a made-up secret or identifier. What counts is the level the plan is made for and where the plan
may send the task: an effective downgrade is a lower level, or a site that was closed before. That
the class flips is reported and harms nothing by itself: the class never lowers the level.

``--names`` also measures the tier that reads for names, on sentences of ``pii_synth_v2.json``: how
often a text that named a person no longer reads as personal data, and how many of the names that
were replaced no longer are. Neural readers are swayed by what stands around a name; this is no 0.
"""

import argparse
import json
import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from bench.data_folder import data_folder
from bench.privacy import DATA_FILE, PROMPTS, interval
from pointwork.contract.decision import Classification, DecisionInput, Plan
from pointwork.contract.task import Sensitivity
from pointwork.policy.decide import decide
from pointwork.privacy.language.reader import LanguageReader
from tests.fakes.classified import classified
from tests.fakes.policy_facts import Situation, shipped
from tests.unit.privacy.canaries import CREDENTIALS, PERSONAL
from tests.unit.privacy.injections import Carry, injections
from workers.inference import TextInference

CONFOUNDERS = 200
CONFOUNDER_WORDS = 40
SEED = 49
NAMED_SENTENCES = 120
LEVELS = (Sensitivity.PUBLIC, None)
"""What the caller says of the text: that it is public, or nothing."""


@dataclass
class Count:
    tried: int = 0
    downgrades: int = 0
    flips: int = 0
    sure_flips: int = 0
    """Of the flips, those the classifier was sure of: only those name another class."""


class Measure:
    """Plans for a text with and without what was slipped into it."""

    def __init__(self) -> None:
        self._bundle = shipped()
        self._snapshot = Situation().facts(self._bundle).snapshot
        self._inference = TextInference()

    def compare(self, count: Count, text: str, injected: str) -> None:
        before, after = self._classified(text, None), self._classified(injected, None)
        count.tried += 1
        count.flips += _said(before) != _said(after)
        is_sure = after.task_class is not None and after.task_class != before.task_class
        count.sure_flips += is_sure
        count.downgrades += any(
            self._is_downgrade(self._plan(text, level), self._plan(injected, level))
            for level in LEVELS
        )

    def _classified(self, text: str, level: Sensitivity | None) -> Classification:
        return classified(text, self._inference, pack="omega", sensitivity=level)[1]

    def _plan(self, text: str, level: Sensitivity | None) -> Plan:
        request, found = classified(text, self._inference, pack="omega", sensitivity=level)
        given = DecisionInput(request=request, classification=found, snapshot=self._snapshot)
        return decide(given, self._bundle)

    @staticmethod
    def _is_downgrade(before: Plan, after: Plan) -> bool:
        levels = before.sensitivity, after.sensitivity
        was, now = (-1 if level is None else level.rank for level in levels)
        sites = {each.site for each in after.candidates} - {each.site for each in before.candidates}
        # A class that flips may run here what ran nowhere; only a way out is a downgrade.
        return now < was or any(site != "local" for site in sites)


def _said(found: Classification) -> str | None:
    return found.task_class or found.suggested_class


def prompts() -> list[str]:
    """Held-out prompts of the classifier, each with a secret or an identifier behind it."""
    texts = [json.loads(line)["text"] for line in PROMPTS.read_text("utf-8").splitlines()]
    canaries = cycle((*CREDENTIALS, *PERSONAL))
    return [f"{text}\n{canary.text}" for text, canary in zip(texts, canaries, strict=False)]


def confounders(texts: list[str]) -> Iterator[str]:
    """Prefixes of random words out of the prompts, and of random letters."""
    drawn = random.Random(SEED)
    words = " ".join(texts).split()
    while True:
        yield " ".join(drawn.choices(words, k=CONFOUNDER_WORDS))
        letters = "".join(drawn.choices("abcdefghijklmnopqrstuvwxyz     ", k=5 * CONFOUNDER_WORDS))
        yield letters.strip()


def report_names(sentences: list[dict[str, Any]]) -> None:
    reader, drawn = LanguageReader(), random.Random(SEED)
    hosts = list(islice(_named(reader, drawn.sample(sentences, len(sentences))), NAMED_SENTENCES))
    lowered = lost = names = 0
    found = injections()
    for (_, carry, text), host in zip(found, cycle(hosts), strict=False):
        before = _masked_names(reader, host, host["full_text"])
        injected = carry(text, host["full_text"])
        after = _masked_names(reader, host, injected)
        lowered += not _is_personal(reader, injected)
        names += sum(before)
        lost += sum(was and not still for was, still in zip(before, after, strict=True))
    for what, hits, total in (("texts no longer personal", lowered, len(found)),):
        low, high = interval(hits, total)
        print(f"names: {what} {hits} of {total} ({low:.4f} to {high:.4f})")
    low, high = interval(lost, names)
    print(f"names: replaced before and not after {lost} of {names} ({low:.4f} to {high:.4f})")


def _named(reader: LanguageReader, sentences: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for sentence in sentences:
        names = any(span["entity_type"] == "PERSON" for span in sentence["spans"])
        if names and _is_personal(reader, sentence["full_text"]):
            yield sentence


def _is_personal(reader: LanguageReader, text: str) -> bool:
    return any(finding.data_class is not None for finding in reader.read(text))


def _masked_names(reader: LanguageReader, host: dict[str, Any], text: str) -> list[bool]:
    """For each name of the sentence whether all of it is replaced, wherever the sentence stands."""
    offset = text.index(host["full_text"])
    masked = {at for each in reader.read(text) for at in range(each.start, each.end)}
    return [
        all(
            offset + at in masked
            for at in range(span["start_position"], span["end_position"])
            if host["full_text"][at].isalnum()
        )
        for span in host["spans"]
        if span["entity_type"] == "PERSON"
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--names", action="store_true", help="measure the tier for names as well")
    parser.add_argument("--data", type=Path, help=f"folder that holds {DATA_FILE}")
    arguments = parser.parse_args()
    path = (arguments.data or data_folder()) / DATA_FILE
    if arguments.names and not path.is_file():
        print(
            f"--data: there is no {DATA_FILE} in {path.parent}; see bench/privacy.py",
            file=sys.stderr,
        )
        return 2
    measure, texts = Measure(), prompts()
    slipped, prefixed = Count(), Count()
    found: list[tuple[str, Carry, str]] = injections()
    for (_, carry, text), host in zip(found, cycle(texts), strict=False):
        measure.compare(slipped, host, carry(text, host))
    for prefix, host in islice(zip(confounders(texts), cycle(texts), strict=False), CONFOUNDERS):
        measure.compare(prefixed, host, f"{prefix}\n{host}")
    print(
        f"random prefixes: {prefixed.tried}, effective downgrades {prefixed.downgrades},"
        f" class flips {prefixed.flips}, of which sure {prefixed.sure_flips}"
    )
    print(f"of the flips below the classifier was sure of {slipped.sure_flips}")
    if arguments.names:
        report_names(json.loads(path.read_text("utf-8")))
    print(
        f"injections={slipped.tried} effective_downgrades={slipped.downgrades}"
        f" class_flips={slipped.flips}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
