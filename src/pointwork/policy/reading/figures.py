"""Durations and lists as people read them, on a terminal and in a browser."""

from collections.abc import Iterable


def milliseconds(duration_ms: float) -> str:
    """``840 ms`` or ``12.3 s``."""
    return f"{duration_ms:.0f} ms" if duration_ms < 1000 else f"{duration_ms / 1000:.1f} s"


def age(seconds: float) -> str:
    """``12 s``, ``5 min``, ``3 h`` or ``4 d``."""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return f"{int(seconds)} s"


def listed(names: Iterable[str], *, empty: str = "none") -> str:
    return ", ".join(names) or empty
