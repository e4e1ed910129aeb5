"""``/docs``: the API's own document as a page that needs no script and nobody else's server."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI, Request
from starlette.responses import Response

from pointwork.gateway.console.pages import HEADERS, page

PATH = "/docs"


@dataclass(frozen=True)
class Operation:
    """One method of one path, as the page shows it."""

    method: str
    path: str
    summary: str
    description: str
    body: str
    parameters: tuple[tuple[str, str, str], ...]
    """Name, where it stands, and what it says."""
    statuses: tuple[tuple[str, str, str], ...]
    """Status, what it means, and the headers that come with it."""


def add_documents(app: FastAPI) -> None:
    """Serve the page at ``/docs`` of ``app``."""
    app.add_api_route(PATH, show_documents, methods=["GET", "HEAD"], include_in_schema=False)


async def show_documents(request: Request) -> Response:
    document = request.app.openapi()
    context = {
        "document": document,
        "document_url": request.app.openapi_url,
        "operations": list(operations(document)),
    }
    response = page(request, "documents.html", context)
    response.headers.update(HEADERS)
    return response


def operations(document: dict[str, Any]) -> Iterator[Operation]:
    for path, methods in document["paths"].items():
        for method, found in methods.items():
            yield Operation(
                method=method.upper(),
                path=path,
                summary=found.get("summary", ""),
                description=found.get("description", ""),
                body=_body(found),
                parameters=tuple(_parameter(each) for each in found.get("parameters", ())),
                statuses=tuple(
                    (status, each.get("description", ""), ", ".join(each.get("headers", {})))
                    for status, each in sorted(found["responses"].items())
                ),
            )


def _body(found: dict[str, Any]) -> str:
    """The names of the schemas that a body may have."""
    content = found.get("requestBody", {}).get("content", {})
    return ", ".join(
        each.get("schema", {}).get("$ref", "").rpartition("/")[2] or media_type
        for media_type, each in content.items()
    )


def _parameter(found: dict[str, Any]) -> tuple[str, str, str]:
    schema = found.get("schema", {})
    said = found.get("description") or schema.get("description", "")
    allowed = ", ".join(str(each) for each in schema.get("enum", ()))
    place = f"{found['in']}, required" if found.get("required") else found["in"]
    return found["name"], place, "; ".join(each for each in (said, allowed) if each)
