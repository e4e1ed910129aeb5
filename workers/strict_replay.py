"""Replay that also compares what the stock replayer does not: activity inputs and the result.

The stock replayer proves that the code makes the same commands in the same order. A history whose
activity results, inputs or final result were altered passes it. Here every scheduled activity's
input, by its name and order within that name, and the final result are compared as decoded values.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from temporalio import workflow
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import WorkflowHistory
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import (
    ExecuteWorkflowInput,
    Interceptor,
    Replayer,
    StartActivityInput,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
    WorkflowOutboundInterceptor,
)

from pointwork.contract.names import NAMESPACE_DEFAULT
from pointwork.policy.bundle import PolicyLibrary
from pointwork.privacy.codec import EncryptingCodec, PayloadRefusedError
from pointwork.temporal import pointwork_plugin
from workers.sealed_history import opened
from workflows.bulk_run import BulkRun
from workflows.route_task import RouteTask

_ACTIVITY_EXTERN = "pointwork_replayed_activity"
_RESULT_EXTERN = "pointwork_replayed_result"


class _Outbound(WorkflowOutboundInterceptor):
    def start_activity(self, input: StartActivityInput) -> workflow.ActivityHandle[Any]:
        workflow.extern_functions()[_ACTIVITY_EXTERN](input.activity, list(input.args))
        return super().start_activity(input)


class _Inbound(WorkflowInboundInterceptor):
    def init(self, outbound: WorkflowOutboundInterceptor) -> None:
        super().init(_Outbound(outbound))

    async def execute_workflow(self, input: ExecuteWorkflowInput) -> Any:
        result = await super().execute_workflow(input)
        workflow.extern_functions()[_RESULT_EXTERN](result)
        return result


class _Capture(Interceptor):
    def __init__(self) -> None:
        self.activities: dict[str, list[list[Any]]] = defaultdict(list)
        self.result: Any = None

    def workflow_interceptor_class(
        self, input: WorkflowInterceptorClassInput
    ) -> type[WorkflowInboundInterceptor]:
        input.unsafe_extern_functions[_ACTIVITY_EXTERN] = self._take_activity
        input.unsafe_extern_functions[_RESULT_EXTERN] = self._take_result
        return _Inbound

    def _take_activity(self, name: str, args: list[Any]) -> None:
        self.activities[name].append(args)

    def _take_result(self, result: Any) -> None:
        self.result = result


async def replay_strictly(
    history: WorkflowHistory,
    library: PolicyLibrary,
    codec: EncryptingCodec | None = None,
    namespace: str = NAMESPACE_DEFAULT,
) -> list[str]:
    """Every difference between the history and what today's code makes of it; empty if none.

    ``codec`` opens an encrypted history; ``namespace`` is the one it was made in, to which its
    payloads are bound.
    """
    try:
        history = await opened(history, codec, namespace)
    except PayloadRefusedError as error:
        return [str(error)]
    capture = _Capture()
    replayer = Replayer(
        workflows=[RouteTask, BulkRun], plugins=[pointwork_plugin(library, capture)]
    )
    result = await replayer.replay_workflow(history, raise_on_replay_failure=False)
    if result.replay_failure is not None:
        return [f"replay: {type(result.replay_failure).__name__}: {result.replay_failure}"]
    return [*_activity_problems(history, capture), *_result_problems(history, capture)]


def _activity_problems(history: WorkflowHistory, capture: _Capture) -> list[str]:
    recorded: dict[str, list[bytes]] = defaultdict(list)
    for event in history.events:
        if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
            scheduled = event.activity_task_scheduled_event_attributes
            payloads = scheduled.input.payloads
            recorded[scheduled.activity_type.name].append(_joined(payloads))
    problems: list[str] = []
    for name in sorted({*recorded, *capture.activities}):
        made = [_encoded(args) for args in capture.activities[name]]
        if len(made) != len(recorded[name]):
            problems.append(f"{name}: {len(recorded[name])} recorded, {len(made)} replayed")
        problems.extend(
            f"{name} call {number}: the recorded input differs from the replayed one"
            for number, (was, now) in enumerate(zip(recorded[name], made, strict=False), start=1)
            if was != now
        )
    return problems


def _result_problems(history: WorkflowHistory, capture: _Capture) -> list[str]:
    last: HistoryEvent = history.events[-1]
    if last.event_type != EventType.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED:
        return []
    recorded = last.workflow_execution_completed_event_attributes.result.payloads
    if _joined(recorded) != _encoded([capture.result]):
        return ["result: the recorded result differs from the replayed one"]
    return []


def _encoded(values: Sequence[Any]) -> bytes:
    return _joined(pydantic_data_converter.payload_converter.to_payloads(values))


def _joined(payloads: Sequence[Any]) -> bytes:
    return b"\0".join(payload.data for payload in payloads)
