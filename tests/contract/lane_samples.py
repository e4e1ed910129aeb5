"""Samples of what a GPU worker says of its lane."""

from datetime import UTC, datetime

from pointwork.contract import local_lane, local_run

QUEUE = local_lane.LocalQueueSignal(model="smollm2-135m", waiting=3, oldest_seconds=4.5)
FAILED_LOAD = local_lane.FailedLoad(model="gemma3-270m", reason="its server did not answer")
MODEL_BUILD = local_run.ModelBuild(
    revision="sha256:b179c952",
    quantisation="Q4_1",
    runtime="llama_cpp",
    runtime_version="xllamacpp 2026.10.11549",
)
LOCAL_RUN = local_run.LocalRun(
    build=MODEL_BUILD, energy_millijoules=41_500, electricity_nano_usd=3_689
)
LANE_REPORT = local_lane.LaneReport(
    reported_at=datetime(2026, 11, 22, 12, 0, tzinfo=UTC),
    worker="4711@card-1",
    loaded="smollm2-135m",
    loading="gemma3-270m",
    in_flight=2,
    in_flight_max=8,
    queues=(QUEUE,),
    swaps=5,
    swap_seconds=9.25,
    served=120,
    past_bound=1,
    longest_wait_seconds=11.5,
    failed_loads=(FAILED_LOAD,),
    build=MODEL_BUILD,
)
