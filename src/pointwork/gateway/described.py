"""The API's own document: the key that routes ask for, and each error in its surface's form."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from pointwork.gateway.problems import PROBLEM_TYPE

_ERRORS = {
    400: "something in the request is unknown, contradictory or not allowed; the text names it",
    401: "no key, or one that opens nothing now",
    402: "a budget does not allow the task",
    403: "the account may not do this, or policy denies the task",
    404: "there is no such thing, or it is not the caller's to see",
    409: "it contradicts what is there, such as an idempotency key of another request",
    410: "the content was erased",
    413: "the body is too large",
    429: "too many requests; `retry-after` says how long to wait",
    500: "a fault of this server; the task is on record",
    502: "every permitted model failed, or no answer passed its check",
    503: "Temporal or the ledger does not answer; `retry-after` says when to try again",
    504: "the task's deadline passed",
}
_WAITING = "a person must decide first, or the answer takes longer than a request may stay open"
_ASKS = frozenset({"/v1/chat/completions", "/v1/responses", "/v1/embeddings", "/v1/messages"})
_OPEN = frozenset({"/healthz", "/readyz"})
"""Routes that ask for no key."""
_GENERATED = ("HTTPValidationError", "ValidationError")


def describe(app: FastAPI) -> None:
    """Have ``app`` serve a document that names every status its routes answer with."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _described(app)
        return app.openapi_schema

    # As FastAPI's documentation has it; there is no hook.
    app.openapi = document  # type: ignore[method-assign]


def _described(app: FastAPI) -> dict[str, Any]:
    found = get_openapi(
        title=app.title, version=app.version, summary=app.summary, routes=app.routes
    )
    parts = found.setdefault("components", {})
    for name in _GENERATED:
        parts.get("schemas", {}).pop(name, None)
    parts["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    found["security"] = [{"key": []}]
    for path, operations in found["paths"].items():
        for operation in operations.values():
            _add_responses(path, operation)
    return found


def _add_responses(path: str, operation: dict[str, Any]) -> None:
    responses = operation["responses"]
    # What the framework would answer; here it is a 400 that names the field.
    responses.pop("422", None)
    if path in _OPEN:
        operation["security"] = []
        if path == "/readyz":
            responses["503"] = {"description": _ERRORS[503]}
        return
    if path in _ASKS:
        responses["202"] = {"description": _WAITING}
    content = _error_form(path)
    for status, meaning in _ERRORS.items():
        responses.setdefault(str(status), {"description": meaning, "content": content})


def _error_form(path: str) -> dict[str, Any]:
    if path.startswith("/v1/"):
        error = {"message": {"type": "string"}, "type": {"type": "string"}}
        form = {"error": {"type": "object", "properties": error}}
        return {"application/json": {"schema": {"type": "object", "properties": form}}}
    words = {name: {"type": "string"} for name in ("type", "title", "detail", "instance", "param")}
    words["status"] = {"type": "integer"}
    return {PROBLEM_TYPE: {"schema": {"type": "object", "properties": words}}}
