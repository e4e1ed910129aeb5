"""A server that takes a page of history back: who waits for a task is answered all the same."""

from collections.abc import AsyncIterator

import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from temporalio.api.common.v1 import GrpcStatus
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import (
    Client,
    FetchWorkflowHistoryEventsInput,
    Interceptor,
    OutboundInterceptor,
    WorkflowHistoryEventAsyncIterator,
)
from temporalio.plugin import SimplePlugin
from temporalio.service import RPCError, RPCStatusCode

from pointwork.contract.outcome import TaskOutcome, TaskStatus
from pointwork.contract.prompt import Prompt
from pointwork.history_pages import RESTARTS_MAX
from pointwork.temporal import pointwork_plugin
from tests.workflows.stack import Stack

CHANGED = "type.googleapis.com/temporal.server.api.errordetails.v1.CurrentBranchChangedFailure"
OTHER = "type.googleapis.com/temporal.server.api.errordetails.v1.QueryFailedFailure"


class TakesBack(Interceptor):
    """Refuses a page before the event at ``position``, as many times as it is told to."""

    def __init__(self, times: int, position: int = 0, detail: str = CHANGED) -> None:
        self.left = times
        self.opened = 0
        self.position = position
        self._detail = detail

    def intercept_client(self, next: OutboundInterceptor) -> OutboundInterceptor:
        return TakenBack(next, self)

    def refuse(self) -> None:
        self.left -= 1
        status = GrpcStatus(
            code=RPCStatusCode.INVALID_ARGUMENT, details=[AnyMessage(type_url=self._detail)]
        )
        message = "Current and request branch tokens don't match."
        raise RPCError(message, RPCStatusCode.INVALID_ARGUMENT, status.SerializeToString())


class TakenBack(OutboundInterceptor):
    def __init__(self, below: OutboundInterceptor, fault: TakesBack) -> None:
        super().__init__(below)
        self._fault = fault

    def fetch_workflow_history_events(
        self, input: FetchWorkflowHistoryEventsInput
    ) -> WorkflowHistoryEventAsyncIterator:
        self._fault.opened += 1
        return Pages(super().fetch_workflow_history_events(input), self._fault)


class Pages(WorkflowHistoryEventAsyncIterator):
    def __init__(self, pages: AsyncIterator[HistoryEvent], fault: TakesBack) -> None:
        self._pages = pages
        self._fault = fault
        self._given = 0

    async def __anext__(self) -> HistoryEvent:
        if self._given == self._fault.position and self._fault.left:
            self._fault.refuse()
        self._given += 1
        return await anext(self._pages)


async def reading(stack: Stack, fault: TakesBack) -> Client:
    return await Client.connect(
        stack.temporal.service_client.config.target_host,
        plugins=[pointwork_plugin(), SimplePlugin("fault", interceptors=[fault])],
    )


async def test_a_history_taken_back_between_its_pages_is_read_whole_and_nothing_twice(
    stack: Stack,
) -> None:
    declaration = stack.declare()
    await stack.run(declaration)
    fault = TakesBack(times=3, position=5)
    handle = (await reading(stack, fault)).get_workflow_handle(declaration.task_id)
    seen = [event.event_id async for event in handle.fetch_history_events()]
    assert (fault.left, fault.opened) == (0, 4)
    plain = stack.temporal.get_workflow_handle(declaration.task_id)
    assert seen == [event.event_id for event in (await plain.fetch_history()).events]


async def test_who_waits_for_an_answer_gets_it_although_the_page_was_taken_back(
    stack: Stack,
) -> None:
    fault = TakesBack(times=2)
    reader = await reading(stack, fault)
    declaration = stack.declare()
    await stack.client.submit(Prompt.from_text("Tidy up this line."), declaration)
    handle = reader.get_workflow_handle(declaration.task_id, result_type=TaskOutcome)
    outcome = await handle.result()
    assert (fault.left, fault.opened) == (0, 3)
    assert outcome.status is TaskStatus.SUCCEEDED


@pytest.mark.parametrize("fault", [TakesBack(1000), TakesBack(1, detail=OTHER)])
async def test_a_page_that_stays_refused_or_is_refused_for_another_reason_is_an_error(
    stack: Stack, fault: TakesBack
) -> None:
    declaration = stack.declare()
    await stack.run(declaration)
    handle = (await reading(stack, fault)).get_workflow_handle(declaration.task_id)
    with pytest.raises(RPCError, match="branch tokens"):
        await handle.fetch_history()
    assert fault.opened <= RESTARTS_MAX + 1
