"""Tokens on their way past the workflow: what a caller sees early, and what never leaves early."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import openai
import pytest

from pointwork.contract.approval import ApprovalVerdict
from pointwork.contract.failures import ProviderFailureKind
from pointwork.contract.outcome import TaskStatus
from pointwork.contract.prompt import Prompt
from pointwork.providers.stream_frames import Opens
from pointwork.providers.stream_sender import StreamSender
from tests.fakes.scripted_provider import Fails, Says, Writes
from tests.integration.gateway.house import Account, Clients, House

CLASS = "omega/summarisation_formatting"
ASK: list[Any] = [{"role": "user", "content": "Tidy up this line."}]
PUBLIC = {"pointwork": {"sensitivity": "public"}}
WRITES = Writes(("It ", "is "), then=Says("It is tidy."))


async def chunks_of(
    client: openai.AsyncOpenAI, key: str, *, model: str = CLASS, **more: Any
) -> AsyncGenerator[Any, None]:
    stream = await client.chat.completions.create(
        model=model,
        messages=ASK,
        stream=True,
        extra_body=PUBLIC,
        extra_headers={"idempotency-key": key},
        **more,
    )
    async for chunk in stream:
        yield chunk


def text_of(chunk: Any) -> str:
    return (chunk.choices[0].delta.content or "") if chunk.choices else ""


async def read_into(read: list[Any], chunks: AsyncIterator[Any]) -> None:
    async for chunk in chunks:
        read.append(chunk)


async def texts_until(chunks: AsyncIterator[Any], wanted: str) -> str:
    """What is read until ``wanted`` has come."""
    text = ""
    async with asyncio.timeout(60):
        while text != wanted:
            text += text_of(await anext(chunks))
    return text


@pytest.mark.req("JG-42")
async def test_text_reaches_the_caller_before_the_model_ends_and_is_the_recorded_answer(
    house: House, client: Clients
) -> None:
    account = house.account()
    key, task_id = house.scripted(account, WRITES)
    chunks = chunks_of(client(account), key)
    early = await texts_until(chunks, "It is ")
    # The model waits for this test: nothing has been answered or recorded yet.
    assert house.stack.outcomes.find(task_id) is None
    house.stack.script.let_go_on(task_id)
    late = "".join([text_of(chunk) async for chunk in chunks])
    outcome = await house.stack.recorded(task_id)
    assert early + late == house.stack.client.answer_text(outcome) == "It is tidy."


@pytest.mark.req("JG-63", "JG-64")
async def test_model_and_estimate_are_told_before_the_answer_and_the_cost_after_it(
    house: House, client: Clients
) -> None:
    account = house.account()
    key, task_id = house.scripted(account, WRITES)
    chunks = chunks_of(client(account), key)
    told: list[dict[str, Any]] = []
    async with asyncio.timeout(60):
        # A stream that takes long says first that its task is not there yet.
        while not (told and told[-1]["status"] == "invoking"):
            chunk = await anext(chunks)
            told += [chunk.model_extra["pointwork"]] if chunk.model_extra else []
    begun = told[-1]
    house.stack.script.let_go_on(task_id)
    told += [chunk.model_extra["pointwork"] async for chunk in chunks if chunk.model_extra]
    outcome = await house.stack.recorded(task_id)
    assert (begun["status"], begun["model"]) == ("invoking", outcome.served_model)
    assert begun["estimate_nano_usd"] == outcome.estimate_nano_usd
    assert told[-1]["cost_nano_usd"] == outcome.cost_nano_usd


@pytest.mark.parametrize(
    "unlike",
    [
        {"model": "omega/bulk_generation"},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {}}}},
    ],
    ids=["a class that does not allow it", "an answer that is checked"],
)
async def test_nothing_is_shown_early_where_the_class_or_a_check_stands_between(
    house: House, client: Clients, unlike: dict[str, Any]
) -> None:
    account = house.account()
    answer = '"a"' if "response_format" in unlike else "It is tidy."
    key, task_id = house.scripted(account, Writes((answer[:2],), then=Says(answer)))
    chunks = chunks_of(client(account), key, **unlike)
    reading = asyncio.ensure_future(anext(chunks))
    await house.stack.script.called(task_id)
    assert house.gateway.live.find(task_id) is not None
    assert house.stack.script.calls[task_id][0].request.on_text is None
    house.stack.script.let_go_on(task_id)
    first = text_of(await reading)
    assert first + "".join([text_of(chunk) async for chunk in chunks]) == answer


@pytest.mark.req("JG-42")
async def test_a_call_that_breaks_midway_is_marked_and_never_mixed_with_anothers_answer(
    house: House, client: Clients
) -> None:
    account = house.account()
    broken = Writes(("It is",), then=Fails(ProviderFailureKind.STREAM_INTERRUPTED))
    other = Writes(("From an",), then=Says("From another."))
    key, task_id = house.scripted(account, broken, other)
    chunks = chunks_of(client(account), key)
    assert await texts_until(chunks, "It is") == "It is"
    house.stack.script.let_go_on(task_id)
    rest: list[Any] = []
    with pytest.raises(openai.APIError, match="another call answered") as refused:
        await read_into(rest, chunks)
    assert "".join(map(text_of, rest)) == ""
    told = [chunk.model_extra["pointwork"] for chunk in rest if chunk.model_extra]
    assert refused.value.code == "answer_replaced"
    assert [(each["attempt"], each["restarted"]) for each in told] == [(2, True)]
    house.stack.script.let_go_on(task_id)
    outcome = await house.stack.recorded(task_id)
    assert house.stack.client.answer_text(outcome) == "From another."
    assert outcome.used_fallback


async def test_a_second_call_that_begins_alike_goes_on_in_the_same_stream(
    house: House, client: Clients
) -> None:
    account = house.account()
    broken = Writes(("It is",), then=Fails(ProviderFailureKind.STREAM_INTERRUPTED))
    key, task_id = house.scripted(account, broken, Says("It is tidy."))
    chunks = chunks_of(client(account), key)
    await texts_until(chunks, "It is")
    house.stack.script.let_go_on(task_id)
    assert "".join([text_of(chunk) async for chunk in chunks]) == " tidy."


async def test_placeholders_that_a_piece_cuts_are_filled_in_before_they_are_shown(
    house: House, client: Clients
) -> None:
    account, script = house.account(), house.stack.script
    pieces = ("Dear <EMA", "IL_1>, it", " is tidy.")
    refused = Fails(ProviderFailureKind.INVALID_REQUEST)
    key, task_id = house.scripted(account, refused, Writes(pieces, then=Says("".join(pieces))))
    stated = {"data_classes": ["personal"], "wait_seconds": 60}
    asking = asyncio.create_task(
        client(account).chat.completions.create(
            model="omega/creative_synthesis",
            messages=[{"role": "user", "content": "Write to ada@example.org."}],
            stream=True,
            extra_body={"pointwork": stated},
            extra_headers={"idempotency-key": key},
        )
    )
    approval = await house.stack.open_approval(task_id)
    await house.stack.client.submit_verdict(house.stack.signed(approval, ApprovalVerdict.APPROVED))
    chunks = aiter(await asking)
    early = await texts_until(chunks, "Dear ada@example.org, it is tidy.")
    assert "<EMAIL_1>" in script.calls[task_id][1].request.prompt.text
    script.let_go_on(task_id)
    assert "".join([text_of(chunk) async for chunk in chunks]) == ""
    outcome = await house.stack.recorded(task_id)
    assert early == house.stack.client.answer_text(outcome)


@pytest.mark.parametrize(
    ("path", "body", "event"),
    [
        ("responses", {"input": "Tidy."}, "response.output_text.delta"),
        ("messages", {"messages": ASK, "max_tokens": 50}, "content_block_delta"),
    ],
)
async def test_the_other_surfaces_show_text_early_too(
    house: House, path: str, body: dict[str, Any], event: str
) -> None:
    account = house.account()
    key, task_id = house.scripted(account, WRITES)
    body = {"model": CLASS, "stream": True, **PUBLIC, **body}
    async with (
        httpx.AsyncClient(timeout=60) as client,
        client.stream(
            "POST",
            f"{house.api}/{path}",
            json=body,
            headers=account.headers(idempotency_key=key),
        ) as answer,
    ):
        lines = answer.aiter_lines()
        async with asyncio.timeout(60):
            while event not in await anext(lines):
                pass
        assert house.stack.outcomes.find(task_id) is None
        house.stack.script.let_go_on(task_id)
        rest = "\n".join([line async for line in lines])
    assert '"tidy."' in rest


async def test_two_callers_of_one_task_see_the_same_text_early(
    house: House, client: Clients
) -> None:
    account = house.account()
    key, task_id = house.scripted(account, WRITES)
    both = [chunks_of(client(account), key) for _ in range(2)]
    for chunks in both:
        assert await texts_until(chunks, "It is ") == "It is "
    house.stack.script.let_go_on(task_id)
    for chunks in both:
        assert "".join([text_of(chunk) async for chunk in chunks]) == "tidy."


class Listening:
    """A caller of a task, and what is sent to the gateway as if by its worker."""

    def __init__(self, house: House, account: Account) -> None:
        self._house = house
        self._account = account

    async def post(self, task_id: str, body: bytes) -> int:
        async with httpx.AsyncClient(timeout=60) as client:
            answer = await client.post(
                f"{self._house.url}/internal/streams/{task_id}",
                content=body,
                headers=self._account.headers(),
            )
        return answer.status_code


async def test_only_what_a_worker_sealed_for_the_task_is_shown(
    house: House, client: Clients
) -> None:
    account = house.account()
    key, task_id = house.scripted(account, WRITES)
    chunks = chunks_of(client(account), key)
    early = await texts_until(chunks, "It is ")
    sender = Listening(house, account)
    assert await sender.post(task_id, b"\x00" * 16 + b"\x00\x00\x00\x40" + b"x" * 64) == 400
    assert await sender.post("task-of-nobody", b"anything") == 404
    house.stack.script.let_go_on(task_id)
    assert early + "".join([text_of(chunk) async for chunk in chunks]) == "It is tidy."


async def test_a_caller_who_comes_back_sees_the_answer_from_its_beginning(
    house: House, client: Clients
) -> None:
    account = house.account()
    key, task_id = house.scripted(account, WRITES)
    gone = chunks_of(client(account), key)
    await texts_until(gone, "It is ")
    back = chunks_of(client(account), key)
    await gone.aclose()
    await texts_until(back, "It is ")
    house.stack.script.let_go_on(task_id)
    assert "".join([text_of(chunk) async for chunk in back]) == "tidy."


async def test_no_text_of_a_streamed_answer_stands_in_the_history(
    house: House, client: Clients
) -> None:
    account = house.account()
    key, task_id = house.scripted(account, Says("The canary sings."))
    text = "".join([text_of(chunk) async for chunk in chunks_of(client(account), key)])
    assert text == "The canary sings."
    await house.stack.recorded(task_id)
    history = await house.stack.temporal.get_workflow_handle(task_id).fetch_history()
    assert "canary" not in history.to_json()


async def test_a_worker_finds_the_next_replica_when_the_first_one_dies(house: House) -> None:
    """The caller has come back to another replica, which gets the answer from its beginning."""
    account = house.account()
    _, task_id = house.scripted(account, WRITES)

    def name(url: str) -> None:
        expires_at = datetime.now(UTC) + timedelta(minutes=1)
        house.gateway.listeners.name(task_id, url, expires_at)

    async def dies(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.to_thread(name, house.url)
        writer.close()

    dying = await asyncio.start_server(dies, "127.0.0.1", 0)
    host, port = dying.sockets[0].getsockname()
    with house.gateway.live.listen(task_id) as live:
        name(f"http://{host}:{port}")
        declared = house.stack.declare(task_id=task_id)
        await house.stack.client.submit(Prompt.from_text("Tidy up this line."), declared)
        async with asyncio.timeout(60):
            while "".join(live.pieces) != "It is ":
                await live.change(live.state)
    house.stack.script.let_go_on(task_id)
    assert (await house.stack.recorded(task_id)).status is TaskStatus.SUCCEEDED
    dying.close()


async def test_a_replica_that_hangs_is_left_when_the_caller_comes_back_elsewhere() -> None:
    """It closes no connection, so the ledger's word is what counts."""
    urls, taken, hanging = ["", ""], asyncio.Event(), list[asyncio.StreamWriter]()

    async def hangs(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        hanging.append(writer)
        urls[0] = urls[1]

    async def takes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n")
        writer.close()
        taken.set()

    servers = [await asyncio.start_server(each, "127.0.0.1", 0) for each in (hangs, takes)]
    urls = ["http://{}:{}".format(*each.sockets[0].getsockname()) for each in servers]
    sender = StreamSender(lambda _: urls[0], lambda _: bytes(32), look_seconds=0.05)
    opens = Opens(attempt_id="t/1/1", model="m", served_as="m", number=1, estimate_nano_usd=0)
    stream = await sender.open("t", opens)
    assert stream is not None
    async with asyncio.timeout(60):
        await taken.wait()
    stream.end(is_whole=True)
    for writer in hanging:
        writer.close()
    for server in servers:
        server.close()


async def test_another_question_under_the_key_is_refused_before_anything_is_shown(
    house: House, client: Clients
) -> None:
    account = house.account()
    key, task_id = house.scripted(account, WRITES)
    chunks = chunks_of(client(account), key)
    await texts_until(chunks, "It is ")
    body = {
        "model": CLASS,
        "stream": True,
        "messages": [{"role": "user", "content": "Something else."}],
        **PUBLIC,
    }
    async with httpx.AsyncClient(timeout=60) as other:
        refused = await other.post(
            f"{house.api}/chat/completions",
            json=body,
            headers=account.headers(idempotency_key=key),
        )
    assert refused.status_code == 409
    assert "It is" not in refused.text
    house.stack.script.let_go_on(task_id)
    assert "".join([text_of(chunk) async for chunk in chunks]) == "tidy."
