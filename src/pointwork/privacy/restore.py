"""Puts originals back into an answer, for the caller who sent them; a secret never comes back."""

import json
import re
from dataclasses import dataclass, field

from pointwork.contract.json_strings import JsonString, read_object, with_strings
from pointwork.privacy.placeholders import (
    PLACEHOLDER,
    PLACEHOLDER_CHARACTERS_MAX,
    Placeholders,
    placeholder_name,
)

# The beginning of a placeholder at the end of what has arrived. It may match too much, never too
# little: what it matches waits for the next chunk.
_BEGUN = re.compile(r"(?:\\|&(?:lt?)?|(?:\\?<|&lt;)[A-Za-z0-9_*`\\]{0,112}(?:&(?:gt?)?)?)\Z")


@dataclass(frozen=True, slots=True)
class Restored:
    """An answer with its originals."""

    text: str = field(repr=False)
    unknown: int
    """Placeholders the model made up. They stand for nothing and stay as they are."""


def restore(text: str, placeholders: Placeholders) -> Restored:
    """Replace every known placeholder once; a value that looks like one is not read again."""
    restorer = StreamRestorer(placeholders)
    whole = restorer.feed(text) + restorer.finish()
    return Restored(text=whole, unknown=restorer.unknown)


def restore_arguments(arguments: str, placeholders: Placeholders) -> Restored:
    """A call's arguments with their originals, and still one JSON object.

    A value is put back as a value: a quote in it is escaped, and an escaped ``<`` is none.

    Raises:
        JsonObjectError: ``arguments`` is no JSON object, or two of its keys became equal.
    """
    given, unknown = read_object(arguments), 0

    def original(each: JsonString) -> str:
        nonlocal unknown
        restored = restore(each.text, placeholders)
        unknown += restored.unknown
        return restored.text

    changed = with_strings(given, original)
    written = arguments if changed == given else json.dumps(changed, ensure_ascii=False)
    return Restored(text=written, unknown=unknown)


class StreamRestorer:
    """Restores an answer as it arrives; a placeholder may be split over any number of chunks."""

    def __init__(self, placeholders: Placeholders) -> None:
        self._placeholders = placeholders
        self._labels = {
            name.rpartition("_")[0] for name in (*placeholders.values, *placeholders.secrets)
        }
        self._held = ""
        self.unknown = 0

    def feed(self, chunk: str) -> str:
        """What can be shown after ``chunk``: all but the beginning of a possible placeholder."""
        text = self._held + chunk
        begun = _BEGUN.search(text, max(0, len(text) - PLACEHOLDER_CHARACTERS_MAX))
        cut = begun.start() if begun else len(text)
        self._held = text[cut:]
        return self._replaced(text[:cut])

    def finish(self) -> str:
        """The rest, when no more will come."""
        rest, self._held = self._held, ""
        return self._replaced(rest)

    def _replaced(self, text: str) -> str:
        return PLACEHOLDER.sub(self._original_of, text)

    def _original_of(self, match: re.Match[str]) -> str:
        name = placeholder_name(match)
        value = self._placeholders.values.get(name)
        if value is not None:
            # A backslash that escapes only the beginning stood in the text before the value.
            is_stray = match["open"] == "\\<" and match["close"] != "\\>"
            return f"\\{value}" if is_stray else value
        # In other case it may be anybody's XML tag, unless the prompt held that kind.
        is_ours = match["name"].isupper() or name.rpartition("_")[0] in self._labels
        if is_ours and not self._placeholders.knows(name):
            self.unknown += 1
        return match[0]
