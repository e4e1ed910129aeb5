"""The tasks that run now, as Temporal lists them. The ledger learns of a task when it ends."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pointwork.contract.failures import ServiceUnavailableError
from pointwork.contract.names import ROUTE_TASK, SearchAttribute

_TIMEOUT_SECONDS = 5


@dataclass(frozen=True)
class UnfinishedTask:
    task_id: str
    status: str
    task_class: str
    model: str
    waits_for: str
    started_at: datetime


async def unfinished_tasks(state_dir: Path, limit: int) -> list[UnfinishedTask]:
    """Up to ``limit`` running tasks, latest first.

    Raises:
        ServiceUnavailableError: nothing runs on ``state_dir``, or Temporal does not answer.
    """
    import asyncio

    from temporalio.client import Client, WorkflowExecution
    from temporalio.common import SearchAttributeKey
    from temporalio.service import RPCError

    from pointwork.embedded import read_endpoints

    endpoints = read_endpoints(state_dir)

    def task(execution: WorkflowExecution) -> UnfinishedTask:
        def value(name: SearchAttribute) -> str:
            key = SearchAttributeKey.for_keyword(name)
            return execution.typed_search_attributes.get(key) or ""

        return UnfinishedTask(
            task_id=execution.id,
            status=value(SearchAttribute.STATUS) or "started",
            task_class=value(SearchAttribute.TASK_CLASS),
            model=value(SearchAttribute.MODEL),
            waits_for=value(SearchAttribute.WAITS_FOR),
            started_at=execution.start_time,
        )

    try:
        async with asyncio.timeout(_TIMEOUT_SECONDS):
            client = await Client.connect(endpoints.temporal_address, namespace=endpoints.namespace)
            query = f'WorkflowType="{ROUTE_TASK}" AND ExecutionStatus="Running"'
            return [task(each) async for each in client.list_workflows(query, limit=limit)]
    except (RuntimeError, RPCError, TimeoutError):
        raise ServiceUnavailableError(
            f"Temporal does not answer at {endpoints.temporal_address}; check `pointwork doctor`"
        ) from None
