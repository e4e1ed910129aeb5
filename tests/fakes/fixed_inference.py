"""A class inference without an embedder: a word in the text names the class."""

from dataclasses import dataclass

from pointwork.contract.prompt import Prompt


@dataclass(frozen=True)
class Inferred:
    task_class: str
    margin: float
    is_confident: bool


class FixedInference:
    """Confident of the class named first in the text after ``class:``, else unsure."""

    def infer(self, prompt: Prompt) -> Inferred | None:
        for word in prompt.text.split():
            if word.startswith("class:"):
                return Inferred(word.removeprefix("class:"), 0.9, is_confident=True)
        return Inferred("exploratory_reasoning", 0.01, is_confident=False)
