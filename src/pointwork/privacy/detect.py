"""Finds credentials and personal data in a whole text: the tier that always runs.

Patterns and checksums only. Names, places and free addresses have neither; the language models
that find those are a later tier, and would be further values in ``DETECTORS``.
"""

from collections.abc import Iterable

from pointwork.contract.task import DataClass
from pointwork.privacy.credentials import CREDENTIALS
from pointwork.privacy.findings import Detection, Detector, Finding
from pointwork.privacy.identifiers import IDENTIFIERS
from pointwork.privacy.personal import PERSONAL
from pointwork.privacy.phones import PHONES
from pointwork.privacy.view import view_of

DETECTORS: tuple[Detector, ...] = (CREDENTIALS, IDENTIFIERS, PERSONAL, PHONES)


def scan(text: str, detectors: tuple[Detector, ...] = DETECTORS) -> Detection:
    """Read all of ``text``, however long, with every detector.

    What a detector raises is not caught: a text that was not read to its end was not scanned.
    """
    view = view_of(text)
    found = [
        Finding(
            finding.kind,
            *view.original_span(finding.start, finding.end),
            finding.data_class,
            finding.detector,
        )
        for detector in detectors
        for finding in detector.find(view)
    ]
    return Detection(
        findings=_widest(found),
        scanned_characters=len(text),
        detectors=tuple(detector.name for detector in detectors),
    )


def _widest(found: Iterable[Finding]) -> tuple[Finding, ...]:
    """Without findings inside another of the same data class; the first of equals stays."""
    reach: dict[DataClass | None, int] = {}
    kept = []
    for finding in sorted(found, key=lambda finding: (finding.start, -finding.end)):
        if finding.end > reach.get(finding.data_class, -1):
            reach[finding.data_class] = finding.end
            kept.append(finding)
    return tuple(kept)
