"""The API's own document: the key that routes ask for, what headers say, and each error in its
surface's form."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from pointwork.contract.task import TaskDeclaration
from pointwork.gateway.declaring import (
    HEADERS,
    IDEMPOTENCY_CHARACTERS_MAX,
    IDEMPOTENCY_HEADER,
    WAIT_SECONDS_MAX,
)
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
    415: "the body has another `content-type` than that of JSON",
    429: "too many requests; `retry-after` says how long to wait",
    500: "a fault of this server; the task is on record",
    502: "every permitted model failed, or no answer passed its check",
    503: "Temporal or the ledger does not answer; `retry-after` says when to try again",
    504: "the task's deadline passed",
}
_WAITING = "a person must decide first, or the answer takes longer than a request may stay open"
_ASKS = frozenset({"/v1/chat/completions", "/v1/responses", "/v1/embeddings", "/v1/messages"})
_SUBMITS = "/v1/tasks"
_ANSWERED = {
    "pointwork-task-id": "the task, for `GET /v1/tasks/ID`",
    "pointwork-requested-model": "the model that was wished for, or auto",
    "pointwork-served-model": "the model that answered",
    "pointwork-fallbacks": "how many models were moved past before it",
    "pointwork-cost-nano-usd": "what the task cost, in billionths of a US dollar",
}
_ACCEPTED = {
    "location": "where the answer will be",
    "pointwork-task-id": "the task that was started",
}
_RETRIED = {"retry-after": "seconds to wait before the next request"}
_SAID = {
    "pointwork-class": "the task's class, one of its pack's",
    "pointwork-task-type": "the caller's own word for the kind of task, which the pack's map reads",
    "pointwork-sensitivity": "how far the text may travel; it only ever rises",
    "pointwork-pack": "whose rules decide",
    "pointwork-caller": "whose budget pays: the account, or a group or service it belongs to",
    "pointwork-worker": "which worker of the caller's asks; costs and budgets are kept for each",
    "pointwork-conversation": "the conversation that the task belongs to",
    "pointwork-justification": "why a frontier model is needed; kept in plain text",
}
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
    parts["securitySchemes"] = {
        "key": {"type": "http", "scheme": "bearer"},
        "key_header": {"type": "apiKey", "in": "header", "name": "x-api-key"},
    }
    found["security"] = [{"key": []}, {"key_header": []}]
    said = _said_in_headers()
    for path, operations in found["paths"].items():
        for method, operation in operations.items():
            _add_responses(path, operation)
            if path in _ASKS:
                operation.setdefault("parameters", []).extend(said)
                operation["responses"]["200"]["headers"] = _headers(_ANSWERED)
                operation["responses"]["202"]["headers"] = _headers(_ACCEPTED)
            elif path == _SUBMITS and method == "post":
                # It never waits.
                stays = [each for each in said if each["name"] != "pointwork-wait-seconds"]
                operation.setdefault("parameters", []).extend(stays)
                operation["responses"]["202"]["headers"] = _headers(_ACCEPTED)
    return found


def _said_in_headers() -> list[dict[str, Any]]:
    """What a request may say of its task in headers, each with the schema of its field."""
    declaration = TaskDeclaration.model_json_schema()
    schemas: dict[str, dict[str, Any]] = {
        header: _plain(declaration, declaration["properties"][name])
        | {"description": _SAID[header]}
        for header, name in HEADERS.items()
        if name in declaration["properties"]
    }
    schemas["pointwork-wait-seconds"] = {
        "type": "number",
        "minimum": 0,
        "maximum": WAIT_SECONDS_MAX,
        "description": "how long to wait for a person; without it such a task answers 202 at once",
    }
    schemas[IDEMPOTENCY_HEADER] = {
        "type": "string",
        "minLength": 1,
        "maxLength": IDEMPOTENCY_CHARACTERS_MAX,
        "description": "the same key with the same request is the same task, for ever",
    }
    return [
        {"name": header, "in": "header", "required": False, "schema": schema}
        for header, schema in schemas.items()
    ]


def _plain(declaration: dict[str, Any], field: dict[str, Any]) -> dict[str, Any]:
    """A field's schema without null, which no header can say, and without references."""
    kinds = field.get("anyOf", [field])
    found = next(each for each in kinds if each.get("type") != "null")
    if "$ref" in found:
        found = declaration["$defs"][found["$ref"].rsplit("/", 1)[1]]
    return {name: value for name, value in found.items() if name not in {"title", "default"}}


def _headers(meanings: dict[str, str]) -> dict[str, Any]:
    return {
        name: {"description": meaning, "schema": {"type": "string"}}
        for name, meaning in meanings.items()
    }


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
        described = {"description": meaning, "content": content}
        if status in (429, 503):
            described["headers"] = _headers(_RETRIED)
        responses.setdefault(str(status), described)


def _error_form(path: str) -> dict[str, Any]:
    if path.startswith("/v1/"):
        error = {"message": {"type": "string"}, "type": {"type": "string"}}
        form = {"error": {"type": "object", "properties": error}}
        return {"application/json": {"schema": {"type": "object", "properties": form}}}
    words = {name: {"type": "string"} for name in ("type", "title", "detail", "instance", "param")}
    words["status"] = {"type": "integer"}
    return {PROBLEM_TYPE: {"schema": {"type": "object", "properties": words}}}
