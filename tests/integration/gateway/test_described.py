"""The API's document, beside what the routes take and answer."""

from collections.abc import AsyncIterator
from html import escape
from typing import Any

import httpx2
import pytest

from pointwork.contract.task import Sensitivity
from pointwork.gateway.console.pages import HEADERS as CONSOLE_HEADERS
from pointwork.gateway.declaring import HEADERS, IDEMPOTENCY_HEADER
from tests.fakes.scripted_provider import Says
from tests.integration.gateway.house import House

CHAT = {
    "model": "omega/summarisation_formatting",
    "messages": [{"role": "user", "content": "Tidy up this line."}],
}
WAIT = "pointwork-wait-seconds"


@pytest.fixture
async def http(house: House) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=house.url, timeout=60) as client:
        yield client


async def operation(http: httpx2.AsyncClient, path: str) -> dict[str, Any]:
    document = (await http.get("/openapi.json")).json()
    found: dict[str, Any] = document["paths"][path]["post"]
    return found


def headers_of(described: dict[str, Any]) -> dict[str, Any]:
    parameters = described["parameters"]
    return {each["name"]: each["schema"] for each in parameters if each["in"] == "header"}


@pytest.mark.parametrize("path", ["chat/completions", "responses", "embeddings", "messages"])
async def test_every_header_that_a_question_may_carry_is_described(
    http: httpx2.AsyncClient, path: str
) -> None:
    described = headers_of(await operation(http, f"/v1/{path}"))
    assert described.keys() == {*HEADERS, IDEMPOTENCY_HEADER}
    assert described["pointwork-sensitivity"]["enum"] == list(Sensitivity)
    assert all(each["description"] for each in described.values())


async def test_a_submission_never_waits_and_its_description_offers_no_wait(
    http: httpx2.AsyncClient,
) -> None:
    described = headers_of(await operation(http, "/v1/tasks"))
    assert described.keys() == {*HEADERS, IDEMPOTENCY_HEADER} - {WAIT}


async def test_an_answer_carries_the_headers_its_description_promises(
    house: House, http: httpx2.AsyncClient
) -> None:
    described = (await operation(http, "/v1/chat/completions"))["responses"]
    account = house.account()
    key, _ = house.scripted(account, Says("One."))
    said = {IDEMPOTENCY_HEADER: key, "pointwork-sensitivity": "public"}
    answered = await http.post("/v1/chat/completions", json=CHAT, headers=account.headers() | said)
    assert answered.status_code == 200
    assert described["200"]["headers"].keys() <= answered.headers.keys()

    held = await http.post(
        "/v1/chat/completions",
        json=CHAT | {"model": "omega/high_stakes_logic"},
        headers=account.headers(),
    )
    assert held.status_code == 202
    assert described["202"]["headers"].keys() <= held.headers.keys()


async def test_the_page_of_the_api_shows_every_operation_and_needs_nothing_from_elsewhere(
    http: httpx2.AsyncClient,
) -> None:
    page = await http.get("/docs")
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert {name: page.headers[name] for name in CONSOLE_HEADERS} == CONSOLE_HEADERS
    assert "<script" not in page.text
    assert "://" not in page.text
    assert 'href="/openapi.json"' in page.text
    document = (await http.get("/openapi.json")).json()
    for path, methods in document["paths"].items():
        for method, described in methods.items():
            assert f">{method.upper()} {escape(path)}</h2>" in page.text
            for each in described.get("parameters", ()):
                assert f">{each['name']}</td>" in page.text
    assert "a budget does not allow the task" in page.text
