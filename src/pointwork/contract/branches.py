"""Several answers to one task, side by side: how they compare, and which a person chose.

Nothing here holds text, or carries a score that could decide: a comparison says where answers
differ, and only a person's signed verdict makes a selection (OM-55 to OM-63).
"""

from decimal import Decimal
from typing import Annotated, Literal, Self

from pydantic import AwareDatetime, Field, model_validator

from pointwork.contract.additive import added
from pointwork.contract.money import NanoUsd
from pointwork.contract.task import ContentRef, Message, Name, TaskId

BRANCHES_MAX = 5

Letter = Annotated[str, Field(pattern=r"^[A-E]$")]
"""Names an answer for the people who choose; it tells nothing about the model (OM-62)."""


class BranchOption(Message):
    """One answer as it stands before a person, who sees it in full from the vault."""

    letter: Letter
    model: Name
    answer: ContentRef
    cost_nano_usd: NanoUsd


Share = Annotated[Decimal, Field(ge=0, le=1, allow_inf_nan=False)]


class NumberTolerance(Message):
    """Two numbers are the same where they differ by at most the greater of the two bounds."""

    relative: Annotated[Share, Field(lt=1)] = Decimal(0)
    """Share of the larger one's magnitude."""
    absolute: Annotated[Decimal, Field(ge=0, allow_inf_nan=False)] = Decimal(0)


class TextSimilarity(Message):
    """Texts count as one from ``similarity_min`` on, figures and negations apart."""

    measure: Literal["word_subsequence"]
    """Twice the longest common subsequence of words over the words of both texts."""
    similarity_min: Annotated[Share, Field(gt=0)]


class Agreement(Message):
    """How near answers must be to count as one; what it leaves out is compared exactly."""

    numbers: NumberTolerance | None = None
    """Of numbers in JSON, and of answers that are one number."""
    text: TextSimilarity | None = None


class Measured(Message):
    """By which measure answers were compared, within which bounds, and what was measured."""

    measure: Literal["exact", "json", "number", "word_subsequence"]
    relative: Share | None = None
    absolute: Annotated[Decimal, Field(ge=0)] | None = None
    similarity_min: Share | None = None
    value: Decimal | None = None
    """The lowest similarity of any two texts, or the largest difference of any two numbers as a
    share of the larger; None where nothing but equality was looked at."""
    stopped_by: Literal["", "figures_or_negation", "names", "opposites", "script"] = ""
    """What makes similar texts differ all the same."""
    tolerated_count: Annotated[int, Field(ge=0)] = 0
    """Places where answers are unequal and yet near enough."""


class Comparison(Message):
    """Where the answers differ: JSON pointers or line numbers, never values (OM-55)."""

    comparison_id: str
    kind: Literal["json", "text"]
    agree: bool
    letters: Annotated[tuple[Letter, ...], Field(min_length=2, max_length=BRANCHES_MAX)]
    differences: tuple[str, ...] = ()
    """Places where not all answers are equal; a JSON key that is no plain word stands as ``*``."""
    differences_count: Annotated[int, Field(ge=0)]
    """All of them, where ``differences`` lists the first."""
    measured: Measured | None = added(None)
    """None where the class has no rule of its own and answers were compared exactly."""

    @model_validator(mode="after")
    def _agrees_where_nothing_differs(self) -> Self:
        if self.agree != (self.differences_count == 0):
            msg = f"agree is {self.agree} and differences_count {self.differences_count}; mend one"
            raise ValueError(msg)
        return self

    @property
    def stands(self) -> Letter | None:
        """Whose answer is that of unequal ones which are near enough; None for equal ones.

        The first letter's: its place is the task's, and no model's rank decides it (OM-62).
        """
        is_near = self.measured is not None and self.measured.tolerated_count > 0
        return self.letters[0] if self.agree and is_near else None


class Selection(Message):
    """A person's choice between answers that differ; nobody and nothing else makes one (OM-63)."""

    approval_id: str
    task_id: TaskId
    comparison_id: str
    choice: Letter
    model: Name
    answer: ContentRef
    approver: Name
    """The person who chose."""
    token_id: Annotated[str, Field(min_length=1)]
    """The signed verdict's single-use token."""
    reason: str
    chosen_at: AwareDatetime
