"""What every adapter does, proved on the vendors' own SDKs and, for the main ones, real sockets."""

import asyncio
import base64

import pytest

from pointwork.contract.failures import ProviderFailureKind as Kind
from pointwork.contract.outcome import FinishReason, TokenUsage
from pointwork.contract.prompt import ImagePart, Prompt, Speaker, TextPart, Turn
from pointwork.providers.reading import ANSWER_BYTES_MAX
from tests.fakes import vendor_wire as wires
from tests.fakes.vendor_flavours import EVERY
from tests.fakes.vendor_reply import Act, Drip, LoopbackVendor, Reply, Step
from tests.providers.conftest import ANSWER, KEY, PROMPT, Bench, assert_no_canary

PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
WAIT_SECONDS = 30.0


def answer(bench: Bench, *pieces: str, model: str = "", **ending: object) -> Reply:
    return wires.answer(bench.wire, pieces, model or bench.flavour.model, **ending)


def cut(bench: Bench, *script: Step) -> Reply:
    return Reply(script=script)


def begun(bench: Bench, *pieces: str) -> list[bytes]:
    """An answer that has not ended."""
    model = bench.flavour.model
    return [*bench.wire.opening(model), *(bench.wire.text(piece, model) for piece in pieces)]


@pytest.mark.req("OM-10")
@pytest.mark.req("DC-3")
@pytest.mark.req("DC-4")
@pytest.mark.req("DC-5")
async def test_a_plain_question_gets_its_answer_in_one_request(every: Bench) -> None:
    every.vendor.reply = answer(every, ANSWER, " and ", ANSWER)
    response = await every.provider.complete(every.request())
    assert response.text == f"{ANSWER} and {ANSWER}"
    assert_no_canary(repr(response))
    assert response.finish_reason is FinishReason.STOP
    assert response.served_model == every.flavour.model
    assert response.provider_request_id == wires.REQUEST_ID
    [received] = every.vendor.received
    assert received.method == "POST"
    assert received.headers["host"] == every.flavour.origin.partition("://")[2]
    assert received.path.startswith(every.flavour.path)
    sent = every.wire.sent(received)
    assert sent.model == every.flavour.model
    assert sent.max_output_tokens == 64
    assert every.wire.key(received) == KEY
    assert received.headers["x-client-request-id"] == "attempt-1"
    assert received.headers["accept-encoding"] == "identity"


async def test_usage_means_the_same_from_every_vendor(every: Bench) -> None:
    every.vendor.reply = answer(every, "yes")
    response = await every.provider.complete(every.request())
    assert response.usage == TokenUsage(
        input_tokens=wires.INPUT_TOKENS,
        output_tokens=wires.OUTPUT_TOKENS,
        cached_input_tokens=wires.CACHED_TOKENS,
        reasoning_tokens=wires.REASONING_TOKENS,
    )


async def test_an_answer_without_a_readable_meter_has_no_usage(bench: Bench) -> None:
    bench.vendor.reply = answer(bench, "yes", usage=False)
    response = await bench.provider.complete(bench.request())
    assert response.text == "yes"
    assert response.usage is None


async def test_system_turns_stand_where_the_vendor_wants_them(every: Bench) -> None:
    every.vendor.reply = answer(every, "yes")
    turns = [
        Turn(speaker=Speaker.SYSTEM, parts=(TextPart(text="Be brief."),)),
        Turn(speaker=Speaker.USER, parts=(TextPart(text="Hello."),)),
        Turn(speaker=Speaker.ASSISTANT, parts=(TextPart(text="Hi."),)),
        Turn(speaker=Speaker.USER, parts=(TextPart(text="Go on."),)),
    ]
    await every.provider.complete(every.request(prompt=Prompt(turns=tuple(turns))))
    sent = every.wire.sent(every.vendor.received[0])
    assert sent.system == "Be brief."
    assert sent.roles == ["user", "assistant", "user"]


@pytest.mark.req("DC-5")
async def test_an_image_is_sent_inline(every: Bench) -> None:
    every.vendor.reply = answer(every, "a pixel")
    data = base64.b64encode(PIXEL)
    parts = (TextPart(text="What is this?"), ImagePart(media_type="image/png", data=data))
    prompt = Prompt(turns=(Turn(speaker=Speaker.USER, parts=parts),))
    await every.provider.complete(every.request(prompt=prompt))
    assert every.wire.sent(every.vendor.received[0]).images == [("image/png", data.decode())]


@pytest.mark.req("DC-5")
async def test_a_long_context_arrives_whole(bench: Bench) -> None:
    bench.vendor.reply = answer(bench, "yes")
    text = "reed " * 200_000
    await bench.provider.complete(bench.request(prompt=Prompt.from_text(text)))
    assert text in str(bench.vendor.received[0].body)


async def test_an_answer_schema_is_sent_in_the_vendors_own_form(every: Bench) -> None:
    every.vendor.reply = answer(every, '{"city": "Oslo"}')
    response = await every.provider.complete(every.request(answer_schema=SCHEMA))
    assert response.text == '{"city": "Oslo"}'
    sent = every.wire.sent(every.vendor.received[0])
    if every.flavour.sends_schema:
        assert sent.answer_schema == SCHEMA
    else:
        assert '"city"' in sent.system
        assert every.vendor.received[0].body["response_format"] == {"type": "json_object"}


async def test_progress_counts_the_characters_received(bench: Bench) -> None:
    seen: list[int] = []
    bench.vendor.reply = answer(bench, "été", "!")
    await bench.provider.complete(bench.request(), seen.append)
    assert seen == sorted(seen)
    assert {3, 4} <= set(seen)


async def test_an_answer_cut_at_the_limit_is_returned_as_such(every: Bench) -> None:
    every.vendor.reply = answer(every, "half a sent", finish="length")
    response = await every.provider.complete(every.request())
    assert response.text == "half a sent"
    assert response.finish_reason is FinishReason.LENGTH


@pytest.mark.parametrize("text", ["", " \n\t"])
async def test_an_answer_without_text_is_an_empty_answer(every: Bench, text: str) -> None:
    every.vendor.reply = answer(every, text)
    failure = await every.failure()
    assert failure.kind is Kind.EMPTY_ANSWER
    assert failure.usage is not None


async def test_a_filtered_answer_is_a_failure_even_with_text(every: Bench) -> None:
    every.vendor.reply = answer(every, ANSWER, finish="content_filter")
    failure = await every.failure()
    assert failure.kind is Kind.CONTENT_FILTERED


async def test_a_dated_name_of_the_requested_model_is_that_model(bench: Bench) -> None:
    bench.vendor.reply = answer(bench, "yes", model=f"{bench.flavour.model}-20250929")
    if bench.flavour.name == "llama.cpp":
        assert (await bench.failure()).kind is Kind.WRONG_MODEL
    else:
        response = await bench.provider.complete(bench.request())
        assert response.served_model == f"{bench.flavour.model}-20250929"


@pytest.mark.parametrize("served", ["another-model", "", "{requested}-mini", "{requested}0929"])
async def test_an_answer_of_another_model_is_refused(every: Bench, served: str) -> None:
    model = served.format(requested=every.flavour.model)
    script = [*every.wire.opening(model), every.wire.text(ANSWER, model), *every.wire.ending(model)]
    every.vendor.reply = Reply(script=tuple(script))
    assert (await every.failure()).kind is Kind.WRONG_MODEL


EXPECTED = {
    "rate limited": Kind.RATE_LIMITED,
    "quota exhausted": Kind.QUOTA_EXHAUSTED,
    "overloaded": Kind.OVERLOADED,
    "server error": Kind.OVERLOADED,
    "request timeout": Kind.TIMEOUT,
    "invalid": Kind.INVALID_REQUEST,
    "too long": Kind.CONTEXT_TOO_LONG,
    "bad key": Kind.AUTHENTICATION_FAILED,
    "forbidden": Kind.AUTHENTICATION_FAILED,
    "no such model": Kind.MODEL_NOT_FOUND,
    "filtered": Kind.CONTENT_FILTERED,
}


@pytest.mark.req("DC-4")
@pytest.mark.parametrize(
    ("every", "situation"),
    [
        pytest.param(flavour, situation, id=f"{flavour.name}-{situation}")
        for flavour in EVERY
        for situation in flavour.wire.refusals("")
    ],
    indirect=["every"],
)
async def test_each_refusal_has_the_same_word_from_every_vendor(
    every: Bench, situation: str
) -> None:
    status, body = every.wire.refusals(f"{PROMPT} {KEY}")[situation]
    every.vendor.reply = Reply.of_json(status, body, x_request_id=wires.REQUEST_ID)
    failure = await every.failure()
    assert failure.kind is EXPECTED[situation]
    assert str(status) in str(failure)
    assert every.flavour.name in str(failure)
    assert failure.provider_request_id == wires.REQUEST_ID
    assert len(every.vendor.received) == 1


async def test_a_rate_limit_carries_the_wait_the_vendor_asks_for(bench: Bench) -> None:
    refusals = bench.wire.refusals(PROMPT)
    status, body = refusals.get("rate limited") or refusals["overloaded"]
    bench.vendor.reply = Reply.of_json(status, body, retry_after="7")
    assert (await bench.failure()).retry_after_seconds == 7


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_is_not_followed(bench: Bench, status: int) -> None:
    elsewhere = LoopbackVendor()
    async with elsewhere:
        bench.vendor.reply = Reply.of_json(status, {}, location=f"{elsewhere.base_url}/v1")
        failure = await bench.failure()
        assert failure.kind is Kind.CONNECTION_FAILED
        assert elsewhere.received == []


async def test_an_endpoint_that_does_not_listen_is_a_failed_connection(bench: Bench) -> None:
    async with LoopbackVendor() as gone:
        base_url = gone.base_url
    await bench.provider.aclose()
    bench.provider = bench.flavour.build(base_url + bench.flavour.path, KEY, None)
    assert (await bench.failure()).kind is Kind.CONNECTION_FAILED


async def test_a_cut_before_the_first_event_is_an_interrupted_stream(bench: Bench) -> None:
    bench.vendor.reply = cut(bench, Act.CUT)
    assert (await bench.failure()).kind is Kind.STREAM_INTERRUPTED


async def test_a_cut_in_the_middle_is_an_interrupted_stream(bench: Bench) -> None:
    bench.vendor.reply = cut(bench, *begun(bench, ANSWER, ANSWER), Act.CUT)
    assert (await bench.failure()).kind is Kind.STREAM_INTERRUPTED


async def test_a_clean_end_without_a_finish_is_an_interrupted_stream(every: Bench) -> None:
    every.vendor.reply = cut(every, *begun(every, ANSWER, ANSWER))
    assert (await every.failure()).kind is Kind.STREAM_INTERRUPTED


async def test_a_clean_end_with_no_event_is_an_interrupted_stream(every: Bench) -> None:
    every.vendor.reply = cut(every)
    assert (await every.failure()).kind is Kind.STREAM_INTERRUPTED


async def test_an_error_inside_the_stream_is_never_a_clean_end(every: Bench) -> None:
    error = every.wire.stream_error(f"{PROMPT} {ANSWER}")
    every.vendor.reply = cut(every, *begun(every, ANSWER), error)
    failure = await every.failure()
    assert failure.kind is Kind.STREAM_INTERRUPTED
    every.vendor.received.clear()
    every.vendor.reply = cut(every, error)
    assert (await every.failure()).kind in (Kind.STREAM_INTERRUPTED, Kind.OVERLOADED)


async def test_an_event_that_is_no_json_is_malformed(bench: Bench) -> None:
    bench.vendor.reply = cut(bench, *begun(bench), bench.wire.broken_event(ANSWER))
    assert (await bench.failure()).kind is Kind.MALFORMED_RESPONSE


async def test_an_event_of_the_wrong_shape_is_malformed(bench: Bench) -> None:
    bench.vendor.reply = cut(bench, *begun(bench), bench.wire.odd_event())
    assert (await bench.failure()).kind is Kind.MALFORMED_RESPONSE


async def test_a_page_instead_of_a_stream_is_malformed(every: Bench) -> None:
    page = f"<html><body>{ANSWER}</body></html>".encode()
    every.vendor.reply = Reply(content_type="text/html", script=(page,))
    assert (await every.failure()).kind is Kind.MALFORMED_RESPONSE


async def test_an_answer_beyond_the_cap_is_not_read_to_its_end(bench: Bench) -> None:
    model = bench.flavour.model
    piece = bench.wire.text("reed " * 20_000, model)
    pieces = [piece] * (ANSWER_BYTES_MAX // 100_000 + 1)
    bench.vendor.reply = cut(bench, *bench.wire.opening(model), *pieces, Act.HANG)
    assert (await bench.failure()).kind is Kind.MALFORMED_RESPONSE
    async with asyncio.timeout(WAIT_SECONDS):
        await bench.vendor.client_left.wait()


async def test_a_vendor_that_never_answers_is_a_timeout(on_socket: Bench) -> None:
    on_socket.vendor.reply = Reply(is_silent=True)
    assert (await on_socket.timed_out()).kind is Kind.TIMEOUT
    async with asyncio.timeout(WAIT_SECONDS):
        await on_socket.vendor.client_left.wait()


async def test_a_connection_that_is_never_made_owes_nothing(on_socket: Bench) -> None:
    async with LoopbackVendor() as silent:
        # The server speaks no TLS and waits for the rest of a request, so the handshake hangs.
        base_url = silent.base_url.replace("http:", "https:") + on_socket.flavour.path
        await on_socket.provider.aclose()
        on_socket.provider = on_socket.flavour.build(base_url, KEY, None)
        failure = await on_socket.failure(timeout_seconds=0.3)
        assert failure.kind is Kind.CONNECTION_FAILED
        assert not failure.kind.may_have_been_charged


async def test_silence_past_the_deadline_is_a_timeout(bench: Bench) -> None:
    bench.vendor.reply = cut(bench, *begun(bench, ANSWER), Act.HANG)
    assert (await bench.timed_out()).kind is Kind.TIMEOUT
    async with asyncio.timeout(WAIT_SECONDS):
        await bench.vendor.client_left.wait()


async def test_a_slow_drip_past_the_deadline_is_a_timeout(bench: Bench) -> None:
    bench.vendor.reply = cut(
        bench, *begun(bench, ANSWER), Drip(bench.wire.text("", bench.flavour.model))
    )
    assert (await bench.timed_out()).kind is Kind.TIMEOUT
    async with asyncio.timeout(WAIT_SECONDS):
        await bench.vendor.client_left.wait()


async def test_cancelling_the_call_closes_its_connection(on_socket: Bench) -> None:
    started = asyncio.Event()
    on_socket.vendor.reply = cut(on_socket, *begun(on_socket, ANSWER), Act.HANG)
    call = asyncio.create_task(
        on_socket.provider.complete(on_socket.request(), lambda _: started.set())
    )
    async with asyncio.timeout(WAIT_SECONDS):
        await started.wait()
    assert not on_socket.vendor.client_left.is_set()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    async with asyncio.timeout(WAIT_SECONDS):
        await on_socket.vendor.client_left.wait()


async def test_one_connection_serves_one_call_after_another(on_socket: Bench) -> None:
    on_socket.vendor.reply = answer(on_socket, "yes")
    for _ in range(3):
        await on_socket.provider.complete(on_socket.request())
    assert len(on_socket.vendor.received) == 3
    assert isinstance(on_socket.vendor, LoopbackVendor)
    assert on_socket.vendor.connections == 1


async def test_calls_run_side_by_side_without_mixing(on_socket: Bench) -> None:
    on_socket.vendor.reply = answer(on_socket, "yes ", "and ", "no")
    answers = await asyncio.gather(
        *(on_socket.provider.complete(on_socket.request()) for _ in range(24))
    )
    assert {each.text for each in answers} == {"yes and no"}
    assert len(on_socket.vendor.received) == 24


async def test_an_adapter_never_shows_its_key(every: Bench) -> None:
    for text in (repr(every.provider), str(every.provider), repr(vars(every.provider))):
        assert_no_canary(text)
