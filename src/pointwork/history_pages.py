"""Reading a workflow's history to its end, also when the server takes a page back.

Who waits for a workflow asks for one page after the other, each with the token of the page before.
A server that lost a write (its database was busy, a shard moved) goes one step back and refuses
tokens that are ahead of it. The workflow is well and goes on; only the reader has to begin anew.
"""

from collections.abc import Callable
from dataclasses import replace

from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import (
    FetchWorkflowHistoryEventsInput,
    Interceptor,
    OutboundInterceptor,
    WorkflowHistoryEventAsyncIterator,
)
from temporalio.service import RPCError, RPCStatusCode

RESTARTS_MAX = 20
"""Refused pages in a row, with no event between them, after which the refusal is an error."""

_TAKEN_BACK = "CurrentBranchChangedFailure"

Opened = Callable[[FetchWorkflowHistoryEventsInput], WorkflowHistoryEventAsyncIterator]


class RereadHistory(Interceptor):
    """A client that starts over where a page was taken back, and yields no event twice."""

    def intercept_client(self, next: OutboundInterceptor) -> OutboundInterceptor:
        return _Outbound(next)


class _Outbound(OutboundInterceptor):
    def fetch_workflow_history_events(
        self, input: FetchWorkflowHistoryEventsInput
    ) -> WorkflowHistoryEventAsyncIterator:
        return _Rereading(input, self.next.fetch_workflow_history_events)


class _Rereading(WorkflowHistoryEventAsyncIterator):
    def __init__(self, input: FetchWorkflowHistoryEventsInput, opened: Opened) -> None:
        self._asked = input
        self._opened = opened
        self._pages = opened(input)
        self._last_event_id = 0
        self._restarts = 0

    async def __anext__(self) -> HistoryEvent:
        while True:
            try:
                event = await anext(self._pages)
            except RPCError as error:
                self._restarts += 1
                if not _taken_back(error) or self._restarts > RESTARTS_MAX:
                    raise
                self._pages = self._opened(replace(self._asked, next_page_token=None))
                continue
            if event.event_id > self._last_event_id:
                self._last_event_id = event.event_id
                self._restarts = 0
                return event


def _taken_back(error: RPCError) -> bool:
    return error.status is RPCStatusCode.INVALID_ARGUMENT and any(
        detail.type_url.endswith(_TAKEN_BACK) for detail in error.grpc_status.details
    )
