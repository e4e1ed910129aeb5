"""What redaction finds and what it costs, beside Presidio as it comes, in one run.

Recall is measured on ``synth_dataset_v2.json`` of microsoft/presidio-research (MIT, at 7622dec1;
here ``pii_synth_v2.json``): 1,500 synthetic sentences with 2,863 labelled spans. A span counts as
found when every letter and digit of it is masked, by whatever kind. Precision is the share of
masked regions that touch a labelled span; regions that overlap or touch are one. Rules of the
language tier were written while looking at misses in this set: `--held-out FILE` measures another
of the same form, such as ``generated_large.json`` of that project, without the sentences of both.

What is masked for nothing is measured on prompts that hold no personal data (the classifier's) and
on lines made to look like it. Redaction lowers risk; it proves nothing.
"""

import argparse
import json
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.data_folder import data_folder
from bench.default_presidio import default_presidio
from pointwork.privacy.detect import DETECTORS, scan
from pointwork.privacy.language.reader import LanguageReader
from pointwork.privacy.second_opinion import SECOND_OPINION
from tests.unit.privacy.canaries import CREDENTIALS

REPOSITORY = Path(__file__).resolve().parent.parent
DATA_FILE = "pii_synth_v2.json"
HARMLESS = REPOSITORY / "tests" / "unit" / "privacy" / "harmless.txt"
PROMPTS = REPOSITORY / "bench" / "data" / "classify" / "heldout.jsonl"
STRUCTURED = frozenset(
    {"CREDIT_CARD", "IBAN_CODE", "US_SSN", "EMAIL_ADDRESS", "IP_ADDRESS", "PHONE_NUMBER"}
)
"""What has a checksum, an issued range or a strict grammar."""
EXAMPLES_MIN = 50
ROUNDS = 5

Find = Callable[[str], list[tuple[int, int]]]


@dataclass
class Score:
    """What one redactor found in one set."""

    hits: Counter[str] = field(default_factory=Counter)
    totals: Counter[str] = field(default_factory=Counter)
    regions: int = 0
    true_regions: int = 0

    @property
    def recall(self) -> float:
        return self.hits.total() / self.totals.total()

    @property
    def precision(self) -> float:
        return self.true_regions / max(1, self.regions)

    def of(self, kind: str) -> float:
        return self.hits[kind] / self.totals[kind]


def interval(hits: int, total: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a proportion."""
    z = 1.96
    middle = (hits + z * z / 2) / (total + z * z)
    half = z * (hits * (total - hits) / total + z * z / 4) ** 0.5 / (total + z * z)
    return max(0.0, middle - half), min(1.0, middle + half)


def regions_of(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """The spans with those that overlap or touch put together."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def score(sentences: Sequence[dict[str, Any]], find: Find) -> Score:
    result = Score()
    for sentence in sentences:
        text = sentence["full_text"]
        regions = regions_of(find(text))
        masked = {place for start, end in regions for place in range(start, end)}
        for span in sentence["spans"]:
            places = range(span["start_position"], span["end_position"])
            result.totals[span["entity_type"]] += 1
            result.hits[span["entity_type"]] += all(
                place in masked for place in places if text[place].isalnum()
            )
        result.regions += len(regions)
        result.true_regions += sum(
            any(
                span["start_position"] < end and start < span["end_position"]
                for span in sentence["spans"]
            )
            for start, end in regions
        )
    return result


def masked_share(texts: Sequence[str], find: Find) -> float:
    """The share of characters that are masked."""
    masked = sum(end - start for text in texts for start, end in regions_of(find(text)))
    return masked / sum(map(len, texts))


def milliseconds_per_1000(texts: Sequence[str], find: Find) -> float:
    """Processor time of one pass over ``texts``, per 1,000 characters."""
    started = time.process_time()
    for text in texts:
        find(text)
    return (time.process_time() - started) * 1e6 / sum(map(len, texts))


def side_by_side(texts: Sequence[str], finders: Sequence[Find]) -> list[float]:
    """Milliseconds per 1,000 characters of each, medians of rounds in which they take turns."""
    rounds = [[milliseconds_per_1000(texts, find) for find in finders] for _ in range(ROUNDS)]
    return [statistics.median(column) for column in zip(*rounds, strict=True)]


def redactor() -> Find:
    """What redaction replaces in a text that leaves under a pack that redacts."""
    reader = LanguageReader()
    detectors = (*DETECTORS, SECOND_OPINION)

    def find(text: str) -> list[tuple[int, int]]:
        found = [*scan(text, detectors).findings, *reader.read(text)]
        return [(each.start, each.end) for each in found]

    return find


def always(text: str) -> list[tuple[int, int]]:
    """The tier that runs for every task: patterns and checksums."""
    return [(each.start, each.end) for each in scan(text).findings]


def report_kinds(ours: Score, default: Score) -> None:
    print(f"{'entity kind':20} {'spans':>6} {'recall':>7}  95 % interval    default  95 % interval")
    for kind, total in ours.totals.most_common():
        low, high = interval(ours.hits[kind], total)
        default_low, default_high = interval(default.hits[kind], total)
        worse = total >= EXAMPLES_MIN and ours.hits[kind] < default.hits[kind]
        print(
            f"{kind:20} {total:6} {ours.of(kind):7.3f}  {low:.3f} to {high:.3f}"
            f"  {default.of(kind):7.3f}  {default_low:.3f} to {default_high:.3f}"
            f"{'  WORSE' if worse else ''}"
        )
    structured = [kind for kind in ours.totals if kind in STRUCTURED]
    hits = sum(ours.hits[kind] for kind in structured)
    total = sum(ours.totals[kind] for kind in structured)
    print(f"structured kinds: {hits} of {total} ({hits / total:.4f})")


def report_credentials(find: Find) -> None:
    """On made-up ones, one or more of each kind our own patterns know: a check, no estimate."""
    kept = 0
    for canary in CREDENTIALS:
        start = canary.text.index(canary.value)
        places = set(range(start, start + len(canary.value)))
        masked = {place for low, high in find(canary.text) for place in range(low, high)}
        kept += places <= masked
    print(
        f"credentials: {kept} of {len(CREDENTIALS)} in {len({c.kind for c in CREDENTIALS})} kinds"
    )


def report_cost(sentences: Sequence[dict[str, Any]], finders: Sequence[Find]) -> None:
    texts = [sentence["full_text"] for sentence in sentences[:200]]
    ours, default, patterns = side_by_side(texts, finders)
    print(
        f"processor ms per 1,000 characters, a sentence at a time: {ours:.0f},"
        f" default {default:.0f}, patterns alone {patterns:.2f}"
    )
    joined = ["\n".join(texts)[:8_000]]
    ours, default, patterns = side_by_side(joined, finders)
    print(
        f"the same in one text of 8,000: {ours:.0f}, default {default:.0f}, patterns {patterns:.2f}"
    )


def report_nothing(finders: Sequence[Find]) -> None:
    prompts = [json.loads(line)["text"] for line in PROMPTS.read_text("utf-8").splitlines()]
    lines = [line for line in HARMLESS.read_text("utf-8").splitlines() if not line.startswith("# ")]
    for name, texts in (("prompts of other work", prompts), ("lines made to mislead", lines)):
        ours, default, patterns = (masked_share(texts, find) for find in finders)
        print(
            f"characters masked in {len(texts)} {name}: {ours:.3f}, default {default:.3f},"
            f" patterns alone {patterns:.4f}"
        )


def held_out(path: Path, known: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    seen = {sentence["full_text"] for sentence in known}
    sentences = json.loads(path.read_text("utf-8"))
    return [sentence for sentence in sentences if sentence["full_text"] not in seen]


def report(sentences: list[dict[str, Any]], other: list[dict[str, Any]]) -> None:
    find, default = redactor(), default_presidio()
    finders = (find, default, always)
    if other:
        ours, theirs = score(other, find), score(other, default)
        print(f"held out, {len(other)} sentences")
        report_kinds(ours, theirs)
        print(
            f"recall {ours.recall:.3f} precision {ours.precision:.3f}; default"
            f" {theirs.recall:.3f} {theirs.precision:.3f}\n"
        )
    ours, theirs = score(sentences, find), score(sentences, default)
    report_kinds(ours, theirs)
    report_credentials(find)
    report_nothing(finders)
    report_cost(sentences, finders)
    print(
        f"recall={ours.recall:.3f} precision={ours.precision:.3f}"
        f" recall_default={theirs.recall:.3f} precision_default={theirs.precision:.3f}"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, help=f"folder that holds {DATA_FILE}")
    parser.add_argument("--held-out", type=Path, help="another file of the same form")
    arguments = parser.parse_args()
    path = (arguments.data or data_folder()) / DATA_FILE
    if not path.is_file():
        print(
            f"--data: there is no {DATA_FILE} in {path.parent}; fetch data/synth_dataset_v2.json of"
            " microsoft/presidio-research under that name, and name its folder with --data or"
            " POINTWORK_BENCH_DATA.",
            file=sys.stderr,
        )
        return 2
    sentences = json.loads(path.read_text("utf-8"))
    report(sentences, held_out(arguments.held_out, sentences) if arguments.held_out else [])
    return 0


if __name__ == "__main__":
    sys.exit(main())
