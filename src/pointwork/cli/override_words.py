"""Overrides in words: what the options mean, and how one is shown."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeVar

from pointwork.cli.errors import CliError
from pointwork.cli.screen import Screen, facts, listed, table, usd
from pointwork.contract.override import OverrideDuration, OverrideScope
from pointwork.contract.override_request import OverrideRequest, OverrideState
from pointwork.policy.reading.override_words import duration_words, scope_words

if TYPE_CHECKING:
    from pointwork.ledger.overrides import OverrideEntry

_E = TypeVar("_E", bound=StrEnum)


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """For whom an override is, and how long."""

    scope: OverrideScope
    duration: OverrideDuration
    task_id: str | None
    conversation: str | None
    ends_at: datetime | None


def parse_bounds(
    scope: str | None,
    duration: str | None,
    task_id: str | None,
    conversation: str | None,
    until: str | None,
    now: datetime,
) -> Bounds:
    """What the options say (OM-70, OM-71).

    Raises:
        CliError: scope or duration is missing or unknown, or a bound is missing or bounds nothing.
    """
    of, for_ = (
        _member("--scope", scope, OverrideScope),
        _member("--duration", duration, OverrideDuration),
    )
    of_session = of is OverrideScope.SESSION or for_ is OverrideDuration.SESSION
    timed = of is OverrideScope.PERIOD or for_ is OverrideDuration.TIME_LIMITED
    for option, value, is_read in (
        ("--task", task_id, of is OverrideScope.TASK),
        ("--conversation", conversation, of_session),
        ("--until", until, timed),
    ):
        what = f"--scope {of} --duration {for_}"
        if is_read and value is None:
            raise CliError(f"{option} is missing", f"{what} needs it")
        if value is not None and not is_read:
            raise CliError(f"{option} bounds nothing with {what}", f"leave {option} out")
    ends_at = _moment(until, now) if until is not None else None
    return Bounds(
        scope=of, duration=for_, task_id=task_id, conversation=conversation, ends_at=ends_at
    )


def _member(option: str, value: str | None, kind: type[_E]) -> _E:
    names = listed([str(each) for each in kind])
    if value is None:
        raise CliError(f"{option} is missing", f"give one of {names}")
    try:
        return kind(value)
    except ValueError:
        raise CliError(f"{option} {value!r} is none", f"give one of {names}") from None


def _moment(until: str, now: datetime) -> datetime:
    remedy = "give a time to come with its zone, such as 2026-12-24T18:00Z"
    try:
        found = datetime.fromisoformat(until)
    except ValueError:
        raise CliError(f"--until {until!r} is no time", remedy) from None
    if found.tzinfo is None:
        raise CliError(f"--until {until!r} names no time zone", remedy)
    if found <= now:
        raise CliError(f"--until {until!r} is past", remedy)
    return found


def show_asked(screen: Screen, asked: OverrideRequest) -> None:
    """What was asked, what it would cost, and what comes next."""
    screen.show(
        facts(
            [
                ("override", asked.override_id),
                ("state", OverrideState.PENDING.value),
                ("model", f"{asked.model}, for pack {asked.pack}"),
                ("scope", scope_words(asked)),
                ("duration", duration_words(asked)),
                ("reason", asked.reason),
                ("asked by", asked.requester),
                ("cost impact", usd(asked.cost_impact_nano_usd)),
                ("estimated from", asked.cost_basis),
            ]
        )
    )
    screen.say()
    screen.say("It changes nothing until another person acknowledges what it costs:")
    command = f'pointwork override acknowledge {asked.override_id} --as NAME --reason "..."'
    screen.note(command)


def show_entries(screen: Screen, entries: "Sequence[OverrideEntry]") -> None:
    if not entries:
        return screen.say("No override was ever asked for.")
    rows = table(
        *("OVERRIDE", "STATE", "MODEL", "SCOPE", "DURATION", "COST", "BY", "ACKNOWLEDGED BY"),
        "REASON",
        right=["COST"],
        shrink=["REASON", "SCOPE"],
    )
    for each in entries:
        asked = each.asked
        rows.add_row(
            asked.override_id,
            each.state,
            asked.model,
            scope_words(asked),
            duration_words(asked),
            usd(asked.cost_impact_nano_usd),
            asked.requester,
            each.approver or "nobody",
            asked.reason,
        )
    screen.show(rows)
    if not any(each.uses for each in entries):
        return None
    screen.line()
    used = table("TASK", "OVERRIDE", "ORIGINAL", "OVERRIDDEN", "OUTCOME", shrink=["TASK"])
    for each in entries:
        for use in each.uses:
            routes = (use.original_route, use.overridden_route)
            used.add_row(use.task_id, each.asked.override_id, *routes, use.outcome)
    return screen.show(used)


def document(entry: "OverrideEntry") -> dict[str, Any]:
    """The whole override; every use holds the eight facts of OM-74 beside its task."""
    asked = entry.asked.model_dump(mode="json")
    shared = {
        name: asked[name]
        for name in ("requester", "reason", "scope", "duration", "cost_impact_nano_usd")
    }
    return asked | {
        "state": entry.state,
        "approver": entry.approver,
        "acknowledged_at": _iso(entry.acknowledged_at),
        "expires_at": _iso(entry.expires_at),
        "session_ended_at": _iso(entry.session_ended_at),
        "used_by": entry.used_by,
        "ended_at": _iso(entry.ended_at),
        "ended_by": entry.ended_by,
        "ended_reason": entry.ended_reason,
        "uses": [
            shared
            | {
                "approver": entry.approver,
                "task_id": each.task_id,
                "original_route": each.original_route,
                "overridden_route": each.overridden_route,
                "outcome": each.outcome,
                "recorded_at": _iso(each.recorded_at),
            }
            for each in entry.uses
        ],
    }


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None
