"""The words every policy document is written in. Unknown keys are refused."""

from decimal import Decimal
from typing import Annotated

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    WithJsonSchema,
)

from pointwork.contract.money import NANO_PER_USD, NanoUsd
from pointwork.contract.task import Name

IS_DOCUMENT = "is_document"
"""Key of the validation context that tells what a person wrote from a bundle read back."""


class Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def _usd_to_nano(value: object, info: ValidationInfo) -> object:
    """``"0.25"`` to nano-USD. A YAML float would already have lost the exact amount.

    A plain integer is nano-USD, which only a bundle read back may hold: a person means dollars.
    """
    is_document = bool(info.context and info.context.get(IS_DOCUMENT))
    if isinstance(value, int) and not isinstance(value, bool) and not is_document:
        return value
    remedy = 'write it in USD as a quoted string such as "0.25"'
    if not isinstance(value, str):
        msg = f"{value!r:.60} is not an amount; {remedy}"
        raise ValueError(msg)  # noqa: TRY004 - pydantic turns ValueError into a field error
    try:
        nano = Decimal(value) * NANO_PER_USD
    except ArithmeticError as error:
        msg = f"{value!r:.60} is not an amount; {remedy}"
        raise ValueError(msg) from error
    if not nano.is_finite() or nano < 0 or nano != nano.to_integral_value():
        msg = f"{value!r:.60} is not an amount of whole nano-USD of at least zero; {remedy}"
        raise ValueError(msg)
    return int(nano)


Usd = Annotated[
    NanoUsd,
    BeforeValidator(_usd_to_nano),
    WithJsonSchema({"type": "string", "pattern": r"^\d+(\.\d{1,9})?$"}),
]
"""Written in the document as a quoted USD string, held in Python as nano-USD."""


def _quoted(value: object) -> object:
    """A YAML float is a binary number: 0.1 in a document would not be a tenth."""
    if isinstance(value, float):
        msg = f'{value!r} is a float; quote it, as in "0.80"'
        raise ValueError(msg)  # noqa: TRY004 - pydantic turns ValueError into a field error
    return value


Exact = Annotated[Decimal, BeforeValidator(_quoted), Field(allow_inf_nan=False)]
"""A number written as an integer or a quoted decimal string, never as a float."""

Ratio = Annotated[Exact, Field(gt=0, lt=1)]

Sentence = Annotated[str, Field(min_length=3, max_length=2_000)]


class ExpectedImpact(Document):
    quality: Sentence
    cost: Sentence
    privacy: Sentence
    reliability: Sentence


class ChangeHeader(Document):
    """Why this version exists: the seven things each change records (OM-84), and its approver."""

    what: Sentence
    why: Sentence
    affects: Sentence
    expected_impact: ExpectedImpact
    rollback_target: str | None
    approver: Name
