"""``POST /v1/tasks``: a task in Pointwork's own terms; its id comes back at once."""

from typing import TYPE_CHECKING

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from pointwork.contract.prompt import AnswerSchema, Prompt
from pointwork.contract.task import TaskDeclaration
from pointwork.gateway.access import KeyFirst, Submitter
from pointwork.gateway.answering import StillRuns, accepted
from pointwork.gateway.declaring import declare_task
from pointwork.gateway.rules import Rules
from pointwork.gateway.wire_model import Body

if TYPE_CHECKING:
    from pointwork.gateway.app import Gateway

router = APIRouter(prefix="/tasks", tags=["tasks"], route_class=KeyFirst)


class TaskSubmission(Body):
    """A task and its content."""

    task: TaskDeclaration
    """``task_id`` is the idempotency key, of one account and for ever; ``caller`` whose budget
    pays."""
    prompt: Prompt
    answer_schema: AnswerSchema | None = None
    """JSON Schema (draft 2020-12) that the answer must satisfy."""


@router.post("", status_code=202)
async def submit_task(
    body: TaskSubmission, request: Request, caller: Submitter, rules: Rules
) -> JSONResponse:
    """Start a task and return its id; ``GET /v1/tasks/ID?wait_seconds=…`` waits for its end.

    The same request again is the same task, running or ended, also from another replica.
    """
    gateway: Gateway = request.app.state.gateway
    defaults = gateway.options.defaults
    declaration = declare_task(request, caller, rules, body.task, defaults)
    async with gateway.calls.one(caller.name):
        task_id = await gateway.client.submit(body.prompt, declaration, body.answer_schema)
    return accepted(StillRuns(task_id, None))
