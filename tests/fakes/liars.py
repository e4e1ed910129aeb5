"""Classifiers that say what they like, or nothing that could be a class."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pointwork.contract.prompt import Prompt
from pointwork.contract.task import Sensitivity


@dataclass(frozen=True)
class Said:
    """An inference as the port has it, with whatever in its fields; ``sensitivity`` nobody asks."""

    task_class: Any
    margin: Any = 0.99
    is_confident: Any = True
    sensitivity: Sensitivity = Sensitivity.PUBLIC


class Says:
    """Always sure, always the same, and of the opinion that every text is public."""

    def __init__(self, task_class: Any, margin: Any = 0.99, *, is_confident: Any = True) -> None:
        self._said = Said(task_class, margin, is_confident)

    def infer(self, prompt: Prompt) -> Any:
        return self._said


class Raises:
    def __init__(self, error: Callable[[str], Exception]) -> None:
        self._error = error

    def infer(self, prompt: Prompt) -> Any:
        raise self._error(prompt.text)


class SaysNothing:
    def infer(self, prompt: Prompt) -> Any:
        return None
