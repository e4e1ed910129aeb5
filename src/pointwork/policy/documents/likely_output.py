"""What a task probably writes, of what it may (OM-77)."""

from decimal import Decimal
from typing import Self

from pydantic import model_validator

from pointwork.contract.task import Complexity
from pointwork.policy.documents.document import Document, Ratio


class LikelyOutput(Document):
    """How much of the output a task may have it probably writes, by how complex it looks."""

    low: Ratio
    medium: Ratio
    high: Ratio

    @model_validator(mode="after")
    def _rises(self) -> Self:
        if not self.low <= self.medium <= self.high:
            msg = f"low {self.low}, medium {self.medium}, high {self.high}: write them rising"
            raise ValueError(msg)
        return self

    def of(self, complexity: Complexity) -> Decimal:
        return {"low": self.low, "medium": self.medium, "high": self.high}[complexity]
