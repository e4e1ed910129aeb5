"""What is wrong with a body that no route could take, in words that lead to one it can."""

from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from pointwork.gateway.passed_over import NOT_SERVED
from pointwork.gateway.problems import ProblemError, bad_request

_UNPARSED = "There was an error parsing the body"
"""The framework's words for a body that is no text, or of too many levels."""


def invalid(request: Request, error: RequestValidationError) -> ProblemError:
    """Which field, and what is allowed there; never its value, which may be content."""
    first: dict[str, Any] = error.errors()[0]
    places = [str(each) for each in first["loc"] if each != "body"]
    kind, is_whole = first["type"], not places
    if kind == "json_invalid":
        return _compressed(request) or bad_request(
            "invalid_json",
            f"the body is no JSON at character {first['loc'][-1]}; correct it and send again",
        )
    if is_whole and kind == "missing":
        return bad_request("invalid_request", "the body is missing; send a JSON object")
    if is_whole and not _is_json(request):
        return _compressed(request) or ProblemError(
            415,
            "unsupported_media_type",
            "content-type: is not that of JSON; send `content-type: application/json`",
            "content-type",
        )
    if kind == NOT_SERVED:
        param = ".".join([*places, first["ctx"]["field"]])
        return bad_request("invalid_request", f"{param} {first['msg']}", param)
    param = ".".join(places)
    said = str(first["msg"]).removeprefix("Value error, ")
    detail = f"{param or 'the body'}: {said[:1].lower()}{said[1:]}; correct it and send again"
    return bad_request("invalid_request", detail, param or None)


def unparsed(request: Request, error: HTTPException) -> ProblemError | None:
    """What to say of a body that is no text; None where ``error`` is of something else."""
    if error.status_code != 400 or error.detail != _UNPARSED:
        return None
    detail = "the body is no JSON in UTF-8, or has too many levels; correct it and send again"
    return _compressed(request) or bad_request("invalid_json", detail)


def _compressed(request: Request) -> ProblemError | None:
    if request.headers.get("content-encoding", "identity").strip().lower() in ("", "identity"):
        return None
    return bad_request(
        "compressed_body",
        "content-encoding: compressed bodies are not unpacked; send the JSON as it is, without "
        "that header",
        "content-encoding",
    )


def _is_json(request: Request) -> bool:
    """As the framework has it."""
    named = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    main, _, kind = named.partition("/")
    return main == "application" and (kind == "json" or kind.endswith("+json"))
