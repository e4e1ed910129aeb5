"""The signals that only governed packs read: receipts, guardrail, quotas, room, latency, evals."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

import psutil

from pointwork.contract.snapshot import LatencySignal, QuotaSignal, ResourceSignal, Snapshot
from pointwork.contract.task import TaskRequest
from pointwork.governance.guarded import Guarded
from pointwork.governance.ports import GovernanceLedger, GuardedStep
from pointwork.governance.receipts import FileGovernanceLedger
from pointwork.ledger.traffic import Traffic
from pointwork.policy.bundle import PolicyLibrary

GOVERNANCE_FOLDER = "governance"
LATENCY_WINDOW = timedelta(hours=1)
_MB = 1_000_000
_RATIO = Decimal("0.01")


class HostRoom:
    """How much room this host has now."""

    def read(self) -> ResourceSignal:
        """Memory a new process could take, and the load of the last minute over the cores."""
        load, _, _ = os.getloadavg()
        ratio = Decimal(load) / (psutil.cpu_count() or 1)
        return ResourceSignal(
            free_memory_mb=psutil.virtual_memory().available // _MB,
            load_ratio=ratio.quantize(_RATIO),
        )


@dataclass(frozen=True)
class GovernedSignals:
    """Adds to a snapshot what the pack requires; other packs' snapshots stay as they are."""

    library: PolicyLibrary
    ledger: GovernanceLedger
    traffic: Traffic
    room: HostRoom
    quotas_a_day: Mapping[str, int]
    """Requests a vendor allows a UTC day, by endpoint; what is not here is unknown."""
    flags_set: frozenset[str] = frozenset()
    """The switches that this deployment has turned on; only those a pack names reach it."""
    guarded: Guarded | None = None
    """None where no guardrail authority is connected: its silence opens no guarded tool."""

    def extend(self, request: TaskRequest, snapshot: Snapshot) -> Snapshot:
        bundle = self.library.by_hash(snapshot.policy.bundle_sha256)
        if flags := tuple(sorted(self.flags_set & {*bundle.pack.flags})):
            snapshot = snapshot.model_copy(update={"flags": flags})
        if not bundle.pack.required_signals:
            return snapshot
        now = snapshot.taken_at
        medians = self.traffic.median_ms(now - LATENCY_WINDOW)
        step = _step(request)
        return snapshot.model_copy(
            update={
                "quotas": self._quotas(bundle.index.hosted_endpoints, now),
                "resources": self.room.read(),
                "latencies": tuple(
                    LatencySignal(model=model, median_ms=ms)
                    for model, ms in medians.items()
                    if model in bundle.models
                ),
                "evals": tuple(self.ledger.evaluations()) or None,
                "receipts": tuple(self.ledger.receipts(request.task_id, request.subject, now)),
                "guardrail": self.guarded.check(step) if self.guarded else None,
            }
        )

    def _quotas(self, endpoints: frozenset[str], now: datetime) -> tuple[QuotaSignal, ...]:
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
        sent = self.traffic.calls_sent(midnight) if self.quotas_a_day else {}
        return tuple(
            QuotaSignal(
                endpoint=name,
                remaining_requests=max(0, self.quotas_a_day[name] - sent.get(name, 0))
                if name in self.quotas_a_day
                else None,
            )
            for name in sorted(endpoints)
        )


def _step(request: TaskRequest) -> GuardedStep:
    return GuardedStep(
        task_id=request.task_id,
        caller=request.caller,
        stage=request.stage,
        task_class=request.task_class,
        tools=request.tools,
        escalation_reason=request.escalation_reason,
    )


def governed_signals(
    library: PolicyLibrary,
    traffic: Traffic,
    state_dir: Path,
    quotas_a_day: Mapping[str, int],
    flags_set: frozenset[str] = frozenset(),
) -> GovernedSignals:
    """The embedded default: receipts from signed files, and no guardrail authority."""
    return GovernedSignals(
        library=library,
        ledger=FileGovernanceLedger(state_dir / GOVERNANCE_FOLDER),
        traffic=traffic,
        room=HostRoom(),
        quotas_a_day=quotas_a_day,
        flags_set=flags_set,
    )
