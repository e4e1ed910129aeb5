"""A vendor's records, asked on real sockets in the vendor's own wire format (design 5)."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from pointwork.contract.outcome import TokenUsage
from pointwork.contract.prompt import Prompt
from pointwork.providers import dialects
from pointwork.providers.lookup import (
    ATTEMPT_KEY,
    CallLookup,
    LookupKind,
    Verdict,
    open_lookup,
)
from pointwork.providers.openai import OpenAIProvider
from pointwork.providers.port import CompletionRequest, ProviderError
from tests.fakes import vendor_wire as wires
from tests.fakes.vendor_reply import Act, LoopbackVendor, Reply
from tests.providers.conftest import KEY, PROMPT

GENERATION, COMPLETION, ATTEMPT = "gen-3bhGkxlo4X", "chatcmpl-9a8b7c", "task-1/1"
PATH = "/api/v1"


def generation(**changed: Any) -> dict[str, Any]:
    """As OpenRouter documents it, the fields that are not read included."""
    data: dict[str, Any] = {
        "id": GENERATION,
        "upstream_id": "chatcmpl-791bcf62",
        "model": "openai/gpt-4o",
        "total_cost": 0.0015,
        "cache_discount": 0.0002,
        "upstream_inference_cost": 0.0012,
        "usage": 0.0015,
        "created_at": "2024-07-15T23:33:19.433273+00:00",
        "is_byok": False,
        "streamed": True,
        "cancelled": False,
        "provider_name": "OpenAI",
        "latency": 1250,
        "finish_reason": "stop",
        "tokens_prompt": 10,
        "tokens_completion": 25,
        "native_tokens_prompt": 11,
        "native_tokens_completion": 27,
        "native_tokens_reasoning": 5,
        "native_tokens_cached": 3,
    }
    return {"data": data | changed}


def completion(**changed: Any) -> dict[str, Any]:
    body: dict[str, Any] = {
        "object": "chat.completion",
        "id": COMPLETION,
        "model": "gpt-4o-2024-08-06",
        "created": 1738960610,
        "request_id": "req_ded8ab984ec4bf840f37566c1011c417",
        "usage": {
            "prompt_tokens": 40,
            "completion_tokens": 12,
            "total_tokens": 52,
            "prompt_tokens_details": {"cached_tokens": 16},
            "completion_tokens_details": {"reasoning_tokens": 5},
        },
        "metadata": {ATTEMPT_KEY: ATTEMPT},
        "choices": [{"index": 0, "message": {"content": "an answer"}, "finish_reason": "stop"}],
    }
    return body | changed


@pytest.fixture
async def vendor() -> AsyncIterator[LoopbackVendor]:
    async with LoopbackVendor() as started:
        yield started


@pytest.fixture
async def openrouter(vendor: LoopbackVendor) -> AsyncIterator[CallLookup]:
    lookup = open_lookup(LookupKind.OPENROUTER_GENERATION, vendor.base_url + PATH, KEY)
    yield lookup
    await lookup.aclose()


@pytest.fixture
async def stored(vendor: LoopbackVendor) -> AsyncIterator[CallLookup]:
    lookup = open_lookup(LookupKind.OPENAI_STORED, vendor.base_url + PATH, KEY)
    yield lookup
    await lookup.aclose()


async def test_a_generation_is_asked_for_by_its_id_and_its_charge_is_exact(
    vendor: LoopbackVendor, openrouter: CallLookup
) -> None:
    vendor.reply = Reply.of_json(200, generation())
    found = await openrouter.find(GENERATION, ATTEMPT)
    assert (found.verdict, found.source) == (Verdict.FOUND, "openrouter_generation")
    assert found.cost_nano_usd == 1_500_000
    assert found.usage == TokenUsage(
        input_tokens=11, output_tokens=27, cached_input_tokens=3, reasoning_tokens=5
    )
    (received,) = vendor.received
    assert (received.method, received.path) == ("GET", f"{PATH}/generation?id={GENERATION}")
    assert received.headers["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize(
    ("charged", "nano_usd"),
    [("1e-10", 1), ("0.1234567891", 123_456_790), ("0", 0), ("7", 7 * 10**9)],
)
async def test_a_charge_is_read_without_a_float_and_rounded_up(
    vendor: LoopbackVendor, openrouter: CallLookup, charged: str, nano_usd: int
) -> None:
    text = json.dumps(generation(total_cost="X")).replace('"X"', charged)
    vendor.reply = Reply(content_type="application/json", script=(text.encode(),))
    assert (await openrouter.find(GENERATION, ATTEMPT)).cost_nano_usd == nano_usd


async def test_under_the_owners_own_key_the_makers_bill_is_added(
    vendor: LoopbackVendor, openrouter: CallLookup
) -> None:
    vendor.reply = Reply.of_json(200, generation(is_byok=True, total_cost=0.0001))
    assert (await openrouter.find(GENERATION, ATTEMPT)).cost_nano_usd == 1_300_000


@pytest.mark.parametrize(
    "changed",
    [
        {"id": "gen-another"},
        {"total_cost": None},
        {"total_cost": -0.1},
        {"total_cost": 1e30},
        {"total_cost": "much"},
        {"is_byok": True, "upstream_inference_cost": None},
        {"native_tokens_prompt": -4},
    ],
    ids=str,
)
async def test_a_generation_that_is_not_plainly_this_calls_charge_is_no_record(
    vendor: LoopbackVendor, openrouter: CallLookup, changed: dict[str, Any]
) -> None:
    vendor.reply = Reply.of_json(200, generation(**changed))
    found = await openrouter.find(GENERATION, ATTEMPT)
    assert found.verdict is Verdict.CANNOT_TELL
    assert (found.cost_nano_usd, found.usage) == (None, None)


async def test_a_charge_without_token_counts_is_a_charge(
    vendor: LoopbackVendor, openrouter: CallLookup
) -> None:
    vendor.reply = Reply.of_json(200, generation(native_tokens_prompt=None))
    found = await openrouter.find(GENERATION, ATTEMPT)
    assert (found.cost_nano_usd, found.usage) == (1_500_000, None)


@pytest.mark.parametrize("call_id", ["", "../credits", "gen-1&id=gen-2", "gen 1", "g" * 129])
async def test_without_a_proper_id_no_generation_is_asked_for(
    vendor: LoopbackVendor, openrouter: CallLookup, call_id: str
) -> None:
    found = await openrouter.find(call_id, ATTEMPT)
    assert found.verdict is Verdict.CANNOT_TELL
    assert vendor.received == []


FAULTS = {
    "no such record": (Reply.of_json(404, {"error": {"code": 404}}), Verdict.NOT_FOUND),
    "bad key": (Reply.of_json(401, {"error": {"code": 401}}), Verdict.CANNOT_TELL),
    "rate limited": (Reply.of_json(429, {}), Verdict.CANNOT_TELL),
    "server error": (Reply.of_json(500, {}), Verdict.CANNOT_TELL),
    "redirect": (Reply.of_json(302, {}, location="http://127.0.0.1/"), Verdict.CANNOT_TELL),
    "a page": (Reply(content_type="text/html", script=(b"<html>",)), Verdict.CANNOT_TELL),
    "a list": (Reply.of_json(200, [1]), Verdict.CANNOT_TELL),
    "nothing": (Reply(), Verdict.CANNOT_TELL),
    "nesting without end": (Reply(script=(b"[" * 200_000,)), Verdict.CANNOT_TELL),
    "a cut": (Reply(script=(b'{"data": ', Act.CUT)), Verdict.CANNOT_TELL),
}


@pytest.mark.parametrize("kind", LookupKind)
@pytest.mark.parametrize("fault", FAULTS)
async def test_a_vendor_that_cannot_answer_is_no_word_on_the_charge(
    vendor: LoopbackVendor, kind: LookupKind, fault: str
) -> None:
    vendor.reply, verdict = FAULTS[fault]
    lookup = open_lookup(kind, vendor.base_url + PATH, KEY)
    found = await lookup.find(GENERATION, ATTEMPT)
    await lookup.aclose()
    assert found.verdict is verdict
    assert len(vendor.received) == 1


async def test_a_vendor_that_is_not_there_is_no_word_on_the_charge() -> None:
    async with LoopbackVendor() as gone:
        base_url = gone.base_url
    lookup = open_lookup(LookupKind.OPENROUTER_GENERATION, base_url, KEY)
    assert (await lookup.find(GENERATION, ATTEMPT)).verdict is Verdict.CANNOT_TELL
    await lookup.aclose()


async def test_a_stored_completion_is_found_by_its_own_id(
    vendor: LoopbackVendor, stored: CallLookup
) -> None:
    vendor.reply = Reply.of_json(200, completion())
    found = await stored.find(COMPLETION, ATTEMPT)
    assert (found.verdict, found.cost_nano_usd) == (Verdict.FOUND, None)
    assert found.usage == TokenUsage(
        input_tokens=40, output_tokens=12, cached_input_tokens=16, reasoning_tokens=5
    )
    (received,) = vendor.received
    assert (received.method, received.path) == ("GET", f"{PATH}/chat/completions/{COMPLETION}")


async def test_a_stored_completion_whose_id_was_lost_is_found_by_ours(
    vendor: LoopbackVendor, stored: CallLookup
) -> None:
    page = {"object": "list", "data": [completion()], "has_more": False}
    vendor.reply = Reply.of_json(200, page)
    found = await stored.find("", ATTEMPT)
    assert found.verdict is Verdict.FOUND
    (received,) = vendor.received
    query = f"metadata%5B{ATTEMPT_KEY}%5D=task-1%2F1&limit=2"
    assert received.path == f"{PATH}/chat/completions?{query}"


@pytest.mark.parametrize(
    ("found", "verdict"), [([], Verdict.NOT_FOUND), ([1, 2], Verdict.CANNOT_TELL)]
)
async def test_none_or_two_stored_completions_are_not_the_one(
    vendor: LoopbackVendor, stored: CallLookup, found: list[int], verdict: Verdict
) -> None:
    vendor.reply = Reply.of_json(200, {"object": "list", "data": [completion() for _ in found]})
    assert (await stored.find("", ATTEMPT)).verdict is verdict


@pytest.mark.parametrize(
    "changed",
    [
        {"metadata": {ATTEMPT_KEY: "task-1/2"}},
        {"metadata": None},
        {"usage": None},
        {"usage": {"prompt_tokens": 0, "completion_tokens": 0}},
        {"usage": {"prompt_tokens": 40, "completion_tokens": 10**12}},
    ],
    ids=str,
)
async def test_a_stored_completion_of_another_call_or_without_a_meter_is_no_record(
    vendor: LoopbackVendor, stored: CallLookup, changed: dict[str, Any]
) -> None:
    vendor.reply = Reply.of_json(200, completion(**changed))
    assert (await stored.find(COMPLETION, ATTEMPT)).verdict is Verdict.CANNOT_TELL


class Started:
    """What a call told of itself before its answer."""

    def __init__(self) -> None:
        self.told: list[str] = []

    async def __call__(self, call_id: str) -> None:
        self.told.append(call_id)


def request(started: Started, model: str) -> CompletionRequest:
    return CompletionRequest(
        model=model,
        prompt=Prompt.from_text(PROMPT),
        max_output_tokens=64,
        temperature=0.2,
        timeout_seconds=30.0,
        request_id=ATTEMPT,
        on_started=started,
    )


def provider(vendor: LoopbackVendor, lookup: LookupKind | None) -> OpenAIProvider:
    dialect = dialects.OPENAI if lookup is LookupKind.OPENAI_STORED else dialects.OPENROUTER
    return OpenAIProvider("e", vendor.base_url + PATH, KEY, dialect=dialect, lookup=lookup)


@pytest.mark.parametrize("header", [{}, {"x-generation-id": GENERATION}], ids=["event", "header"])
async def test_a_call_that_can_be_looked_up_tells_its_id_once_before_its_answer(
    vendor: LoopbackVendor, header: dict[str, str]
) -> None:
    answer = wires.answer(wires.OpenAIWire(), ["yes ", "no"], "openai/gpt-4o")
    vendor.reply = Reply(headers={**answer.headers, **header}, script=answer.script)
    started, called = Started(), provider(vendor, LookupKind.OPENROUTER_GENERATION)
    response = await called.complete(request(started, "openai/gpt-4o"))
    await called.aclose()
    expected = header.get("x-generation-id", "c-1")
    assert started.told == [expected]
    assert response.provider_request_id == expected
    assert "store" not in vendor.received[0].body


async def test_a_call_cut_before_its_body_has_told_its_id(vendor: LoopbackVendor) -> None:
    vendor.reply = Reply(headers={"x-generation-id": GENERATION}, script=(Act.CUT,))
    started, called = Started(), provider(vendor, LookupKind.OPENROUTER_GENERATION)
    with pytest.raises(ProviderError) as failed:
        await called.complete(request(started, "openai/gpt-4o"))
    await called.aclose()
    assert failed.value.kind.may_have_been_charged
    assert started.told == [GENERATION]


async def test_a_call_that_cannot_be_looked_up_tells_nothing(vendor: LoopbackVendor) -> None:
    vendor.reply = wires.answer(wires.OpenAIWire(), ["yes"], "openai/gpt-4o")
    started, called = Started(), provider(vendor, None)
    await called.complete(request(started, "openai/gpt-4o"))
    await called.aclose()
    assert started.told == []


async def test_a_completion_is_stored_under_our_id_only_where_it_is_looked_up(
    vendor: LoopbackVendor,
) -> None:
    vendor.reply = wires.answer(wires.OpenAIWire(), ["yes"], "gpt-4o")
    for lookup in (LookupKind.OPENAI_STORED, None):
        called = provider(vendor, lookup)
        model = "gpt-4o"
        await called.complete(request(Started(), model))
        await called.aclose()
    kept, plain = (received.body for received in vendor.received)
    assert (kept["store"], kept["metadata"]) == (True, {ATTEMPT_KEY: ATTEMPT})
    assert "store" not in plain
    assert "metadata" not in plain
