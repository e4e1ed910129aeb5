"""The trained head: which of the task classes a text belongs to, without a language model.

Trained by tools/train_classifier.py and stored as plain arrays, so that running it needs neither
scikit-learn nor pickle.
"""

from dataclasses import dataclass
from importlib import resources
from typing import Self

import numpy as np
from numpy.typing import NDArray

from pointwork.classify.embed import TextEmbedder, instruction_windows
from pointwork.classify.lexical import hashed_sequences

LEXICAL_WEIGHT = 0.5
"""Length of the lexical part beside an embedding of length 1; best of .3, .5 and .8."""


@dataclass(frozen=True)
class Prediction:
    """The most probable class. `margin` is its probability less that of the runner-up."""

    task_class: str
    probability: float
    margin: float
    is_confident: bool


@dataclass(frozen=True)
class TrainedHead:
    """A linear classifier over windows of text.

    `weights` is classes by features, `bias` one number a class, `center` the mean of the
    training features. `gate_margin` is the smallest margin at which a prediction is relied on.
    """

    classes: tuple[str, ...]
    weights: NDArray[np.float32]
    bias: NDArray[np.float32]
    center: NDArray[np.float32]
    gate_margin: float
    training_sha256: str

    @classmethod
    def load(cls) -> Self:
        """The head that ships in this package. Raises FileNotFoundError where it was left out."""
        stored = resources.files("pointwork.classify") / "data" / "head.npz"
        with (
            resources.as_file(stored) as path,
            np.load(path, allow_pickle=False) as arrays,
        ):
            return cls(
                classes=tuple(str(name) for name in arrays["classes"]),
                weights=arrays["weights"],
                bias=arrays["bias"],
                center=arrays["center"],
                gate_margin=float(arrays["gate_margin"]),
                training_sha256=str(arrays["training_sha256"]),
            )

    def probabilities(self, windows: NDArray[np.float32]) -> NDArray[np.float64]:
        """One probability a class, from the features of each window of one text."""
        logits = (windows - self.center) @ self.weights.T + self.bias
        exponents = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
        return pool(exponents / exponents.sum(axis=1, keepdims=True))


class TextClassifier:
    """Tells the class of a task from its text. Threads may share one if they may its embedder."""

    def __init__(self, embedder: TextEmbedder, head: TrainedHead | None = None) -> None:
        """`head` defaults to the one in the package."""
        self._embedder = embedder
        self._head = TrainedHead.load() if head is None else head

    def classify(self, text: str) -> Prediction:
        """The class of `text`. A text without a letter has the margin 0 and is never confident."""
        windows = instruction_windows(text)
        if not windows:
            even = 1.0 / len(self._head.classes)
            return Prediction(self._head.classes[0], even, 0.0, is_confident=False)
        features = np.stack([window_features(self._embedder, window) for window in windows])
        probabilities = self._head.probabilities(features)
        runner_up, best = np.argsort(probabilities)[-2:]
        margin = float(probabilities[best] - probabilities[runner_up])
        return Prediction(
            task_class=self._head.classes[best],
            probability=float(probabilities[best]),
            margin=margin,
            is_confident=margin >= self._head.gate_margin,
        )


def window_features(embedder: TextEmbedder, window: str) -> NDArray[np.float32]:
    """What the head looks at in one window: its embedding, then its character sequences."""
    return np.concatenate([embedder.embed(window), LEXICAL_WEIGHT * hashed_sequences(window)])


def pool(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """One distribution from those of a text's windows, each weighted by its own margin.

    The window that holds the instruction is the one the head is sure about. Where two windows
    are sure of different classes the weights balance, and the pooled margin falls below the gate.
    """
    ordered = np.sort(probabilities, axis=1)
    weights = ordered[:, -1] - ordered[:, -2] + np.finfo(np.float64).tiny
    pooled: NDArray[np.float64] = weights @ probabilities / weights.sum()
    return pooled
