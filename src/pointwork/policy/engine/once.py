"""A fact worked out the first time it is read, and kept."""

from collections.abc import Callable
from typing import Any, Generic, TypeVar, overload

T = TypeVar("T")


class once(Generic[T]):  # noqa: N801 - a decorator, like the ``cached_property`` it stands in for
    """``functools.cached_property`` without the lock that it takes before Python 3.12.

    A decision reads some twenty facts in one thread, and the lock would take longer than the facts.
    """

    def __init__(self, work: Callable[[Any], T]) -> None:
        self._work, self._name, self.__doc__ = work, work.__name__, work.__doc__

    @overload
    def __get__(self, owner: None, kind: type) -> "once[T]": ...
    @overload
    def __get__(self, owner: object, kind: type) -> T: ...
    def __get__(self, owner: object | None, kind: type) -> "T | once[T]":
        if owner is None:
            return self
        # Found in the instance from now on, before this descriptor, which has no ``__set__``.
        value = owner.__dict__[self._name] = self._work(owner)
        return value
