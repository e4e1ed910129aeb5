"""Fields a message gained after its first release: old JSON and old hashes stay as they were."""

from typing import Any

from pydantic import Field


def added(default: Any, **constraints: Any) -> Any:
    """A field that is left out of the JSON while it holds ``default``.

    A stored message that never knew the field, and its hash, stay equal to what is written today.
    """
    return Field(default=default, exclude_if=lambda value: value == default, **constraints)
