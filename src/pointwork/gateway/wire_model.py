"""What bodies of requests have in common: however large one is, little is kept of what is wrong."""

from collections.abc import Iterator
from typing import Annotated, Any, Self, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    model_validator,
)

_T = TypeVar("_T")
Items = Annotated[list[_T], Field(fail_fast=True)]
"""A list of any length, whose first bad item is told and no other."""

_ERRORS_MAX = 100
_UNKNOWN_VALUES_MAX = 10_000
_KEYS_MAX = 10_000


class Body(BaseModel):
    """A body that is refused as a whole where very much is wrong with it."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    @model_validator(mode="wrap")
    @classmethod
    def _errors_are_few(cls, value: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        """An error told takes a thousand times the memory of the two bytes it is about."""
        _require_few_keys(value)
        try:
            return handler(value)
        except ValidationError as error:
            if error.error_count() <= _ERRORS_MAX:
                raise
            msg = f"{error.error_count():,} of its fields are unknown, missing or of another form"
        raise ValueError(msg)


class WireModel(Body):
    """Takes fields it does not know, as the vendors' own APIs do, and quotes no value in errors."""

    model_config = ConfigDict(extra="allow", hide_input_in_errors=True)

    @model_validator(mode="after")
    def _unknown_fields_hold_little(self) -> Self:
        """What nobody reads may not be made of very many values."""
        left = _UNKNOWN_VALUES_MAX
        for inner in _containers(self.model_extra or {}):
            left -= len(inner)
            if left < 0:
                msg = (
                    f"more than {_UNKNOWN_VALUES_MAX:,} values stand in fields that are not known; "
                    "leave those fields out"
                )
                raise ValueError(msg)
        return self


def _require_few_keys(value: object) -> None:
    """No object that a caller has cause to send has so many, and each may be an error to be told.

    Raises:
        ValueError: an object, at any depth, has more.
    """
    if not isinstance(value, dict | list):
        return
    most = max((len(each) for each in _containers(value) if isinstance(each, dict)), default=0)
    if most > _KEYS_MAX:
        msg = f"an object has {most:,} fields, more than the {_KEYS_MAX:,} that one may have"
        raise ValueError(msg)


def _containers(value: dict[str, Any] | list[Any]) -> Iterator[dict[str, Any] | list[Any]]:
    """The object or list itself, and each in it at any depth."""
    waiting = [value]
    while waiting:
        inner = waiting.pop()
        yield inner
        values = inner.values() if isinstance(inner, dict) else inner
        waiting.extend(each for each in values if isinstance(each, dict | list))
