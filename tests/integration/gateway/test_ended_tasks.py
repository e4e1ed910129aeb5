"""What is told of a task that has ended, and of one that no model ran for."""

from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from tests.integration.gateway.house import House

TURNS = [{"role": "user", "content": "Tidy up this line."}]
CHAT: dict[str, Any] = {"model": "omega/summarisation_formatting", "messages": TURNS}


@pytest.fixture
async def http(house: House) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=house.url, timeout=60) as client:
        yield client


async def test_a_task_that_succeeded_is_not_said_to_be_stopped(
    house: House, http: httpx2.AsyncClient
) -> None:
    headers = house.account().headers(pointwork_sensitivity="public")
    answered = await http.post("/v1/chat/completions", json=CHAT, headers=headers)
    task_id = answered.headers["pointwork-task-id"]
    await house.stack.recorded(task_id)
    refused = await http.post(f"/v1/tasks/{task_id}/cancel", headers=headers)
    said = refused.json()
    assert (refused.status_code, said["error"]["code"]) == (409, "task_has_ended")
    assert "its status is succeeded" in said["error"]["message"]
    assert said["pointwork"] == {"task_id": task_id, "status": "succeeded"}


async def test_a_task_that_was_stopped_before_is_said_to_be(
    house: House, http: httpx2.AsyncClient
) -> None:
    headers = house.account().headers()
    asked = CHAT | {"model": "omega/high_stakes_logic"}
    held = await http.post("/v1/chat/completions", json=asked, headers=headers)
    assert held.status_code == 202
    task_id = held.headers["pointwork-task-id"]
    first = await http.post(f"/v1/tasks/{task_id}/cancel", headers=headers)
    await house.stack.recorded(task_id)
    again = await http.post(f"/v1/tasks/{task_id}/cancel", headers=headers)
    assert [each.json()["status"] for each in (first, again)] == ["cancelling", "cancelled"]
    assert [each.status_code for each in (first, again)] == [202, 202]


async def test_a_task_without_a_class_is_refused_with_how_to_declare_one(
    house: House, http: httpx2.AsyncClient
) -> None:
    asked = CHAT | {"model": "codex/auto", "messages": [{"role": "user", "content": "Hm."}]}
    headers = house.account().headers()
    refused = await http.post("/v1/chat/completions", json=asked, headers=headers)
    assert refused.status_code == 403
    message = refused.json()["error"]["message"]
    assert "class is unknown" in message
    assert "Declare one: `pointwork-class`, or the model name PACK/CLASS." in message
