"""A gateway killed with fifty requests in flight: nothing is lost and nothing paid twice."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest

from pointwork.client import GatewayClient, SyncGatewayClient
from pointwork.contract.outcome import TaskStatus
from pointwork.contract.task import Sensitivity, TaskDeclaration
from pointwork.gateway.declaring import task_id_of
from pointwork.ledger.access_keys import AccessKeys
from pointwork.ledger.identities import Identities, service_of
from tests.fakes.slow_model import ANSWER
from tests.faults.installation import PROMPT, Installation
from tests.faults.processes import READY_SECONDS_MAX, Worker, until
from tests.faults.test_random_kills import assert_sound, closed, scene
from workers.settings import GatewaySettings

REQUESTS = 50
CALLER = "fifty"
BODY = {
    "model": "omega/summarisation_formatting",
    "messages": [{"role": "user", "content": "Tidy up this line: the meeting are moved."}],
    "pointwork": {"sensitivity": "public"},
}
CUT = (httpx2.ReadError, httpx2.RemoteProtocolError)


async def gateway(installed: Installation) -> tuple[Worker, str]:
    worker = await installed.worker("gateway", gateway=GatewaySettings(port=0))
    folder = installed.folder / f"worker-{len(installed.workers) - 1}"
    return worker, (folder / "run" / "gateway.url").read_text()


def account(installed: Installation) -> str:
    now = datetime.now(UTC)
    Identities(installed.engine).add(service_of(CALLER, now), "owner")
    return AccessKeys(installed.engine).create(CALLER, "owner", now)


async def ask(url: str, token: str, key: str) -> dict[str, Any]:
    headers = {"authorization": f"Bearer {token}", "idempotency-key": key}
    async with httpx2.AsyncClient(base_url=url, timeout=300) as http:
        answered = await http.post("/v1/chat/completions", json=BODY, headers=headers)
    assert answered.status_code == 200
    body: dict[str, Any] = answered.json()
    return body


@pytest.mark.req("DC-23")
async def test_fifty_callers_of_a_killed_gateway_ask_again_and_get_the_one_answer(
    tmp_path: Path,
) -> None:
    keys = [f"request-{number}" for number in range(REQUESTS)]
    task_ids = [task_id_of(CALLER, key) for key in keys]
    async with scene(tmp_path) as on:
        installed = on.installed
        token = account(installed)
        await installed.worker(threads=32)
        first, url = await gateway(installed)
        asking = [asyncio.create_task(ask(url, token, key)) for key in keys]
        await until(lambda: on.model.calls == REQUESTS)
        await first.kill()
        ended = await asyncio.gather(*asking, return_exceptions=True)
        assert [each for each in ended if not isinstance(each, CUT)] == []

        _, url = await gateway(installed)
        again = [asyncio.create_task(ask(url, token, key)) for key in keys]
        on.model.gate.set()
        answers = await asyncio.gather(*again)
        repeated = await asyncio.gather(*(ask(url, token, key) for key in keys))

        assert [each["pointwork"]["task_id"] for each in answers] == task_ids
        assert [each["choices"] for each in repeated] == [each["choices"] for each in answers]
        assert await closed(installed, task_ids) == [TaskStatus.SUCCEEDED] * REQUESTS
        assert on.model.calls == REQUESTS
        assert_sound(installed, task_ids)


@pytest.mark.req("DC-23")
async def test_a_client_that_waits_when_its_gateway_is_killed_is_answered_by_the_next(
    tmp_path: Path,
) -> None:
    keys = ["waits-1", "waits-2"]
    first_task, second_task = (
        TaskDeclaration(
            task_id=key,
            caller=CALLER,
            task_class="summarisation_formatting",
            sensitivity=Sensitivity.PUBLIC,
        )
        for key in keys
    )
    task_ids = [task_id_of(CALLER, key) for key in keys]
    async with scene(tmp_path) as on:
        installed = on.installed
        token = account(installed)
        await installed.worker(threads=8)
        first, url = await gateway(installed)
        patience = float(READY_SECONDS_MAX)
        async with GatewayClient(url, token, retry_seconds=patience) as client:
            with SyncGatewayClient(url, token, retry_seconds=patience) as blocking:
                running = asyncio.create_task(client.run(PROMPT, first_task))
                other = asyncio.create_task(asyncio.to_thread(blocking.run, PROMPT, second_task))
                await until(lambda: on.model.calls == len(keys))
                await first.kill()
                settings = GatewaySettings(port=int(url.rpartition(":")[2]))
                await installed.worker("gateway", gateway=settings)
                on.model.gate.set()
                outcomes = [await running, await other]
                assert await client.answer_text(outcomes[0]) == ANSWER
                assert await asyncio.to_thread(blocking.answer_text, outcomes[1]) == ANSWER

        assert [each.task_id for each in outcomes] == task_ids
        assert await closed(installed, task_ids) == [TaskStatus.SUCCEEDED] * len(keys)
        assert on.model.calls == len(keys)
        assert_sound(installed, task_ids)
