"""How hard a task looks, from the shape of its prompt alone: no model, no cost (JG-10, JG-54).

The estimate errs upwards. A task that looks simple may be moved to a cheaper model before any is
called, so ``low`` is kept for prompts that show nothing at all of work: short, one turn, at most
one question, no code, no list, no word for thinking or building.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from pointwork.contract.prompt import Prompt, Speaker
from pointwork.contract.task import Complexity

READ_CHARACTERS_MAX = 65_536
"""Past this a prompt is long already; reading on would only take time."""

MEDIUM_FROM, HIGH_FROM = 1, 5
"""Points, of the signs below together."""

_FENCE = re.compile(r"^ {0,3}(?:```|~~~)", re.MULTILINE)
_LIST_ITEM = re.compile(r"^[ \t]{0,8}(?:[-*+•]|\d{1,3}[.)])[ \t]", re.MULTILINE)
_QUESTION = re.compile(r"[?？؟]+")
_WORD = re.compile(r"[^\W\d_]+")
_WORK_WORDS = """
analyse analyze architecture argue assess build compare consider consistency constraint constraints
debug decide decision deduce deploy derive design diagnose estimate evaluate evaluation evidence
explain failure fix forecast hypotheses hypothesis implement implications infer integrate
investigate justify migrate migration model optimise optimize plan prioritise prioritize proof prove
reason recommend refactor reproduce research review risk risks root scenario scenarios simulate
solve strategic strategy synthesise synthesize test tradeoff tradeoffs validate verify weigh why
"""
_WORK = frozenset(_WORK_WORDS.split())


@dataclass(frozen=True, slots=True)
class _Shape:
    """What is counted of a prompt; never its words themselves."""

    bytes_count: int
    turns: int
    questions: int
    code_blocks: int
    list_items: int
    work_words: int
    """Different words for thinking or building."""
    images: int


@dataclass(frozen=True, slots=True)
class _Sign:
    """One point for each of ``steps`` that the measure reaches."""

    measure: Callable[[_Shape], int]
    steps: tuple[int, ...]

    def points(self, shape: _Shape) -> int:
        return sum(self.measure(shape) >= step for step in self.steps)


_SIGNS = (
    _Sign(lambda shape: shape.bytes_count, (400, 4_000, 20_000)),
    _Sign(lambda shape: shape.turns, (3, 9)),
    _Sign(lambda shape: shape.questions, (2, 5)),
    _Sign(lambda shape: shape.code_blocks, (1, 3)),
    _Sign(lambda shape: shape.list_items, (3, 8)),
    _Sign(lambda shape: shape.work_words, (1, 3, 6)),
    _Sign(lambda shape: shape.images, (1,)),
)


def estimate_complexity(prompt: Prompt) -> Complexity:
    """The same prompt always gives the same estimate; more of any sign never lowers it."""
    shape = _shape(prompt)
    points = sum(sign.points(shape) for sign in _SIGNS)
    if points >= HIGH_FROM:
        return Complexity.HIGH
    return Complexity.MEDIUM if points >= MEDIUM_FROM else Complexity.LOW


def _shape(prompt: Prompt) -> _Shape:
    asked = "\n".join(turn.text for turn in prompt.turns if turn.speaker is Speaker.USER)
    text = asked[:READ_CHARACTERS_MAX]
    fences = len(_FENCE.findall(text))
    return _Shape(
        bytes_count=len(asked.encode()),
        turns=sum(turn.speaker is not Speaker.SYSTEM for turn in prompt.turns),
        questions=len(_QUESTION.findall(text)),
        code_blocks=(fences + 1) // 2,
        list_items=len(_LIST_ITEM.findall(text)),
        work_words=len(_WORK & set(_WORD.findall(text.casefold()))),
        images=sum(part.kind == "image" for turn in prompt.turns for part in turn.parts),
    )
