"""The lane to a host's one card as its worker told it last, for a terminal and for a browser."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from pointwork.contract.local_lane import LaneReport
from pointwork.policy.bundle import PolicyLibrary
from pointwork.policy.documents.catalogue import PricedModel, VramPlan, vram_plan
from pointwork.policy.reading.figures import age

QUIET_SECONDS = 120.0
"""A worker tells every change within a second; a report older than this says so."""
START_WORKER = "python -m workers gpu"


class Silence(StrEnum):
    """What it means that a report is old."""

    NONE = "none"
    """It is not."""
    IDLE = "idle"
    """Nothing ran or waited, so there was nothing to tell."""
    UNDER_WAY = "under way"
    """Work was under way that may take so long."""
    OVERDUE = "overdue"
    """Work was under way that cannot take so long."""


@dataclass(frozen=True, kw_only=True, slots=True)
class QueueReading:
    """What waits for one model; the wait is counted on from the report."""

    model: str
    waiting: int
    oldest_seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class LaneReading:
    """A report, read at one moment beside the profile of its host."""

    report: LaneReport
    age_seconds: float
    """How long ago the worker reported; never less than 0, whatever the clocks say."""
    silence: Silence
    silence_words: str
    """Empty where ``silence`` is NONE."""
    queues: tuple[QueueReading, ...]

    @property
    def state(self) -> str:
        """Changes whenever a page that shows it should."""
        return f"{self.report.reported_at.isoformat()}/{self.silence}"


def read_lane(report: LaneReport, library: PolicyLibrary, now: datetime) -> LaneReading:
    """What ``report`` says at ``now``; ``library`` is that of its host."""
    age_seconds = max(0.0, (now - report.reported_at).total_seconds())
    longest_seconds = _longest_seconds(report, library)
    silence = _silence(report, age_seconds, longest_seconds)
    return LaneReading(
        report=report,
        age_seconds=age_seconds,
        silence=silence,
        silence_words=_words(silence, age_seconds, longest_seconds),
        queues=tuple(
            QueueReading(
                model=each.model,
                waiting=each.waiting,
                # Whoever leaves or begins is a change, so who waited then waits still.
                oldest_seconds=each.oldest_seconds + age_seconds,
            )
            for each in report.queues
        ),
    )


def vram_plans(library: PolicyLibrary) -> tuple[VramPlan, ...]:
    """How each local model of the host shares the card; empty where the host states no ``gpu``.

    A model that no pack routes to has no entry.
    """
    gpu = library.of_this_host.host.gpu
    if gpu is None:
        return ()
    return tuple(
        vram_plan(gpu, name, priced.model.weights)
        for name, priced in _local_models(library).items()
        if priced.model.weights is not None
    )


def served_names(library: PolicyLibrary) -> dict[str, str]:
    """By catalogue id, the names that requests carry and that a report speaks of."""
    return {name: each.model.served_as for name, each in _local_models(library).items()}


def _local_models(library: PolicyLibrary) -> dict[str, PricedModel]:
    active = (library.active(pack) for pack in library.packs)
    routed = {name: each for bundle in active for name, each in bundle.models.items()}
    return {name: routed[name] for name in library.of_this_host.host.local_models if name in routed}


def _longest_seconds(report: LaneReport, library: PolicyLibrary) -> float:
    """How long what was under way may take without a change: a generation, or else a load."""
    if report.in_flight:
        models = _local_models(library).values()
        return float(max((each.model.timeout_seconds for each in models), default=0))
    runtime = library.of_this_host.host.runtime
    return float(runtime.start_timeout_seconds + runtime.swap_timeout_seconds)


def _silence(report: LaneReport, age_seconds: float, longest_seconds: float) -> Silence:
    if age_seconds <= QUIET_SECONDS:
        return Silence.NONE
    if not (report.in_flight or report.waiting or report.loading):
        return Silence.IDLE
    is_overdue = age_seconds > longest_seconds + QUIET_SECONDS
    return Silence.OVERDUE if is_overdue else Silence.UNDER_WAY


def _words(silence: Silence, age_seconds: float, longest_seconds: float) -> str:
    match silence:
        case Silence.NONE:
            return ""
        case Silence.IDLE:
            return (
                f"Nothing new for {age(age_seconds)}. Nothing ran or waited then, and a lane "
                "without change reports nothing: this is no cause for alarm."
            )
        case Silence.UNDER_WAY:
            return (
                f"Nothing new for {age(age_seconds)}, and work was under way. It may take up to "
                f"{age(longest_seconds)}; look whether the worker still runs."
            )
        case Silence.OVERDUE:
            return (
                f"Nothing new for {age(age_seconds)}, and work was under way that ends within "
                f"{age(longest_seconds)}: the worker is gone, or it hangs. Start it anew; its "
                "tasks are taken up again."
            )
