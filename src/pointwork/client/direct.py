"""Tasks straight on Temporal, by a program that holds the vault's key."""

import asyncio
import contextlib
import json
from datetime import UTC, datetime
from typing import Any, Self

from temporalio.client import (
    Client,
    WithStartWorkflowOperation,
    WorkflowFailureError,
    WorkflowHandle,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.exceptions import (
    ApplicationError,
    WorkflowAlreadyStartedError,
    is_cancelled_exception,
)
from temporalio.service import RPCError, RPCStatusCode

from pointwork.client.rpc_errors import unavailable
from pointwork.client.starting import start_options
from pointwork.contract.approval import SignedVerdict
from pointwork.contract.decision import DecisionRecord, Plan
from pointwork.contract.failures import (
    FailureType,
    ServiceUnavailableError,
    TaskFailedError,
    TaskNotFoundError,
    TaskRefusedError,
)
from pointwork.contract.names import (
    QUERY_DECISION,
    QUERY_PLAN,
    QUERY_STATUS,
    ROUTE_TASK,
    UPDATE_ANSWER,
    UPDATE_VERDICT,
)
from pointwork.contract.outcome import TaskOutcome, TaskStatus, TaskView
from pointwork.contract.prompt import (
    MEDIA_TYPE_PROMPT,
    MEDIA_TYPE_SCHEMA,
    Answer,
    AnswerSchema,
    Prompt,
)
from pointwork.contract.task import (
    ContentRef,
    TaskDeclaration,
    TaskRequest,
)
from pointwork.ledger.content import SealedContent
from pointwork.ledger.content_checks import checked_prompt, checked_schema
from pointwork.ledger.outcomes import OutcomeLog
from pointwork.ledger.vault import TaskDraft, Vault
from pointwork.privacy.codec import EncryptingCodec
from pointwork.temporal import pointwork_plugin

_PROMPT, _SCHEMA = "prompt", "answer_schema"


class PointworkClient:
    """Starts tasks on Temporal; content is sealed into the vault before anything starts."""

    def __init__(self, temporal: Client, vault: Vault, outcomes: OutcomeLog) -> None:
        self._temporal = temporal
        self._vault = vault
        self._outcomes = outcomes
        self._content = SealedContent(vault)

    @property
    def temporal(self) -> Client:
        """The connection, for what a program starts beside tasks."""
        return self._temporal

    @classmethod
    async def connect(
        cls,
        address: str,
        vault: Vault,
        outcomes: OutcomeLog,
        *,
        namespace: str = "default",
        codec: EncryptingCodec | None = None,
    ) -> Self:
        """Connect to Temporal at ``address`` (host:port).

        ``codec`` is ``payload_codec(keys file)`` where the deployment encrypts its payloads; its
        workers take none from a client that lacks it.

        Raises:
            ServiceUnavailableError: nothing answers there.
        """
        try:
            temporal = await Client.connect(
                address, namespace=namespace, plugins=[pointwork_plugin(codec=codec)]
            )
        except RuntimeError:
            raise ServiceUnavailableError(
                f"Temporal does not answer at {address}; start it with `pointwork up`"
            ) from None
        return cls(temporal, vault, outcomes)

    async def is_served(self) -> bool:
        """Whether Temporal answers."""
        try:
            return await self._temporal.service_client.check_health()
        except RPCError:
            return False

    async def submit(
        self, prompt: Prompt, declaration: TaskDeclaration, schema: AnswerSchema | None = None
    ) -> str:
        """Start a task and return its id at once. The same task twice starts it once.

        Raises:
            TaskIdReusedError: the id was used for another task.
            TaskRefusedError: the content is empty, too large, or its schema is not a JSON Schema.
            ServiceUnavailableError: Temporal cannot be reached; nothing was started.
        """
        request = await self.seal(prompt, declaration, schema)
        await self.start_sealed(request)
        return request.task_id

    async def start_sealed(self, request: TaskRequest) -> None:
        """Start what ``seal`` returned, unless it was started; Temporal has it when this returns.

        Raises:
            ServiceUnavailableError: Temporal cannot be reached; the same again is safe.
        """
        try:
            await self._temporal.start_workflow(
                ROUTE_TASK, request, **start_options(request), result_type=TaskOutcome
            )
        except WorkflowAlreadyStartedError:
            pass
        except RPCError as error:
            raise unavailable(error) from None

    async def run(
        self,
        prompt: Prompt,
        declaration: TaskDeclaration,
        schema: AnswerSchema | None = None,
        *,
        wait_seconds: float | None = None,
    ) -> TaskOutcome:
        """Start a task and wait for its answer: one call to Temporal for both.

        The outcome is returned as soon as it is known; its audit sequence is written just after.

        Raises:
            TaskFailedError: the task ended without an answer; it says why.
            TimeoutError: no answer within ``wait_seconds``; the task goes on, fetch it by its id.
            TaskIdReusedError, TaskRefusedError, ServiceUnavailableError: as for ``submit``.
        """
        request = await self.seal(prompt, declaration, schema)
        try:
            async with asyncio.timeout(wait_seconds) as limit:
                return await self._run(request, limit)
        except TimeoutError:
            # Time may have run out before Temporal heard of the task, which is said to go on.
            await self.start_sealed(request)
            raise

    async def run_sealed(self, request: TaskRequest) -> TaskOutcome:
        """As ``run``, of what ``seal`` returned.

        Raises:
            TaskFailedError, ServiceUnavailableError: as for ``run``.
        """
        async with asyncio.timeout(None) as limit:
            return await self._run(request, limit)

    async def _run(self, request: TaskRequest, limit: asyncio.Timeout) -> TaskOutcome:
        start = _start_operation(request)
        try:
            return await self._answer(request.task_id, start)
        except WorkflowUpdateRPCTimeoutOrCancelledError:
            # The operation keeps the failure too, and complains if nobody looks at it.
            with contextlib.suppress(Exception):
                await start.workflow_handle()
            # The SDK gives a cancel this name too; a caller who stopped waiting is let go.
            if limit.expired():
                raise TimeoutError from None
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise asyncio.CancelledError from None
            return await self.result(request.task_id)

    async def _answer(
        self, task_id: str, start: WithStartWorkflowOperation[Any, TaskOutcome]
    ) -> TaskOutcome:
        try:
            outcome: TaskOutcome = await self._temporal.execute_update_with_start_workflow(
                UPDATE_ANSWER,
                start_workflow_operation=start,
                id=f"{task_id}/answer",
                result_type=TaskOutcome,
            )
        except WorkflowUpdateFailedError as error:
            raise _task_failed(error.cause, task_id) from None
        except WorkflowAlreadyStartedError:
            return await self.result(task_id)
        except RPCError as error:
            if error.status in (RPCStatusCode.ALREADY_EXISTS, RPCStatusCode.NOT_FOUND):
                return await self.result(task_id)
            raise unavailable(error) from None
        return outcome

    async def result(self, task_id: str) -> TaskOutcome:
        """Wait for the recorded outcome of a task, running or long closed.

        Raises:
            TaskFailedError: the task ended without an answer.
            TaskNotFoundError: no task has this id.
        """
        recorded = await asyncio.to_thread(self._outcomes.find, task_id)
        if recorded is None:
            try:
                return await self._handle(task_id).result()
            except WorkflowFailureError as error:
                raise _task_failed(error.cause, task_id) from None
            except RPCError as error:
                raise _missing(error, task_id) from None
        if recorded.status is not TaskStatus.SUCCEEDED:
            failure = recorded.failure or FailureType.INTERNAL
            raise TaskFailedError(failure, recorded.reason or recorded.status, task_id)
        return recorded

    async def outcome(self, task_id: str) -> TaskOutcome | None:
        """The recorded outcome, whatever it is; None while the task runs."""
        return await asyncio.to_thread(self._outcomes.find, task_id)

    async def status(self, task_id: str) -> TaskView:
        """Where a running task stands.

        Raises:
            TaskNotFoundError: no task has this id.
        """
        try:
            view: TaskView = await self._handle(task_id).query(QUERY_STATUS, result_type=TaskView)
        except RPCError as error:
            raise _missing(error, task_id) from None
        return view

    async def plan(self, task_id: str) -> Plan | None:
        """The latest decision of a running task; None before the first."""
        try:
            plan: Plan | None = await self._handle(task_id).query(QUERY_PLAN, result_type=Plan)
        except RPCError as error:
            raise _missing(error, task_id) from None
        return plan

    async def decision(self, task_id: str) -> DecisionRecord | None:
        """The latest decision of a running task with all it read; None before the first.

        The ledger has it once money is held for it, or the task has ended.

        Raises:
            TaskNotFoundError: no task has this id.
        """
        try:
            record: DecisionRecord | None = await self._handle(task_id).query(
                QUERY_DECISION, result_type=DecisionRecord
            )
        except RPCError as error:
            raise _missing(error, task_id) from None
        return record

    async def cancel(self, task_id: str) -> None:
        """Ask a running task to stop; its hold is settled and its outcome recorded all the same.

        Raises:
            TaskNotFoundError: no running task has this id.
        """
        try:
            await self._handle(task_id).cancel()
        except RPCError as error:
            raise _missing(error, task_id) from None

    async def submit_verdict(self, signed: SignedVerdict) -> None:
        """Deliver a person's signed verdict.

        Raises:
            TaskRefusedError: the verdict was refused; the text says by which rule.
            TaskNotFoundError: the task is not running.
        """
        handle = self._handle(signed.verdict.task_id)
        try:
            await handle.execute_update(UPDATE_VERDICT, signed, id=signed.verdict.token_id)
        except WorkflowUpdateFailedError as error:
            raise TaskRefusedError(str(error.cause)) from None
        except RPCError as error:
            raise _missing(error, signed.verdict.task_id) from None

    def answer(self, outcome: TaskOutcome) -> Answer:
        """The whole answer, its calls of tools included, opened from the vault.

        Raises:
            ContentUnavailableError: it was erased or is damaged.
            ValueError: the outcome has no answer.
        """
        if outcome.answer is None:
            msg = f"task {outcome.task_id} ended {outcome.status} and has no answer"
            raise ValueError(msg)
        return self._content.answer(outcome.task_id, outcome.answer)

    def answer_text(self, outcome: TaskOutcome) -> str:
        """The answer's text alone, empty where the model only calls tools; raises as ``answer``."""
        return self.answer(outcome).text

    async def seal(
        self, prompt: Prompt, declaration: TaskDeclaration, schema: AnswerSchema | None = None
    ) -> TaskRequest:
        """Record a task and seal its content, without starting it: for ``child.run_task``.

        What is returned holds references and no text, so a workflow may carry it.

        Raises:
            TaskIdReusedError, TaskRefusedError: as for ``submit``.
        """
        contents = [(_PROMPT, checked_prompt(prompt), MEDIA_TYPE_PROMPT)]
        if schema is not None:
            contents.append((_SCHEMA, checked_schema(schema), MEDIA_TYPE_SCHEMA))
        now = datetime.now(UTC)
        draft = TaskDraft(
            task_id=declaration.task_id,
            caller=declaration.caller,
            pack=declaration.pack,
            declarations=declaration.model_dump(mode="json"),
        )
        accepted = await asyncio.to_thread(self._vault.accept, draft, contents, now)
        refs: dict[str, ContentRef] = accepted.refs
        return TaskRequest(
            **declaration.model_dump(),
            content=refs[_PROMPT],
            answer_schema=refs.get(_SCHEMA),
            submitted_at=now,
        )

    def _handle(self, task_id: str) -> WorkflowHandle[Any, TaskOutcome]:
        return self._temporal.get_workflow_handle(task_id, result_type=TaskOutcome)


def _start_operation(request: TaskRequest) -> WithStartWorkflowOperation[Any, TaskOutcome]:
    return WithStartWorkflowOperation(
        ROUTE_TASK,
        request,
        result_type=TaskOutcome,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        **start_options(request),
    )


def _task_failed(cause: BaseException | None, task_id: str) -> TaskFailedError:
    if isinstance(cause, ApplicationError) and cause.type in set(FailureType):
        return TaskFailedError(FailureType(cause.type), cause.message, task_id)
    if cause is not None and (
        is_cancelled_exception(cause)
        or (isinstance(cause, ApplicationError) and cause.type == "CANCELLED")
    ):
        return TaskFailedError(FailureType.INTERNAL, "The task was cancelled.", task_id)
    return TaskFailedError(FailureType.INTERNAL, FailureType.INTERNAL.sentence, task_id)


def _missing(error: RPCError, task_id: str) -> TaskNotFoundError | ServiceUnavailableError:
    if error.status is RPCStatusCode.NOT_FOUND:
        return TaskNotFoundError(f"no task {task_id!r} is running; `pointwork list` shows tasks")
    return unavailable(error)


def parse_schema(text: str, name: str) -> AnswerSchema:
    """A JSON Schema from a file's text; ``name`` stands in the error.

    Raises:
        TaskRefusedError: the text is not a JSON object.
    """
    try:
        schema = json.loads(text)
    except ValueError as error:
        raise TaskRefusedError(
            f"{name}: is not JSON ({type(error).__name__}); correct it"
        ) from None
    if not isinstance(schema, dict):
        raise TaskRefusedError(f"{name}: is not a JSON object; a JSON Schema is one")
    return schema
