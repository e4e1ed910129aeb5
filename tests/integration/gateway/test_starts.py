"""A task that a caller was told of has been started, whatever became of the request."""

import asyncio
from typing import Any

import httpx2
import pytest

from pointwork.contract.outcome import TaskStatus
from pointwork.contract.prompt import Prompt
from pointwork.gateway.answering import Answering
from tests.integration.gateway.house import House

CHAT: dict[str, Any] = {
    "model": "omega/summarisation_formatting",
    "messages": [{"role": "user", "content": "Tidy up this line."}],
    "pointwork": {"sensitivity": "public"},
}


@pytest.mark.parametrize("stream", [False, True])
async def test_what_is_said_to_run_was_started(house: House, stream: bool) -> None:
    """However little time the caller gave."""
    headers = house.account().headers(pointwork_wait_seconds="0")
    async with httpx2.AsyncClient(base_url=house.url, timeout=60) as http:
        asked = CHAT | {"stream": stream}
        accepted = await http.post("/v1/chat/completions", json=asked, headers=headers)
    assert accepted.status_code in (200, 202)
    outcome = await house.stack.recorded(accepted.headers["pointwork-task-id"])
    assert outcome.status is TaskStatus.SUCCEEDED


async def test_a_task_is_started_whose_request_was_given_up_before_temporal_heard_of_it(
    house: House,
) -> None:
    gateway = house.gateway
    declaration = house.stack.declare()
    request = await gateway.client.seal(Prompt.from_text("Tidy up."), declaration)
    answering = Answering(gateway.client, gateway.approvals, gateway.starts)
    asked = asyncio.create_task(answering.run(request, open_seconds=60, person_seconds=None))
    await asyncio.sleep(0)
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    await gateway.starts.settled(60)
    assert (await house.stack.recorded(request.task_id)).status is TaskStatus.SUCCEEDED
