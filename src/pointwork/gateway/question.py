"""A request for an answer, of whichever API: from its prompt to what is sent back, or streamed."""

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING, Any

from fastapi import Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

from pointwork.contract.failures import PointworkError
from pointwork.contract.identity import Identity
from pointwork.contract.outcome import TaskOutcome, TokenUsage
from pointwork.contract.prompt import Answer, AnswerSchema, Prompt
from pointwork.contract.task import TaskDeclaration
from pointwork.gateway.answered import headers, served_tokens
from pointwork.gateway.answering import Answering, StillRuns, accepted
from pointwork.gateway.declaring import Asked, declare
from pointwork.gateway.problems import ProblemError, problem_of

if TYPE_CHECKING:
    from pointwork.gateway.app import Gateway

_PROMPT_SECONDS = 2.0
"""How long a streamed request waits for an early end, which then has a status of its own."""
_BEAT_SECONDS = 10.0
"""A comment every so often keeps what stands between us and the client from giving up."""


BodyOf = Callable[[TaskOutcome, Answer, TokenUsage], dict[str, Any]]
"""An answered task as one API writes it."""


class EventForm(ABC):
    """How one API writes a stream: each method yields server-sent events, ready to be sent."""

    @abstractmethod
    def opened(self) -> Iterator[str]: ...

    @abstractmethod
    def text(self, piece: str) -> Iterator[str]: ...

    @abstractmethod
    def closed(self, outcome: TaskOutcome, answer: Answer, tokens: TokenUsage) -> Iterator[str]: ...

    @abstractmethod
    def failed(self, problem: ProblemError) -> Iterator[str]: ...


class Question:
    """A task that is asked over HTTP. It goes on whatever happens to the request."""

    def __init__(
        self,
        request: Request,
        caller: Identity,
        asked: Asked,
        prompt: Prompt,
        schema: AnswerSchema | None = None,
    ) -> None:
        """Declare the task that ``request`` asks for.

        Raises:
            ProblemError: 400 where the request contradicts itself or the policy packs.
        """
        gateway: Gateway = request.app.state.gateway
        declared = declare(request, caller, gateway.library, asked, gateway.options.defaults)
        self._gateway = gateway
        self._holder = caller.name
        self._prompt = prompt
        self._schema = schema
        self._declaration = declared.declaration
        self._person_seconds = declared.wait_seconds

    @property
    def task_id(self) -> str:
        return self._declaration.task_id

    @property
    def declaration(self) -> TaskDeclaration:
        return self._declaration

    async def whole(self, body_of: BodyOf) -> Response:
        """The answer; or 202 with a link where a person must decide first, or time is up."""
        async with self._gateway.calls.one(self._holder):
            found = await self._result()
        if isinstance(found, StillRuns):
            return accepted(found)
        answer, tokens = await self._answer(found)
        body = await asyncio.to_thread(body_of, found, answer, tokens)
        return JSONResponse(body, headers=headers(found))

    async def _result(self) -> TaskOutcome | StillRuns:
        answering = Answering(self._gateway.client, self._gateway.approvals)
        return await answering.run(
            self._prompt,
            self._declaration,
            self._schema,
            open_seconds=self._gateway.options.wait.total_seconds(),
            person_seconds=self._person_seconds,
        )

    async def _answer(self, outcome: TaskOutcome) -> tuple[Answer, TokenUsage]:
        """The answer as the vault has it, and the tokens of its call as the ledger has them."""

        def opened() -> tuple[Answer, TokenUsage]:
            answer = self._gateway.client.answer(outcome)
            attempts = self._gateway.outcomes.attempts(outcome.task_id)
            return answer, served_tokens(outcome, attempts)

        return await asyncio.to_thread(opened)

    async def streamed(self, form: EventForm) -> Response:
        """Server-sent events; an end that comes at once has a status instead."""
        async with contextlib.AsyncExitStack() as stack:
            await stack.enter_async_context(self._gateway.calls.one(self._holder))
            running = asyncio.create_task(self._result())
            stack.callback(running.cancel)
            await asyncio.wait({running}, timeout=_PROMPT_SECONDS)
            if running.done() and isinstance(found := running.result(), StillRuns):
                return accepted(found)
            held = stack.pop_all()

        async def events() -> AsyncIterator[str]:
            async with held:
                async for each in self._events(running, form):
                    yield each

        links = {"pointwork-task-id": self.task_id, "cache-control": "no-cache"}
        return StreamingResponse(events(), media_type="text/event-stream", headers=links)

    async def _events(
        self, running: "asyncio.Task[TaskOutcome | StillRuns]", form: EventForm
    ) -> AsyncIterator[str]:
        yield f": task {self.task_id}\n\n"
        for event in form.opened():
            yield event
        while not running.done():
            await asyncio.wait({running}, timeout=_BEAT_SECONDS)
            if not running.done():
                yield ": still at work\n\n"
        try:
            outcome = _answered(running.result())
            answer, tokens = await self._answer(outcome)
        except PointworkError as error:
            ended = form.failed(problem_of(error))
        except ProblemError as problem:
            ended = form.failed(problem)
        else:
            for event in form.text(answer.text) if answer.text else ():
                yield event
            ended = form.closed(outcome, answer, tokens)
        for event in ended:
            yield event


def _answered(found: TaskOutcome | StillRuns) -> TaskOutcome:
    if isinstance(found, StillRuns):
        raise ProblemError(202, "waiting", "the task goes on; fetch it by its id", more=found.body)
    return found
