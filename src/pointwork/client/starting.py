"""How a task's workflow is started, by a client or by another workflow: the same for both."""

from datetime import timedelta
from typing import TypedDict

from temporalio.common import (
    Priority,
    SearchAttributeKey,
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDReusePolicy,
)

from pointwork.contract.names import WORKFLOW_QUEUE, SearchAttribute
from pointwork.contract.task import TaskRequest

_TASK_TIMEOUT = timedelta(seconds=30)


class StartOptions(TypedDict):
    """What Temporal is told beside the request."""

    id: str
    task_queue: str
    id_reuse_policy: WorkflowIDReusePolicy
    priority: Priority
    static_summary: str
    task_timeout: timedelta
    search_attributes: TypedSearchAttributes


def start_options(request: TaskRequest) -> StartOptions:
    """The task id as workflow id, the queue, the priority, and the facts Temporal's UI shows."""
    keyword = SearchAttributeKey.for_keyword
    facts = [SearchAttributePair(keyword(SearchAttribute.PACK), request.pack)]
    if request.task_class is not None:
        facts.append(SearchAttributePair(keyword(SearchAttribute.TASK_CLASS), request.task_class))
    return {
        "id": request.task_id,
        "task_queue": WORKFLOW_QUEUE,
        "id_reuse_policy": WorkflowIDReusePolicy.REJECT_DUPLICATE,
        "priority": Priority(priority_key=request.priority, fairness_key=request.caller[:64]),
        "static_summary": f"{request.pack}: {request.task_class or 'class to be found'}",
        "task_timeout": _TASK_TIMEOUT,
        "search_attributes": TypedSearchAttributes(facts),
    }
