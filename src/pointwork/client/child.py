"""A task as a child of another workflow. Workflow code: it sees references, never a text.

The content is sealed before, by whoever starts the parent or by an activity of it, with
``PointworkClient.seal``. Import this module with ``workflow.unsafe.imports_passed_through()``.
"""

from typing import Any

from temporalio import workflow
from temporalio.exceptions import ApplicationError, ChildWorkflowError
from temporalio.workflow import (
    ChildWorkflowCancellationType,
    ChildWorkflowHandle,
    ParentClosePolicy,
)

from pointwork.client.starting import start_options
from pointwork.contract.failures import FailureType
from pointwork.contract.names import ROUTE_TASK
from pointwork.contract.outcome import TaskOutcome
from pointwork.contract.task import TaskRequest


async def run_task(request: TaskRequest) -> TaskOutcome:
    """Run a sealed task as a child and wait for its recorded outcome.

    A parent that is cancelled cancels the task and waits until its money is settled. A parent that
    is terminated, or times out, has the task cancelled by the server: never terminated, which
    would leave its hold to the sweeper.

    Raises:
        ChildWorkflowError: the task ended without an answer; ``failure_of`` says why.
        WorkflowAlreadyStartedError: the task was started before, such as by an earlier run of the
            parent; an activity fetches its outcome with ``PointworkClient.result``.
    """
    return await (await start_task(request))


async def start_task(request: TaskRequest) -> ChildWorkflowHandle[Any, TaskOutcome]:
    """Start a sealed task as a child; ``cancel`` of what is returned cancels the task alone.

    Raises:
        WorkflowAlreadyStartedError: as for ``run_task``.
    """
    handle: ChildWorkflowHandle[Any, TaskOutcome] = await workflow.start_child_workflow(
        ROUTE_TASK,
        request,
        result_type=TaskOutcome,
        parent_close_policy=ParentClosePolicy.REQUEST_CANCEL,
        cancellation_type=ChildWorkflowCancellationType.WAIT_CANCELLATION_COMPLETED,
        **start_options(request),
    )
    return handle


def failure_of(error: ChildWorkflowError) -> FailureType | None:
    """The fact that ended the task; None where it was cancelled or terminated."""
    cause = error.cause
    if isinstance(cause, ApplicationError) and cause.type in set(FailureType):
        return FailureType(cause.type)
    return None


def outcome_of(error: ChildWorkflowError) -> TaskOutcome | None:
    """The recorded outcome that a task without an answer carries; None as for ``failure_of``."""
    cause = error.cause
    if not isinstance(cause, ApplicationError) or not cause.details:
        return None
    return TaskOutcome.model_validate(cause.details[0])
