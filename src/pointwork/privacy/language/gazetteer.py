"""Names of persons in eighty languages, as the lists of the Faker library have them.

A name on a list is no proof of a person: ``Will`` and ``Rose`` are on it. What reads the lists
asks for more: a capital, a neighbour that is a name as well, or a model's suspicion.
"""

import pkgutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module

import faker.providers.person as persons

_FIRST = ("first_name", "given")
_LAST = ("last_name",)
_LENGTH_MIN = 3


@dataclass(frozen=True, slots=True)
class Gazetteer:
    """Casefolded single words."""

    first: frozenset[str]
    last: frozenset[str]

    def is_name(self, word: str) -> bool:
        folded = word.casefold()
        return folded in self.first or folded in self.last


@lru_cache(maxsize=1)
def gazetteer() -> Gazetteer:
    """Read every list once: about 60,000 names, a second."""
    first: set[str] = set()
    last: set[str] = set()
    for module in pkgutil.iter_modules(persons.__path__):
        provider = getattr(import_module(f"{persons.__name__}.{module.name}"), "Provider", None)
        for attribute in dir(provider):
            if any(part in attribute for part in _FIRST):
                first.update(_words(getattr(provider, attribute)))
            elif any(part in attribute for part in _LAST):
                last.update(_words(getattr(provider, attribute)))
    return Gazetteer(frozenset(first), frozenset(last))


def _words(value: object) -> Iterator[str]:
    if isinstance(value, dict | list | tuple | set | frozenset):
        for name in value:
            if isinstance(name, str) and len(name) >= _LENGTH_MIN and " " not in name:
                yield name.casefold()
