"""The mapping from placeholder to original: kept sealed in the house, never shown, never logged."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pointwork.contract.failures import PointworkError

SECRET_LABEL = "SECRET"

# Strict in what a name is, tolerant of what models do to it: case, escapes, entities, emphasis.
PLACEHOLDER = re.compile(
    r"(?P<open>\\?<|&lt;)[*`]{0,2}"
    r"(?P<name>[A-Za-z]{2,24}(?:\\?_[A-Za-z]{1,24}){0,3}\\?_[0-9]{1,6})"
    r"[*`]{0,2}(?P<close>\\?>|&gt;)"
)
PLACEHOLDER_CHARACTERS_MAX = 128
"""Longer than anything ``PLACEHOLDER`` matches."""


class PlaceholdersError(PointworkError):
    """The bytes of a placeholder mapping cannot be read, so nothing is restored from them."""


def placeholder_name(match: re.Match[str]) -> str:
    """``EMAIL_1`` for every way a model may write ``<EMAIL_1>``."""
    return match["name"].replace("\\", "").upper()


@dataclass(frozen=True, slots=True, repr=False)
class Placeholders:
    """What each placeholder of one task stands for. Originals of secrets are not kept at all."""

    values: Mapping[str, str] = field(default_factory=dict)
    """``EMAIL_1`` to the original, for everything that may be restored."""
    secrets: frozenset[str] = frozenset()
    """Names that stand for credentials: they stay as they are in an answer (OM-50)."""
    literals: frozenset[str] = frozenset()
    """Names that the prompt itself held; no value was given to them."""

    def __repr__(self) -> str:
        return f"Placeholders(restorable={len(self.values)}, secrets={len(self.secrets)})"

    def knows(self, name: str) -> bool:
        """Whether the redacted prompt held this name, so that the model did not make it up."""
        return name in self.values or name in self.secrets or name in self.literals

    def to_bytes(self) -> bytes:
        """Canonical JSON in ASCII, for the vault."""
        fields = {
            "values": dict(self.values),
            "secrets": sorted(self.secrets),
            "literals": sorted(self.literals),
        }
        return json.dumps(fields, sort_keys=True, separators=(",", ":")).encode("ascii")

    @classmethod
    def from_bytes(cls, data: bytes) -> "Placeholders":
        """The mapping that ``to_bytes`` wrote.

        Raises:
            PlaceholdersError: the bytes are not such a mapping. Its text holds none of them.
        """
        try:
            fields = json.loads(data)
        except ValueError:
            # The decoder's own error carries the document, so nothing is raised from in here.
            fields = None
        if not isinstance(fields, dict) or fields.keys() != {"values", "secrets", "literals"}:
            raise PlaceholdersError(_UNREADABLE)
        values, secrets, literals = fields["values"], fields["secrets"], fields["literals"]
        is_mapping = isinstance(values, dict) and _are_texts(values.values())
        if not (is_mapping and _are_names(secrets) and _are_names(literals)):
            raise PlaceholdersError(_UNREADABLE)
        return cls(values=values, secrets=frozenset(secrets), literals=frozenset(literals))


_UNREADABLE = (
    "The placeholder mapping is not the JSON that to_bytes writes;"
    " pass the bytes that were sealed with this task."
)


def _are_texts(values: Iterable[object]) -> bool:
    return all(isinstance(value, str) for value in values)


def _are_names(values: object) -> bool:
    return isinstance(values, list) and _are_texts(values)
