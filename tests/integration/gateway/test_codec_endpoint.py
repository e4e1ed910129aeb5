"""Sealed payloads are shown to who may read the record, from one page and no other (case 78)."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from google.protobuf.json_format import MessageToDict
from temporalio.api.common.v1 import Payload, Payloads
from temporalio.client import Client
from temporalio.converter import WorkflowSerializationContext

from pointwork.contract.identity import Role
from pointwork.embedded.temporal_server import temporal_binary
from pointwork.gateway.app import Gateway
from pointwork.gateway.codec_api import CODEC_PATH
from pointwork.ledger.payload_keys import create_payload_keys
from pointwork.ledger.task_record import TaskRecords
from pointwork.privacy.codec import EncryptingCodec
from pointwork.temporal import payload_codec, pointwork_plugin
from tests.integration.gateway.console.visitor import Visitor
from tests.integration.gateway.house import Account, House
from workers.gateway import serve_gateway
from workers.settings import GatewaySettings

PAGE = "http://127.0.0.1:8233"
CANARY = "what the bittern said"
PLAIN = Payload(metadata={"encoding": b"json/plain"}, data=json.dumps(CANARY).encode())


@pytest.fixture
def codec(tmp_path: Path) -> EncryptingCodec:
    create_payload_keys(tmp_path / "payload.keys")
    return payload_codec(tmp_path / "payload.keys")


@pytest.fixture
def gateway(house: House, codec: EncryptingCodec) -> Gateway:
    """A replica that has the payload keys, and knows the page of Temporal's UI."""
    old = house.gateway
    options = replace(old.options, temporal_ui_url=f"{PAGE}/namespaces/default")
    return Gateway(
        *(old.client, old.engine, old.vault, old.library, old.read_signals, options), codec=codec
    )


async def sealed(codec: EncryptingCodec, workflow_id: str = "task-1") -> Payload:
    bound = codec.with_context(WorkflowSerializationContext("default", workflow_id))
    [found] = await bound.encode([PLAIN])
    return found


async def ask(
    visitor: Visitor, *payloads: Payload, account: Account | None = None, **headers: str
) -> httpx2.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    given = account.headers(**headers) if account else named
    body = MessageToDict(Payloads(payloads=payloads))
    return await visitor.http.post(f"{CODEC_PATH}/decode", json=body, headers=given)


def shown(answered: httpx2.Response) -> list[Any]:
    assert answered.status_code == 200, answered.text
    return list(answered.json()["payloads"])


async def test_whoever_may_read_the_record_sees_a_payload_and_is_on_record(
    house: House, gateway: Gateway, codec: EncryptingCodec
) -> None:
    auditor, visitor = house.person(Role.AUDITOR), Visitor(gateway)
    asker = house.account()
    async with httpx2.AsyncClient(base_url=house.url, timeout=60) as http:
        body = {"model": "auto", "messages": [{"role": "user", "content": "Tidy up this line."}]}
        ran = await http.post("/v1/chat/completions", json=body, headers=asker.headers())
    task_id = ran.headers["pointwork-task-id"]
    await house.stack.recorded(task_id)
    for _ in range(2):
        [found] = shown(await ask(visitor, await sealed(codec, task_id), account=auditor))
        assert found == MessageToDict(PLAIN)
    record = TaskRecords(gateway.engine).find(task_id)
    assert record is not None
    told = [each.body for each in record.audit if each.kind == "content_shown"]
    assert told == [{"reader": auditor.name, "what": "payloads"}]


async def test_the_page_of_temporals_ui_is_answered_for_a_person_who_is_signed_in(
    house: House, gateway: Gateway, codec: EncryptingCodec
) -> None:
    visitor = Visitor(gateway)
    await visitor.sign_in(house.person(Role.AUDITOR))
    answered = await ask(visitor, await sealed(codec), origin=PAGE, x_namespace="default")
    assert shown(answered) == [MessageToDict(PLAIN)]
    assert answered.headers["access-control-allow-origin"] == PAGE
    assert answered.headers["access-control-allow-credentials"] == "true"
    assert answered.headers["vary"] == "origin"
    asked = await visitor.http.options(f"{CODEC_PATH}/decode", headers={"origin": PAGE})
    assert asked.status_code == 204
    assert "x-namespace" in asked.headers["access-control-allow-headers"]


@pytest.mark.parametrize(
    "origin",
    [
        "null",
        "*",
        "https://127.0.0.1:8233",
        "http://127.0.0.1:82330",
        "http://127.0.0.1:8233.example.com",
        "http://localhost:8233",
        f"{PAGE}/",
    ],
)
async def test_a_page_of_any_other_address_is_refused_and_may_read_nothing(
    house: House, gateway: Gateway, codec: EncryptingCodec, origin: str
) -> None:
    visitor = Visitor(gateway)
    await visitor.sign_in(house.person(Role.OWNER))
    refused = await ask(visitor, await sealed(codec), origin=origin)
    assert refused.status_code == 403
    assert not [name for name in refused.headers if name.startswith("access-control")]
    asked = await visitor.http.options(f"{CODEC_PATH}/decode", headers={"origin": origin})
    assert asked.status_code == 403


async def test_a_session_that_no_page_vouches_for_is_refused(
    house: House, gateway: Gateway, codec: EncryptingCodec
) -> None:
    visitor = Visitor(gateway)
    await visitor.sign_in(house.person(Role.OWNER))
    assert (await ask(visitor, await sealed(codec))).status_code == 403


async def test_without_a_key_that_opens_something_or_the_right_nothing_is_shown(
    house: House, gateway: Gateway, codec: EncryptingCodec
) -> None:
    visitor, payload = Visitor(gateway), await sealed(codec)
    statuses = [
        (await ask(visitor, payload)).status_code,
        (await ask(visitor, payload, origin=PAGE)).status_code,
        (await ask(visitor, payload, authorization="Bearer pw_none_x")).status_code,
        (await ask(visitor, payload, account=house.account())).status_code,
    ]
    assert statuses == [401, 401, 401, 403]
    told = await ask(visitor, payload, origin=PAGE)
    assert told.headers["access-control-allow-origin"] == PAGE


async def test_another_namespace_is_refused(
    house: House, gateway: Gateway, codec: EncryptingCodec
) -> None:
    account = house.person(Role.OWNER)
    refused = await ask(Visitor(gateway), await sealed(codec), account=account, x_namespace="other")
    assert (refused.status_code, refused.json()["param"]) == (403, "x-namespace")


async def test_a_payload_that_does_not_open_comes_back_as_it_is(
    house: House, gateway: Gateway, codec: EncryptingCodec
) -> None:
    moved, odd = await sealed(codec, "task-1"), await sealed(codec)
    moved.metadata["bound-to-workflow"] = b"task-2"
    odd.metadata["encryption-key-id"] = b"nobody"
    older = await sealed(codec)
    del older.metadata["bound-to-workflow"]
    given = [moved, odd, older, PLAIN]
    answered = await ask(Visitor(gateway), *given, account=house.person(Role.OWNER))
    assert shown(answered) == [MessageToDict(each) for each in given]


@pytest.mark.parametrize(
    "body", [b"", b"5", b'{"payloads": [5]}', b'{"payloads": [{"data": 5}]}', b"\xff"]
)
async def test_what_are_no_payloads_is_a_400(house: House, gateway: Gateway, body: bytes) -> None:
    headers = house.person(Role.OWNER).headers()
    refused = await Visitor(gateway).http.post(
        f"{CODEC_PATH}/decode", content=body, headers=headers
    )
    assert (refused.status_code, refused.json()["title"]) == (400, "invalid payloads")


async def test_where_payloads_are_plain_there_is_nothing_to_show(house: House) -> None:
    refused = await ask(Visitor(house.gateway), PLAIN, account=house.person(Role.OWNER))
    assert (refused.status_code, refused.json()["title"]) == (404, "nothing sealed")


@pytest.fixture
async def served(gateway: Gateway) -> AsyncIterator[str]:
    """The replica's address."""
    ready, stopped, urls = asyncio.Event(), asyncio.Event(), list[str]()

    def serving(url: str) -> None:
        urls.append(url)
        ready.set()

    task = asyncio.create_task(serve_gateway(gateway, GatewaySettings(port=0), stopped, serving))
    await ready.wait()
    yield urls[0]
    stopped.set()
    await task


async def test_temporals_own_command_shows_what_it_could_not_read(
    house: House, codec: EncryptingCodec, served: str
) -> None:
    address = house.stack.temporal.service_client.config.target_host
    client = await Client.connect(address, plugins=[pointwork_plugin(codec=codec)])
    workflow_id = f"sealed-{uuid4().hex[:8]}"
    handle = await client.start_workflow("Waits", CANARY, id=workflow_id, task_queue="nobody")
    token = house.person(Role.OWNER).token

    async def show(*more: str) -> str:
        command = ("workflow", "show", "-w", workflow_id, "--address", address, "-o", "json")
        process = await asyncio.create_subprocess_exec(
            *(str(temporal_binary()), *command, "--disable-config-file", *more),
            stdout=asyncio.subprocess.PIPE,
        )
        out, _ = await process.communicate()
        return out.decode()

    plain = base64.b64encode(PLAIN.data).decode()
    assert plain not in await show()
    asked = ("--codec-endpoint", f"{served}{CODEC_PATH}", "--codec-auth", f"Bearer {token}")
    assert plain in await show(*asked)
    await handle.terminate()
