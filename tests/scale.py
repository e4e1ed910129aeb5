"""How many of a thing a test makes: enough at every change, all promised before a release."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """`make test-whole` sets ``is_whole``; `make test` leaves it, to end within its time."""

    is_whole: bool

    def of(self, whole: int, always: int) -> int:
        """``whole`` is the number a requirement or a promise names, ``always`` the default's."""
        return whole if self.is_whole else always
