"""Reports of a GPU worker, as the ledger keeps them."""

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Engine

from pointwork.contract.local_lane import FailedLoad, LaneReport, LocalQueueSignal
from pointwork.contract.local_run import ModelBuild
from pointwork.contract.names import TaskQueue
from pointwork.ledger.signals import SignalStore

CODER, MINISTRAL = "qwen3-coder-30b-a3b", "ministral-3-14b"
BUSY: dict[str, Any] = {
    "loaded": CODER,
    "build": ModelBuild(
        revision=f"sha256:{'3f2a9c1e' * 8}",
        quantisation="awq",
        runtime="vllm",
        runtime_version="0.32.0",
    ),
    "in_flight": 1,
    "in_flight_max": 4,
    "queues": (
        LocalQueueSignal(model=CODER, waiting=7, oldest_seconds=121.0),
        LocalQueueSignal(model=MINISTRAL, waiting=2, oldest_seconds=61.0),
    ),
    "swaps": 3,
    "swap_seconds": 41.25,
    "served": 118,
    "past_bound": 5,
    "longest_wait_seconds": 93.4,
    "failed_loads": (FailedLoad(model="llama-3.2-1b", reason="CUDA ran out of memory"),),
}
IDLE: dict[str, Any] = {"loaded": CODER, "served": 118}
LOADING: dict[str, Any] = {"loading": MINISTRAL, "queues": BUSY["queues"]}


def report_lane(engine: Engine, said: dict[str, Any], ago: timedelta = timedelta()) -> LaneReport:
    """Write what the worker said so long ago, as it does."""
    at = datetime.now(UTC) - ago
    report = LaneReport(reported_at=at, worker="4711@rig", **said)
    SignalStore(engine).set_loaded_model(TaskQueue.GPU, report.loaded, at, report)
    return report
