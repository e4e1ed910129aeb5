"""A request for an answer, of whichever API: from its prompt to what is sent back, or streamed."""

import asyncio
import contextlib
import json
import logging
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from fastapi import Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

from pointwork.contract.failures import PointworkError
from pointwork.contract.identity import Identity
from pointwork.contract.money import format_usd
from pointwork.contract.outcome import TaskOutcome, TaskStatus, TokenUsage
from pointwork.contract.prompt import Answer, AnswerSchema, Prompt
from pointwork.contract.task import TaskDeclaration, TaskRequest
from pointwork.gateway.answered import headers, served_tokens
from pointwork.gateway.answering import Answering, StillRuns, accepted
from pointwork.gateway.declaring import Asked, declare
from pointwork.gateway.live_answers import LiveAnswer, Shown
from pointwork.gateway.problems import ProblemError, problem_of
from pointwork.policy.bundle import PolicyLibrary
from pointwork.providers.stream_frames import Opens

if TYPE_CHECKING:
    from pointwork.gateway.app import Gateway

_log = logging.getLogger(__name__)

_FIRST_LOOK_SECONDS = 1.0
"""From one look at where a task stands to the next, doubled each time up to a beat."""
_LOOK_SECONDS_MAX = 5.0
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

    def step(self, step: dict[str, Any]) -> Iterator[str]:
        """What happens meanwhile: status, model, estimate; a comment where the API has no place."""
        yield f": {json.dumps(step, separators=(',', ':'))}\n\n"

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
        rules: PolicyLibrary,
        asked: Asked,
        prompt: Prompt,
        schema: AnswerSchema | None = None,
    ) -> None:
        """Declare the task that ``request`` asks for.

        Raises:
            ProblemError: 400 where the request contradicts itself or the policy packs.
        """
        gateway: Gateway = request.app.state.gateway
        declared = declare(request, caller, rules, asked, gateway.options.defaults)
        self._gateway = gateway
        self._rules = rules
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
            found = await self._result(await self._accepted())
        if isinstance(found, StillRuns):
            return accepted(found)
        answer, tokens = await self._answer(found)
        body = await asyncio.to_thread(body_of, found, answer, tokens)
        return JSONResponse(body, headers=headers(found))

    async def _accepted(self) -> TaskRequest:
        """The task with its content sealed.

        Raises:
            TaskIdReusedError: the idempotency key belongs to another request.
        """
        return await self._gateway.client.seal(self._prompt, self._declaration, self._schema)

    async def _result(self, request: TaskRequest) -> TaskOutcome | StillRuns:
        answering = Answering(self._gateway.client, self._gateway.approvals, self._gateway.starts)
        return await answering.run(
            request,
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
            # First of all: what is shown of the task is for who asked the same question.
            request = await self._accepted()
            live = stack.enter_context(self._gateway.live.listen(self.task_id))
            running = asyncio.create_task(self._result(request))
            stack.callback(running.cancel)
            await self._listen()
            await _first_of(running, live, (0, 0), _PROMPT_SECONDS)
            if running.done() and isinstance(found := running.result(), StillRuns):
                return accepted(found)
            held = stack.pop_all()

        async def events() -> AsyncIterator[str]:
            async with held:
                async for each in self._events(running, live, form):
                    yield each

        links = {"pointwork-task-id": self.task_id, "cache-control": "no-cache"}
        return StreamingResponse(events(), media_type="text/event-stream", headers=links)

    async def _listen(self) -> None:
        """Have the worker that calls the model send its text here, where the class allows that."""
        url, now = self._gateway.live.url, datetime.now(UTC)
        if not url or not self._may_stream():
            return
        expires_at = now + self._gateway.options.wait + timedelta(minutes=1)
        try:
            await asyncio.to_thread(self._gateway.listeners.name, self.task_id, url, expires_at)
        except Exception as error:  # noqa: BLE001  the answer comes whole instead
            _log.warning("task %s is not shown early: %s", self.task_id, type(error).__name__)

    def _may_stream(self) -> bool:
        """Whether some class the task may turn out to be lets its text be shown early."""
        declared = self._declaration
        classes = self._rules.active(declared.pack).pack.classes
        if self._schema is not None:
            return False
        if declared.task_class is not None:
            return classes[declared.task_class].tokens_stream
        return any(each.tokens_stream for each in classes.values())

    async def _events(
        self, running: "asyncio.Task[TaskOutcome | StillRuns]", live: LiveAnswer, form: EventForm
    ) -> AsyncIterator[str]:
        shown = Shown()
        yield f": task {self.task_id}\n\n"
        for event in form.opened():
            yield event
        async for event in self._meanwhile(running, live, shown, form):
            yield event
        try:
            outcome = _answered(running.result()) if running.done() else _replaced(self.task_id)
            answer, tokens = await self._answer(outcome)
            rest = shown.rest_of(answer.text)
            if rest is None:
                _replaced(self.task_id)
        except PointworkError as error:
            ended = form.failed(problem_of(error))
        except ProblemError as problem:
            ended = form.failed(problem)
        except Exception as error:  # noqa: BLE001  a stream ends in an event, whatever happens
            _log.warning("stream of task %s ended: %s", self.task_id, type(error).__name__)
            ended = form.failed(_unavailable(self.task_id))
        else:
            for event in form.text(rest) if rest else ():
                yield event
            ended = form.closed(outcome, answer, tokens)
        for event in ended:
            yield event

    async def _meanwhile(
        self,
        running: "asyncio.Task[TaskOutcome | StillRuns]",
        live: LiveAnswer,
        shown: Shown,
        form: EventForm,
    ) -> AsyncIterator[str]:
        """Steps, and text that may be shown early, until the task ends or its text is replaced."""
        calls, told = 0, ""
        seen, look_seconds = (0, 0), _FIRST_LOOK_SECONDS
        while not running.done():
            if live.call is not None and live.calls != calls:
                calls = live.calls
                for event in form.step(_step_of(self.task_id, live.call, is_again=calls > 1)):
                    yield event
            seen, piece = live.state, shown.next_of(live)
            if piece:
                for event in form.text(piece):
                    yield event
            if shown.has_diverged:
                return
            if await _first_of(running, live, seen, look_seconds):
                continue
            look_seconds = min(2 * look_seconds, _BEAT_SECONDS)
            step = None if calls else await self._status()
            if step is None or step == told:
                yield ": still at work\n\n"
            else:
                told = step
                for event in form.step(json.loads(step)):
                    yield event

    async def _status(self) -> str | None:
        """Where the task stands, as JSON; None where nobody answers."""
        try:
            async with asyncio.timeout(_LOOK_SECONDS_MAX):
                view = await self._gateway.client.status(self.task_id)
        except Exception as error:  # noqa: BLE001  it only tells what happens meanwhile
            _log.info("no look at task %s: %s", self.task_id, type(error).__name__)
            return None
        fields = {"task_id", "status", "waits_for", "model", "attempt", "estimate_nano_usd"}
        return json.dumps(view.model_dump(mode="json", include=fields))


def _step_of(task_id: str, call: Opens, *, is_again: bool) -> dict[str, Any]:
    return {
        "task_id": task_id,
        "status": TaskStatus.INVOKING,
        "model": call.model,
        "served_as": call.served_as,
        "attempt": call.number,
        "estimate_nano_usd": call.estimate_nano_usd,
        "estimate": format_usd(call.estimate_nano_usd),
        "restarted": is_again,
    }


async def _first_of(
    running: "asyncio.Task[TaskOutcome | StillRuns]",
    live: LiveAnswer,
    seen: tuple[int, int],
    seconds: float,
) -> bool:
    """Wait for the task's end, or more of its text; False where neither came in ``seconds``."""
    changed = asyncio.create_task(live.change(seen))
    try:
        done, _ = await asyncio.wait(
            {running, changed}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED
        )
    finally:
        changed.cancel()
    return bool(done)


def _unavailable(task_id: str) -> ProblemError:
    return ProblemError(
        503,
        "service_unavailable",
        "the task goes on; fetch its answer by its id",
        more={"task_id": task_id, "url": f"/v1/tasks/{task_id}"},
    )


def _replaced(task_id: str) -> NoReturn:
    raise ProblemError(
        502,
        "answer_replaced",
        "another call answered than the one whose text was streamed; fetch the answer by its id",
        more={"task_id": task_id, "url": f"/v1/tasks/{task_id}"},
    )


def _answered(found: TaskOutcome | StillRuns) -> TaskOutcome:
    if isinstance(found, StillRuns):
        raise ProblemError(202, "waiting", "the task goes on; fetch it by its id", more=found.body)
    return found
