"""``POST /v1/chat/completions``: any OpenAI client, governed."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

from pointwork.contract.failures import PointworkError
from pointwork.contract.outcome import TaskOutcome, TokenUsage
from pointwork.contract.prompt import Answer
from pointwork.gateway.access import Submitter
from pointwork.gateway.answering import Answering, StillRuns
from pointwork.gateway.declaring import Declared, declare
from pointwork.gateway.openai.completion import Chunks, completion, headers, served_tokens
from pointwork.gateway.openai.wire import ChatRequest
from pointwork.gateway.problems import ProblemError, openai_error, problem_of

if TYPE_CHECKING:
    from pointwork.gateway.app import Gateway

router = APIRouter(tags=["OpenAI"])

_PROMPT_SECONDS = 2.0
"""How long a streamed request waits for an early end, which then has a status of its own."""
_BEAT_SECONDS = 10.0
"""A comment every so often keeps what stands between us and the client from giving up."""


@router.post("/chat/completions", response_model=None)
async def create_chat_completion(
    body: ChatRequest, request: Request, caller: Submitter
) -> Response:
    """Answer a chat request as one durable task.

    200 with the answer; 202 with a link where a person must decide first, or the answer takes
    longer than a request may stay open. The task goes on whatever happens to the request.
    """
    gateway: Gateway = request.app.state.gateway
    limits = {
        "max_output_tokens": body.output_tokens_asked or gateway.options.max_output_tokens,
        "temperature": body.temperature,
        "seed": body.seed,
    }
    declared = declare(
        request,
        caller,
        gateway.library,
        body.model,
        body.pointwork,
        {name: value for name, value in limits.items() if value is not None},
        gateway.options.pack,
    )
    asking = _Asking(gateway, body, declared)
    if body.stream:
        return await asking.streamed(caller.name)
    async with gateway.calls.one(caller.name):
        found = await asking.result()
    if isinstance(found, StillRuns):
        return _accepted(found)
    answer, tokens = await asking.answer(found)
    return JSONResponse(completion(found, answer, tokens), headers=headers(found))


def _accepted(waiting: StillRuns) -> JSONResponse:
    body = {"id": waiting.task_id, "object": "pointwork.task", "pointwork": waiting.body}
    links = {"location": waiting.body["url"], "pointwork-task-id": waiting.task_id}
    return JSONResponse(body, 202, links)


class _Asking:
    """One request, from its prompt to what is sent back."""

    def __init__(self, gateway: "Gateway", body: ChatRequest, declared: Declared) -> None:
        self._gateway = gateway
        self._body = body
        self._declaration = declared.declaration
        self._person_seconds = declared.wait_seconds
        self._prompt = body.prompt
        self._schema = body.response_format.answer_schema if body.response_format else None

    async def result(self) -> TaskOutcome | StillRuns:
        answering = Answering(self._gateway.client, self._gateway.approvals)
        return await answering.run(
            self._prompt,
            self._declaration,
            self._schema,
            open_seconds=self._gateway.options.wait.total_seconds(),
            person_seconds=self._person_seconds,
        )

    async def answer(self, outcome: TaskOutcome) -> tuple[Answer, TokenUsage]:
        """The answer as the vault has it, and the tokens of its call as the ledger has them."""

        def opened() -> tuple[Answer, TokenUsage]:
            text = self._gateway.client.answer_text(outcome)
            attempts = self._gateway.outcomes.attempts(outcome.task_id)
            return Answer(text=text), served_tokens(outcome, attempts)

        return await asyncio.to_thread(opened)

    async def streamed(self, holder: str) -> Response:
        """Server-sent events; an end that comes at once has a status instead."""
        place = self._gateway.calls.one(holder)
        await place.__aenter__()
        running = asyncio.create_task(self.result())
        running.add_done_callback(lambda _: None)
        try:
            await asyncio.wait({running}, timeout=_PROMPT_SECONDS)
            if running.done():
                found = running.result()
                if isinstance(found, StillRuns):
                    await place.__aexit__(None, None, None)
                    return _accepted(found)
        except BaseException:
            running.cancel()
            await place.__aexit__(None, None, None)
            raise

        async def events() -> AsyncIterator[str]:
            try:
                async for each in self._events(running):
                    yield each
            finally:
                running.cancel()
                await place.__aexit__(None, None, None)

        links = {"pointwork-task-id": self._declaration.task_id, "cache-control": "no-cache"}
        return StreamingResponse(events(), media_type="text/event-stream", headers=links)

    async def _events(self, running: "asyncio.Task[TaskOutcome | StillRuns]") -> AsyncIterator[str]:
        task_id = self._declaration.task_id
        chunks = Chunks(task_id, int(datetime.now(UTC).timestamp()), self._body.model)
        yield _comment(f"task {task_id}")
        while not running.done():
            await asyncio.wait({running}, timeout=_BEAT_SECONDS)
            if not running.done():
                yield _comment("still at work")
        try:
            found = _answered(running.result())
            answer, tokens = await self.answer(found)
        except PointworkError as error:
            yield _event(openai_error(problem_of(error)))
            return
        except ProblemError as problem:
            yield _event(openai_error(problem))
            return
        yield _event(chunks.first())
        for chunk in chunks.whole(answer.text):
            yield _event(chunk)
        yield _event(chunks.last(found))
        if self._body.stream_options and self._body.stream_options.include_usage:
            yield _event(chunks.usage(tokens))
        yield "data: [DONE]\n\n"


def _answered(found: TaskOutcome | StillRuns) -> TaskOutcome:
    if isinstance(found, StillRuns):
        text = "the task goes on; fetch it by its id"
        raise ProblemError(202, "waiting", text, more=found.body)
    return found


def _event(body: dict[str, Any]) -> str:
    return f"data: {json.dumps(body, separators=(',', ':'), default=str)}\n\n"


def _comment(text: str) -> str:
    return f": {text}\n\n"
