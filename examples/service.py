"""A service in front of a running `pointwork up`: each request is a task through the gateway.

    .venv/bin/python examples/service.py --port 8000
    curl localhost:8000/notes/4711 -d '{"text": "the meeting are on tuesday"}' \
         -H 'content-type: application/json'

The note's own id is the task's: a caller that asks again gets the same answer, billed once, also
after this service or the gateway was killed in between.
"""

import argparse
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import uvicorn
from fastapi import FastAPI, Request
from fastapi import Path as InPath
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from pointwork.client import ApprovalPendingError, GatewayClient
from pointwork.contract.failures import (
    PointworkError,
    ServiceUnavailableError,
    TaskFailedError,
    TaskIdReusedError,
)
from pointwork.contract.money import format_usd
from pointwork.contract.prompt import Prompt
from pointwork.contract.task import Sensitivity, TaskDeclaration

WAIT_SECONDS = 120.0
NoteId = Annotated[str, InPath(pattern=r"^[A-Za-z0-9]{1,40}$")]


class Note(BaseModel):
    text: Annotated[str, Field(min_length=1, max_length=20_000)]


def build_app(url: str, api_key: str, account: str) -> FastAPI:
    """The service; ``account`` is the one that ``api_key`` belongs to."""

    @asynccontextmanager
    async def with_pointwork(app: FastAPI) -> AsyncIterator[None]:
        async with GatewayClient(url, api_key) as app.state.pointwork:
            yield

    app = FastAPI(lifespan=with_pointwork)

    @app.post("/notes/{note_id}")
    async def tidy_up(note_id: NoteId, note: Note, request: Request) -> dict[str, Any]:
        pointwork: GatewayClient = request.app.state.pointwork
        declaration = TaskDeclaration(
            task_id=f"note-{note_id}",
            caller=account,
            task_class="summarisation_formatting",
            sensitivity=Sensitivity.INTERNAL,
        )
        prompt = Prompt.from_text(f"Tidy up this note:\n{note.text}")
        outcome = await pointwork.run(prompt, declaration, wait_seconds=WAIT_SECONDS)
        return {
            "text": await pointwork.answer_text(outcome),
            "model": outcome.served_model,
            "cost": format_usd(outcome.cost_nano_usd),
            "task_id": outcome.task_id,
        }

    @app.exception_handler(ApprovalPendingError)
    async def waits(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, ApprovalPendingError)
        expires_at = error.approval.expires_at.isoformat()
        return JSONResponse({"task_id": error.task_id, "decided_until": expires_at}, 202)

    @app.exception_handler(TimeoutError)
    async def takes_longer(request: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"error": str(error)}, 504)

    @app.exception_handler(PointworkError)
    async def failed(request: Request, error: Exception) -> JSONResponse:
        match error:
            case TaskFailedError():
                return JSONResponse({"error": error.reason, "failure": error.failure}, 422)
            case TaskIdReusedError():
                return JSONResponse({"error": "this note was sent before, otherwise"}, 409)
            case ServiceUnavailableError():
                return JSONResponse({"error": str(error)}, 503)
            case _:
                return JSONResponse({"error": str(error)}, 500)

    return app


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--url", default="http://127.0.0.1:8780")
    parser.add_argument("--key-file", type=Path, default=Path(".pointwork/keys/api.key"))
    parser.add_argument("--account", default="local-service")
    parser.add_argument("--port", type=int, default=8000)
    given = parser.parse_args()
    key = given.key_file.read_text().strip()
    uvicorn.run(build_app(given.url, key, given.account), port=given.port)
