"""Promote and demote: the bounded re-ordering that measured results may make by themselves.

Pure. The pack states the bounds, and its activation is a person's approval of what happens within
them: no model enters or leaves a route, none stands more than one place from the pack's own order,
nothing moves twice within the cool-down, and no call counts for two changes (R-9, JG-35, JG-36).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pointwork.contract.overlay import (
    ModelWindow,
    Overlay,
    OverlayChange,
    OverlayEvent,
    OverlayPlace,
    PriorityMove,
    windows_sha256,
)
from pointwork.policy.documents.document import Document, Ratio

_EVENTS_TOLD_MAX = 8
"""As many moves as the reason spells out; the events hold every one."""


class OverlayRules(Document):
    """The pack's field ``overlay``; without it the pack's order never moves."""

    promote_at: Ratio
    """Share of calls that succeeded from which a model rises one place."""
    demote_below: Ratio
    """Share of calls that succeeded below which a model drops one place."""
    requests_min: Annotated[int, Field(ge=1)]
    """Closed calls a model needs in the window before it moves at all."""
    window_seconds: Annotated[int, Field(ge=1)]
    cooldown_seconds: Annotated[int, Field(ge=1)]
    """Least time between two changes."""
    shift_max: Literal[1] = 1
    """The most places a model may stand from the pack's own order."""

    @model_validator(mode="after")
    def _apart(self) -> Self:
        """Between the two bounds nothing moves; without that gap a model would go to and fro."""
        if self.demote_below >= self.promote_at:
            msg = (
                f"demote_below is {self.demote_below} and promote_at {self.promote_at}; "
                "let demote_below be the lower"
            )
            raise ValueError(msg)
        return self


def reordered(task_class: str, route: Sequence[str], overlay: Overlay | None) -> tuple[str, ...]:
    """The class's models in the order the overlay gives them: always a permutation of ``route``.

    Args:
        task_class: the class (or role) the route belongs to.
        route: the pack's own order, first choice first.
        overlay: the version in force; None leaves the order as it is. A place of a model that the
            route no longer names moves nothing.
    """
    shifts = overlay.shifts(task_class) if overlay else {}
    keyed = sorted(enumerate(route), key=lambda each: (each[0] - shifts.get(each[1], 0), each[0]))
    return tuple(model for _, model in keyed)


def window_bounds(
    rules: OverlayRules, current: Overlay | None, now: datetime
) -> tuple[datetime, datetime]:
    """Start and end, half open, of the calls that may count: none from before the last change."""
    starts_at = now - timedelta(seconds=rules.window_seconds)
    if current is not None and current.created_at > starts_at:
        starts_at = current.created_at
    return min(starts_at, now), now


def is_cooling_down(rules: OverlayRules, current: Overlay | None, now: datetime) -> bool:
    """Whether the last change is too recent for another; a revert counts as a change."""
    if current is None:
        return False
    return now < current.created_at + timedelta(seconds=rules.cooldown_seconds)


def next_overlay(
    rules: OverlayRules,
    pack: str,
    routes: Mapping[str, Sequence[str]],
    current: Overlay | None,
    windows: Sequence[ModelWindow],
    now: datetime,
) -> OverlayChange | None:
    """The next version, or None where nothing may move.

    A model below ``demote_below`` goes behind its neighbour, one from ``promote_at`` on before it,
    where that neighbour did not do just as badly or as well; of two that both do well the pack's
    own order stands again. A window that reaches outside ``window_bounds`` or holds fewer than
    ``requests_min`` calls moves nothing.

    Args:
        rules: the pack's bounds.
        pack: the pack's name.
        routes: each class's approved models in the pack's own order.
        current: the version in force; None where there is none yet.
        windows: how the models did, one window a model.
        now: when the change would take effect.

    Raises:
        ValueError: two windows for one model, or ``current`` is another pack's.
    """
    if current is not None and current.pack != pack:
        msg = f"the overlay given is of pack {current.pack!r}, not {pack!r}; give this pack's own"
        raise ValueError(msg)
    if is_cooling_down(rules, current, now):
        return None
    verdicts = _verdicts(rules, windows, window_bounds(rules, current, now))
    events: list[OverlayEvent] = []
    places: list[OverlayPlace] = []
    for task_class in sorted(routes):
        base = tuple(dict.fromkeys(routes[task_class]))
        before = reordered(task_class, base, current)
        after = _after(base, before, verdicts)
        events += _events(task_class, before, after, verdicts, rules)
        places += _places(task_class, base, after)
    if not events:
        return None
    evidence = tuple(each.window for _, each in sorted(verdicts.items()))
    overlay = Overlay(
        pack=pack,
        version=current.version + 1 if current else 1,
        parent=current.version if current else None,
        created_at=now,
        reason=_reason(events),
        windows_sha256=windows_sha256(evidence),
        places=tuple(places),
    )
    return OverlayChange(overlay=overlay, events=tuple(events), windows=evidence)


@dataclass(frozen=True, slots=True)
class _Verdict:
    """What a model's window says of it: 1 did well, -1 did badly, 0 neither."""

    window: ModelWindow
    standing: int


_Verdicts = Mapping[str, _Verdict]


def _verdicts(
    rules: OverlayRules, windows: Sequence[ModelWindow], bounds: tuple[datetime, datetime]
) -> _Verdicts:
    found: dict[str, _Verdict] = {}
    for window in windows:
        if window.model in found:
            msg = f"model {window.model!r} has two windows; give one a model"
            raise ValueError(msg)
        starts_at, ends_at = bounds
        fits = starts_at <= window.starts_at <= window.ends_at <= ends_at
        enough = fits and window.requests >= rules.requests_min
        found[window.model] = _Verdict(window, _standing(rules, window) if enough else 0)
    return found


def _standing(rules: OverlayRules, window: ModelWindow) -> int:
    if window.succeeded < rules.demote_below * window.requests:
        return -1
    return int(window.succeeded >= rules.promote_at * window.requests)


def _standing_of(model: str, verdicts: _Verdicts) -> int:
    verdict = verdicts.get(model)
    return verdict.standing if verdict else 0


def _after(base: tuple[str, ...], before: tuple[str, ...], verdicts: _Verdicts) -> tuple[str, ...]:
    """Exchange neighbours, the clearest case first; each model moves once at most."""
    order = list(before)
    moved: set[str] = set()
    for _, at in sorted(_exchanges(base, before, verdicts)):
        pair = before[at : at + 2]
        if not moved & set(pair):
            order[at : at + 2] = reversed(pair)
            moved |= set(pair)
    return tuple(order)


def _exchanges(
    base: tuple[str, ...], before: tuple[str, ...], verdicts: _Verdicts
) -> Iterator[tuple[int, int]]:
    """(minus how clear the case is, place) of each pair of neighbours that should change places."""
    own_place = {model: at for at, model in enumerate(base)}
    for at, (first, second) in enumerate(pairwise(before)):
        one, other = _standing_of(first, verdicts), _standing_of(second, verdicts)
        goes_home = one == other == 1 and own_place[second] < own_place[first]
        in_bounds = own_place[first] >= at and own_place[second] <= at + 1
        if (other > one or goes_home) and in_bounds:
            yield one - other, at


def _events(
    task_class: str,
    before: tuple[str, ...],
    after: tuple[str, ...],
    verdicts: _Verdicts,
    rules: OverlayRules,
) -> Iterator[OverlayEvent]:
    """One for each model that its own figures moved; a neighbour that made way has none."""
    for from_place, model in enumerate(before, start=1):
        to_place = after.index(model) + 1
        standing = _standing_of(model, verdicts)
        rose, fell = to_place < from_place, to_place > from_place
        if not (rose and standing > 0) and not (fell and standing < 0):
            continue
        window = verdicts[model].window
        yield OverlayEvent(
            task_class=task_class,
            model=model,
            move=PriorityMove.PROMOTED if rose else PriorityMove.DEMOTED,
            from_place=from_place,
            to_place=to_place,
            succeeded=window.succeeded,
            requests=window.requests,
            bound=rules.promote_at if rose else rules.demote_below,
        )


def _places(
    task_class: str, base: tuple[str, ...], after: tuple[str, ...]
) -> Iterator[OverlayPlace]:
    for own, model in enumerate(base):
        match own - after.index(model):
            case 1:
                yield OverlayPlace(task_class=task_class, model=model, shift=1)
            case -1:
                yield OverlayPlace(task_class=task_class, model=model, shift=-1)


def _reason(events: Sequence[OverlayEvent]) -> str:
    told = " ".join(each.sentence for each in events[:_EVENTS_TOLD_MAX])
    more = len(events) - _EVENTS_TOLD_MAX
    return f"{told} And {more} more." if more > 0 else told
