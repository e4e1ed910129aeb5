"""How near the answers of several models must be to count as one (OM-55 to OM-61)."""

from decimal import Decimal
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pointwork.contract.branches import Agreement, NumberTolerance, TextSimilarity
from pointwork.policy.documents.document import Document, Exact


class NumberRule(Document):
    """Numbers in JSON, and answers that are one number, within the greater of the two bounds."""

    relative: Annotated[Exact, Field(ge=0, lt=1)] = Decimal(0)
    """Share of the larger one's magnitude."""
    absolute: Annotated[Exact, Field(ge=0)] = Decimal(0)


class TextRule(Document):
    """Texts whose figures, signs and negations are the same and whose words are alike."""

    measure: Literal["word_subsequence"]
    similarity_min: Annotated[Exact, Field(ge=Decimal("0.5"), le=1)]


class AgreementRule(Document):
    """A part that is absent compares exactly. What is not near enough a person settles."""

    numbers: NumberRule | None = None
    text: TextRule | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.numbers is None and self.text is None:
            msg = "agreement states neither numbers nor text; state one, or leave agreement out"
            raise ValueError(msg)
        return self

    @property
    def for_answers(self) -> Agreement:
        return Agreement(
            numbers=NumberTolerance(**self.numbers.model_dump()) if self.numbers else None,
            text=TextSimilarity(**self.text.model_dump()) if self.text else None,
        )
