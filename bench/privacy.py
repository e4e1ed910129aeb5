"""What the always-on privacy tier finds, what it masks for nothing, and what it costs.

Recall is measured on ``synth_dataset_v2.json`` of microsoft/presidio-research (MIT, at 7622dec1;
here ``pii_synth_v2.json``): 1,500 synthetic sentences with 2,863 labelled spans. A span counts as
found when every letter and digit of it is masked. Names, organisations, places, job titles, ages
and addresses as a whole are not this tier's job: it is patterns and checksums only, so their low
recall here is expected, and the language-model tier is there for them. Redaction lowers risk; it
proves nothing.

Over-redaction is measured on the project's own labelled negative lines, against which the patterns
were tuned, so it is a regression check and no estimate for other people's text.
"""

import argparse
import json
import math
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from pointwork.privacy.detect import scan

REPOSITORY = Path(__file__).resolve().parent.parent
DATA_DEFAULT = REPOSITORY.parent / "shared" / "data"
DATA_FILE = "pii_synth_v2.json"
HARMLESS = REPOSITORY / "tests" / "unit" / "privacy" / "harmless.txt"
CHECKED_KINDS = ("CREDIT_CARD", "IBAN_CODE", "US_SSN", "EMAIL_ADDRESS", "IP_ADDRESS")
"""What has a checksum, an issued range or a strict grammar."""


def masked_places(text: str) -> set[int]:
    return {place for finding in scan(text).findings for place in range(finding.start, finding.end)}


def interval(hits: int, total: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a proportion."""
    z = 1.96
    middle = (hits + z * z / 2) / (total + z * z)
    half = z * math.sqrt(hits * (total - hits) / total + z * z / 4) / (total + z * z)
    return max(0.0, middle - half), min(1.0, middle + half)


def recall(sentences: list[dict[str, Any]]) -> tuple[Counter[str], Counter[str]]:
    """Spans found and spans labelled, by entity type."""
    hits: Counter[str] = Counter()
    totals: Counter[str] = Counter()
    for sentence in sentences:
        text = sentence["full_text"]
        masked = masked_places(text)
        for span in sentence["spans"]:
            places = range(span["start_position"], span["end_position"])
            totals[span["entity_type"]] += 1
            hits[span["entity_type"]] += all(
                place in masked for place in places if text[place].isalnum()
            )
    return hits, totals


def false_regions(sentences: list[dict[str, Any]]) -> tuple[int, int]:
    """Findings that touch no labelled span, and all findings."""
    false = total = 0
    for sentence in sentences:
        for finding in scan(sentence["full_text"]).findings:
            total += 1
            false += not any(
                span["start_position"] < finding.end and finding.start < span["end_position"]
                for span in sentence["spans"]
            )
    return false, total


def over_redaction() -> tuple[int, int]:
    """Characters masked in lines that hold nothing sensitive, and all their characters."""
    lines = [
        line
        for line in HARMLESS.read_text("utf-8").splitlines()
        if not (line.startswith("# ") and line[2:].isalpha())
    ]
    return sum(len(masked_places(line)) for line in lines), sum(map(len, lines))


def microseconds_per_kb(texts: list[str], repeats: int = 3) -> float:
    """Processor time per 1,000 bytes of UTF-8: the best of several runs over all texts."""
    size = sum(len(text.encode()) for text in texts)
    best = math.inf
    for _ in range(repeats):
        started = time.process_time()
        for text in texts:
            scan(text)
        best = min(best, time.process_time() - started)
    return best * 1e6 / (size / 1000)


def report(sentences: list[dict[str, Any]]) -> None:
    hits, totals = recall(sentences)
    print(f"{'entity type':20} {'spans':>6} {'recall':>7}  95 % interval")
    for kind, total in totals.most_common():
        low, high = interval(hits[kind], total)
        print(f"{kind:20} {total:6} {hits[kind] / total:7.3f}  {low:.3f} to {high:.3f}")
    false, regions = false_regions(sentences)
    print(f"findings that touch no labelled span: {false} of {regions}")
    masked, characters = over_redaction()
    print(
        f"over-redaction of the negative lines: {masked} of {characters} characters"
        f" ({masked / characters:.4f})"
    )
    texts = [sentence["full_text"] for sentence in sentences]
    each = microseconds_per_kb(texts)
    size = sum(len(text.encode()) for text in texts) / 1000
    print(f"a sentence at a time: {each * size / len(texts):.0f} us each ({each:.0f} us/kB)")
    joined = microseconds_per_kb(["\n".join(texts)])
    checked_hits = sum(hits[kind] for kind in CHECKED_KINDS)
    checked_total = sum(totals[kind] for kind in CHECKED_KINDS)
    print(
        f"recall_checksum_kinds={checked_hits / checked_total:.3f}"
        f" recall_all={hits.total() / totals.total():.3f} us_per_kb={joined:.0f}"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--data", type=Path, default=DATA_DEFAULT, help=f"folder that holds {DATA_FILE}"
    )
    path = parser.parse_args().data / DATA_FILE
    if not path.is_file():
        print(
            f"--data: there is no {DATA_FILE} in {path.parent}; fetch data/synth_dataset_v2.json of"
            " microsoft/presidio-research under that name.",
            file=sys.stderr,
        )
        return 2
    report(json.loads(path.read_text("utf-8")))
    return 0


if __name__ == "__main__":
    sys.exit(main())
