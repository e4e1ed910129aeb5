"""``pointwork gpu``: the lane to this host's card, and how its models share the card's memory."""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pointwork.cli.deployment import load_policy, open_ledger
from pointwork.cli.options import (
    HOST_DEFAULT,
    STATE_DIR_DEFAULT,
    AsJson,
    PoliciesDir,
    Since,
    StateDir,
    Until,
)
from pointwork.cli.screen import FAIL, WARN, Screen, age, facts, shown, table, usd_aligned

if TYPE_CHECKING:
    from pointwork.contract.local_lane import LaneReport
    from pointwork.policy.documents.catalogue import HostProfile, VramPlan
    from pointwork.policy.reading.lane import LaneReading

app = typer.Typer(help="The local card: what it serves, and who waits.", no_args_is_help=True)

WorkersHost = Annotated[
    str,
    typer.Option(
        "--host", envvar="POINTWORK_HOST", help="Host profile that the GPU worker runs with."
    ),
]


@app.callback()
def gpu() -> None:
    """The local card: what it serves, and who waits."""


@app.command()
def status(
    policies_dir: PoliciesDir = None,
    host: WorkersHost = HOST_DEFAULT,
    state_dir: StateDir = STATE_DIR_DEFAULT,
    as_json: AsJson = False,
) -> None:
    """What is loaded, runs and waits, as the GPU worker told it last; and the VRAM plan."""
    from pointwork.contract.names import TaskQueue
    from pointwork.ledger.signals import SignalStore
    from pointwork.policy.reading.lane import read_lane, served_names, vram_plans

    library = load_policy(policies_dir, host, state_dir)
    profile, plans, names = library.of_this_host.host, vram_plans(library), served_names(library)
    report = SignalStore(open_ledger(state_dir)).lane_report(TaskQueue.GPU)
    reading = read_lane(report, library, datetime.now(UTC)) if report else None
    screen = Screen(as_json=as_json)
    if as_json:
        return screen.document(_document(reading, profile, plans, names))
    if reading is None:
        _show_empty(screen, host)
    else:
        _show_lane(screen, reading)
        _show_queues(screen, reading)
    _show_bounds(screen, profile)
    return _show_plans(screen, profile, plans, names)


@app.command()
def electricity(
    since: Since = None,
    until: Until = None,
    state_dir: StateDir = STATE_DIR_DEFAULT,
    as_json: AsJson = False,
) -> None:
    """What the calls of each local model used, and what that cost at the operator's tariff."""
    from pointwork.cli.costs import days_given
    from pointwork.ledger.electricity import electricity as used

    found = used(open_ledger(state_dir), days_given(since, until))
    screen = Screen(as_json=as_json)
    if as_json:
        return screen.document({"models": [asdict(each) for each in found]})
    if not found:
        screen.line("No call was metered. Set POINTWORK_ELECTRICITY_METER (nvml, rapl or watts)")
        return screen.line("and POINTWORK_ELECTRICITY_USD_PER_KWH for the GPU worker.")
    heads = ["CALLS", "WH", "COST"]
    rows = table("MODEL", *heads, right=heads)
    for each in found:
        cost = usd_aligned(each.cost_nano_usd)
        rows.add_row(each.model, str(each.calls), f"{each.watt_hours:.3f}", cost)
    return screen.show(rows)


def _document(
    reading: "LaneReading | None",
    host: "HostProfile",
    plans: "tuple[VramPlan, ...]",
    names: dict[str, str],
) -> dict[str, Any]:
    return {
        "host": host.host,
        "lane": _lane_document(reading) if reading else None,
        "wait_bounds": host.wait_bounds.model_dump(mode="json"),
        "vram": [
            {
                "model": each.model,
                "served_as": names[each.model],
                "total_mb": each.total_mb,
                "slices_mb": each.slices_mb,
                "weights_mb": each.weights_mb,
                "kv_reserve_mb": each.kv_reserve_mb,
                "headroom_mb": each.headroom_mb,
                "fits": each.fits,
            }
            for each in plans
        ]
        if host.gpu
        else None,
    }


def _lane_document(reading: "LaneReading") -> dict[str, Any]:
    """The report as it stands, with its age and what its age means."""
    return reading.report.model_dump(mode="json") | {
        "age_seconds": round(reading.age_seconds, 3),
        "silence": reading.silence.value,
        "failed_loads": [each.model_dump(mode="json") for each in reading.report.failed_loads],
        "queues": [
            {
                "model": each.model,
                "waiting": each.waiting,
                "oldest_seconds": round(each.oldest_seconds, 3),
            }
            for each in reading.queues
        ],
    }


def _show_empty(screen: Screen, host: str) -> None:
    from pointwork.policy.reading.lane import START_WORKER

    screen.line("No GPU worker has ever reported to this ledger.")
    screen.line(f"`pointwork up` starts one; beside other workers: POINTWORK_HOST={host} \\")
    screen.line(f"  {START_WORKER}")


def _show_lane(screen: Screen, reading: "LaneReading") -> None:
    from pointwork.policy.reading.lane import Silence

    report = reading.report
    screen.show(
        facts(
            [
                ("worker", f"{shown(report.worker)}, reported {age(reading.age_seconds)} ago"),
                ("loaded", report.loaded or "none"),
                *([("build", report.build.words)] if report.build else []),
                *([("loading", report.loading)] if report.loading else []),
                ("in flight", f"{report.in_flight} of {report.in_flight_max}"),
                *_counts(report),
                *(
                    ("did not load", _one_line(f"{each.model}: {each.reason}"))
                    for each in report.failed_loads
                ),
            ]
        )
    )
    if reading.silence_words:
        styles = {Silence.UNDER_WAY: WARN, Silence.OVERDUE: FAIL}
        screen.line(reading.silence_words, styles.get(reading.silence, ""))


def _counts(report: "LaneReport") -> list[tuple[str, str]]:
    return [
        ("swaps", f"{report.swaps}; loads took {report.swap_seconds:.1f} s in all"),
        ("served", f"{report.served}, of which {report.past_bound} began past their bound"),
        ("longest wait", f"{report.longest_wait_seconds:.1f} s"),
    ]


def _one_line(text: str) -> str:
    return " ".join(shown(text).split())


def _show_queues(screen: Screen, reading: "LaneReading") -> None:
    screen.line()
    if not reading.queues:
        return screen.line("Nothing waits.")
    rows = table("MODEL", "WAITING", "OLDEST WAIT", right=["WAITING", "OLDEST WAIT"])
    for each in reading.queues:
        rows.add_row(each.model, str(each.waiting), age(each.oldest_seconds))
    return screen.show(rows)


def _show_bounds(screen: Screen, host: "HostProfile") -> None:
    bounds = host.wait_bounds
    screen.line()
    screen.line(
        f"A task of host {host.host} is to begin within {bounds.interactive_seconds} s at "
        f"priority 1 and 2, {bounds.standard_seconds} s at 3, {bounds.bulk_seconds} s at 4 and 5."
    )


def _show_plans(
    screen: Screen,
    host: "HostProfile",
    plans: "tuple[VramPlan, ...]",
    names: dict[str, str],
) -> None:
    if host.gpu is None:
        return screen.line(f"Host {host.host} states no card (gpu), so it has no VRAM plan.")
    screen.line()
    screen.line(f"{host.gpu.name}, in MB; one model at a time:")
    heads = ["CARD", "SLICES", "WEIGHTS", "KV RESERVE", "HEADROOM"]
    rows = table("MODEL", "SERVED AS", *heads, "FITS", right=heads)
    for each in plans:
        figures = (
            each.total_mb,
            each.slices_mb,
            each.weights_mb,
            each.kv_reserve_mb,
            each.headroom_mb,
        )
        rows.add_row(
            each.model, names[each.model], *map(str, figures), "yes" if each.fits else "no"
        )
    screen.show(rows)
    slices = ", ".join(f"{each.model} {each.vram_mb}" for each in host.gpu.slices)
    return screen.line(f"Slices: {slices}." if slices else "No slices are set apart.")
