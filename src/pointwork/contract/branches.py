"""Several answers to one task, side by side: how they compare, and which a person chose.

Nothing here holds text, or carries a score that could decide: a comparison says where answers
differ, and only a person's signed verdict makes a selection (OM-55 to OM-63).
"""

from typing import Annotated, Literal, Self

from pydantic import AwareDatetime, Field, model_validator

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

    @model_validator(mode="after")
    def _agrees_where_nothing_differs(self) -> Self:
        if self.agree != (self.differences_count == 0):
            msg = f"agree is {self.agree} and differences_count {self.differences_count}; mend one"
            raise ValueError(msg)
        return self


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
