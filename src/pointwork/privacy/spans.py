"""From findings to the stretches of text that are replaced."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from pointwork.privacy.findings import LANGUAGE_DETECTOR, PERSON, Finding
from pointwork.privacy.recurrences import find_recurrences
from pointwork.privacy.view import view_of

_KINDS_THAT_RECUR = frozenset({PERSON, "ORGANIZATION", "STREET_ADDRESS"})


@dataclass(frozen=True, slots=True)
class Span:
    """One stretch to replace, ``start`` to ``end`` in characters of the whole text, half open."""

    start: int
    end: int
    kind: str
    is_secret: bool


def spans_to_replace(
    whole: str, findings: Sequence[Finding], bounds: Sequence[tuple[int, int]]
) -> list[Span]:
    """Findings and their recurrences, by position, without overlap, each within one of ``bounds``.

    Findings that overlap become one span, so that no rest of either is left. The widest names it,
    then the most severe; where one of them is a secret, all of it is.
    """
    return list(_within(_merged([*findings, *_recurring(whole, findings)]), bounds))


def traced_back(
    findings: Iterable[Finding], spans: Sequence[Span], replacements: Sequence[str]
) -> Iterator[Finding]:
    """Findings in the replaced text, as findings in the text whose ``spans`` were replaced.

    What touches a replacement touches all that it stands for.
    """
    starts: list[int] = []
    shift = 0
    for span, replacement in zip(spans, replacements, strict=True):
        starts.append(span.start + shift)
        shift += len(replacement) - (span.end - span.start)

    def traced(place: int, *, is_end: bool) -> int:
        at = bisect_right(starts, place) - 1
        if at < 0:
            return place
        beyond = place - starts[at] - len(replacements[at])
        if beyond >= 0:
            return spans[at].end + beyond
        return spans[at].end - 1 if is_end else spans[at].start

    for finding in findings:
        start = traced(finding.start, is_end=False)
        end = traced(finding.end - 1, is_end=True) + 1
        yield Finding(finding.kind, start, end, finding.data_class, finding.detector)


def _recurring(whole: str, findings: Iterable[Finding]) -> Iterator[Finding]:
    """Each further occurrence of a found value, also where nothing around it gives it away."""
    view = view_of(whole)
    owner_of: dict[str, Finding] = {}
    for finding in findings:
        value = view_of(whole[finding.start : finding.end]).text
        owner = owner_of.setdefault(value, finding)
        if finding.severity > owner.severity:
            owner_of[value] = finding
    for start, end, owner in find_recurrences(view.text, owner_of):
        if owner.detector == LANGUAGE_DETECTOR and not _is_name_again(view.text, start, end, owner):
            continue
        yield Finding(owner.kind, *view.original_span(start, end), owner.data_class, owner.detector)


def _is_name_again(text: str, start: int, end: int, owner: Finding) -> bool:
    """``Mark`` is found again as a word of its own; in ``Markdown`` it is none."""
    is_whole = not (text[start - 1 : start].isalnum() or text[end : end + 1].isalnum())
    return is_whole and owner.kind in _KINDS_THAT_RECUR


def _merged(findings: Iterable[Finding]) -> Iterator[Span]:
    group: list[Finding] = []
    end = 0
    for finding in sorted(findings, key=lambda finding: (finding.start, finding.end)):
        if group and finding.start >= end:
            yield _span_of(group)
            group = []
        end = max(end, finding.end) if group else finding.end
        group.append(finding)
    if group:
        yield _span_of(group)


def _span_of(group: list[Finding]) -> Span:
    secrets = [finding for finding in group if finding.is_secret]
    named = max(
        secrets or group, key=lambda finding: (finding.end - finding.start, finding.severity)
    )
    return Span(
        start=min(finding.start for finding in group),
        end=max(finding.end for finding in group),
        kind=named.kind,
        is_secret=bool(secrets),
    )


def _within(spans: Iterable[Span], bounds: Sequence[tuple[int, int]]) -> Iterator[Span]:
    """A span that reaches over a bound is cut there, so that parts of a prompt stay parts."""
    at = 0
    for span in spans:
        while bounds[at][1] <= span.start and at < len(bounds) - 1:
            at += 1
        for start, end in bounds[at:]:
            if start >= span.end:
                break
            low, high = max(start, span.start), min(end, span.end)
            if low < high:
                yield Span(low, high, span.kind, span.is_secret)
