"""What a detector reports: where sensitive text stands and what it is, never the text itself."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from pointwork.contract.decision import FindingCount
from pointwork.contract.task import DataClass, Sensitivity
from pointwork.privacy.view import View

PERSON = "PERSON"
LANGUAGE_DETECTOR = "language@1"
"""What stands on the record where names, places and addresses were looked for as well."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One span of sensitive text, ``start`` to ``end`` in characters, half open."""

    kind: str
    """What it is, in capitals and underscores: ``EMAIL``, ``GITHUB_TOKEN``."""
    start: int
    end: int
    data_class: DataClass | None
    """None where it is replaced before a text leaves, and does not by itself keep the text in."""
    detector: str
    """Name and version of the detector that found it."""

    @property
    def is_secret(self) -> bool:
        """A credential: it is replaced in every pack and never restored (R-30, OM-50)."""
        return self.data_class is DataClass.CREDENTIAL

    @property
    def severity(self) -> tuple[bool, int]:
        """Orders two findings of one width: a credential first, then the more careful class."""
        return self.is_secret, -1 if self.data_class is None else self.data_class.sensitivity.rank

    def shifted(self, offset: int) -> "Finding":
        """The finding in a text of which this one's text is the part from ``offset`` on."""
        return replace(self, start=self.start + offset, end=self.end + offset)


@dataclass(frozen=True, slots=True)
class Detector:
    """One way to find sensitive text. Its findings count in the characters of the view it reads."""

    name: str
    """Name and version; it stands on the record of every task it ran for (OM-51)."""
    find: Callable[[View], Iterable[Finding]]


@dataclass(frozen=True, slots=True)
class Detection:
    """The result of reading a whole text."""

    findings: tuple[Finding, ...]
    """By position. Two overlap only where their data classes differ or neither holds the other."""
    scanned_characters: int
    detectors: tuple[str, ...]

    @property
    def data_classes(self) -> tuple[DataClass, ...]:
        found = {finding.data_class for finding in self.findings}
        return tuple(sorted(kind for kind in found if kind is not None))

    @property
    def sensitivity(self) -> Sensitivity | None:
        """The most careful level found; None is silence, not a proof of harmlessness."""
        return Sensitivity.highest(*(kind.sensitivity for kind in self.data_classes))

    @property
    def counts(self) -> tuple[FindingCount, ...]:
        return count_kinds(finding.kind for finding in self.findings)


def count_kinds(kinds: Iterable[str]) -> tuple[FindingCount, ...]:
    """How often each kind occurs, by name."""
    return tuple(FindingCount(kind=kind, count=n) for kind, n in sorted(Counter(kinds).items()))
