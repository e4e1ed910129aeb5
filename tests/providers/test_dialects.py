"""What endpoints that speak OpenAI's format are sent, and what their meters mean."""

import json
from typing import Any

import pytest

from pointwork.contract.failures import ProviderFailureKind as Kind
from pointwork.contract.outcome import FinishReason, TokenUsage
from pointwork.contract.prompt import AnswerSchema
from pointwork.providers.port import ProviderError
from tests.fakes import vendor_wire as wires
from tests.fakes.vendor_flavours import ANTHROPIC, COMPATIBLE, GOOGLE, LLAMA_CPP, OPENAI, Flavour
from tests.fakes.vendor_reply import InProcessVendor, Reply
from tests.providers.conftest import ANSWER, Bench

BY_NAME = {flavour.name: flavour for flavour in (OPENAI, LLAMA_CPP, *COMPATIBLE)}
CLOSED: AnswerSchema = {
    "type": "object",
    "properties": {
        "towns": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"name": {"type": "string"}},
                "required": ["name"],
                "additionalProperties": False,
            },
        }
    },
    "required": ["towns"],
    "additionalProperties": False,
}


async def body_sent(flavour: Flavour, **request: Any) -> dict[str, Any]:
    bench = Bench(flavour, InProcessVendor())
    model = request.get("model", flavour.model)
    bench.vendor.reply = wires.answer(flavour.wire, ["yes"], model)
    await bench.provider.complete(bench.request(**request))
    await bench.provider.aclose()
    return bench.vendor.received[0].body


async def usage_of(name: str, **usage: object) -> TokenUsage | None:
    flavour = BY_NAME[name]
    bench = Bench(flavour, InProcessVendor())
    chunk = {"model": flavour.model, "choices": [], "usage": usage}
    reply = wires.answer(flavour.wire, ["yes"], flavour.model, usage=False)
    bench.vendor.reply = Reply(script=(*reply.script[:-1], wires.sse(chunk), reply.script[-1]))
    response = await bench.provider.complete(bench.request())
    await bench.provider.aclose()
    return response.usage


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("openai", "max_completion_tokens"),
        ("xai", "max_completion_tokens"),
        ("llama.cpp", "max_tokens"),
        ("vllm", "max_tokens"),
        ("deepseek", "max_tokens"),
    ],
)
async def test_the_output_limit_is_always_sent_once(name: str, field: str) -> None:
    body = await body_sent(BY_NAME[name])
    assert {key: value for key, value in body.items() if key.startswith("max_")} == {field: 64}


@pytest.mark.parametrize("name", BY_NAME)
async def test_every_call_is_a_stream_that_ends_with_its_usage(name: str) -> None:
    body = await body_sent(BY_NAME[name])
    assert body["stream"] is True
    assert body["stream_options"] == {"include_usage": True}


@pytest.mark.parametrize(
    ("name", "model", "is_sent"),
    [
        ("openai", "gpt-4o", True),
        ("openai", "gpt-4.1-mini", True),
        ("openai", "o3", False),
        ("openai", "gpt-5", False),
        ("openai", "gpt-7-nano", False),
        ("openrouter", "openai/gpt-4o", True),
        ("openrouter", "openai/gpt-5-mini", False),
        ("openrouter", "anthropic/claude-opus-4.8", False),
        ("openrouter", "anthropic/claude-sonnet-5", False),
        ("openrouter", "meta-llama/llama-3.3-70b-instruct", True),
        ("llama.cpp", "smollm2-135m", True),
    ],
)
async def test_a_temperature_goes_only_to_models_that_take_one(
    name: str, model: str, is_sent: bool
) -> None:
    body = await body_sent(BY_NAME[name], model=model, temperature=0.3)
    assert body.get("temperature") == (0.3 if is_sent else None)


@pytest.mark.parametrize(
    ("model", "temperature"), [("claude-sonnet-4-6", 0.3), ("claude-sonnet-5", None)]
)
@pytest.mark.filterwarnings("error")
async def test_claude_is_sent_a_temperature_only_where_it_takes_one(
    model: str, temperature: float | None
) -> None:
    body = await body_sent(ANTHROPIC, model=model, temperature=0.3)
    assert body.get("temperature") == temperature


async def test_a_temperature_above_an_endpoints_scale_is_the_top_of_it() -> None:
    assert (await body_sent(BY_NAME["moonshot"], temperature=1.7))["temperature"] == 1.0
    assert (await body_sent(ANTHROPIC, temperature=1.7))["temperature"] == 1.0
    assert (await body_sent(LLAMA_CPP, temperature=1.7))["temperature"] == 1.7


async def test_a_seed_goes_to_those_that_take_one() -> None:
    assert (await body_sent(LLAMA_CPP, seed=7))["seed"] == 7
    assert (await body_sent(GOOGLE, seed=7))["generationConfig"]["seed"] == 7
    assert "seed" not in await body_sent(BY_NAME["deepseek"], seed=7)
    assert "seed" not in await body_sent(LLAMA_CPP)


async def test_strict_mode_is_asked_for_only_with_a_schema_it_takes() -> None:
    async def is_strict(schema: AnswerSchema) -> bool:
        body = await body_sent(OPENAI, answer_schema=schema)
        strict: bool = body["response_format"]["json_schema"]["strict"]
        return strict

    assert await is_strict(CLOSED)
    assert not await is_strict({**CLOSED, "additionalProperties": True})
    assert not await is_strict({**CLOSED, "required": []})
    loose_inside = json.loads(json.dumps(CLOSED))
    del loose_inside["properties"]["towns"]["items"]["additionalProperties"]
    assert not await is_strict(loose_inside)


async def test_a_relay_is_told_to_keep_no_data() -> None:
    body = await body_sent(BY_NAME["openrouter"])
    assert body["provider"] == {"require_parameters": True, "data_collection": "deny"}


@pytest.mark.parametrize("model", ["gpt-oss:120b-cloud", "deepseek-v3.1:671b-cloud", "kimi:cloud"])
async def test_a_model_a_local_server_relays_to_a_cloud_is_refused_unsent(model: str) -> None:
    bench = Bench(BY_NAME["ollama"], InProcessVendor())
    with pytest.raises(ProviderError) as caught:
        await bench.provider.complete(bench.request(model=model))
    assert caught.value.kind is Kind.LOCAL_MODEL_UNAVAILABLE
    assert not bench.vendor.received


async def test_reasoning_that_a_meter_leaves_out_is_counted_as_output() -> None:
    usage = await usage_of(
        "xai",
        prompt_tokens=12,
        completion_tokens=1,
        total_tokens=399,
        completion_tokens_details={"reasoning_tokens": 386},
    )
    assert usage == TokenUsage(input_tokens=12, output_tokens=387, reasoning_tokens=386)


async def test_cached_input_is_found_where_each_vendor_puts_it() -> None:
    counts = {"prompt_tokens": 100, "completion_tokens": 5, "total_tokens": 105}
    expected = TokenUsage(input_tokens=100, output_tokens=5, cached_input_tokens=64)
    assert await usage_of("deepseek", **counts, prompt_cache_hit_tokens=64) == expected
    assert await usage_of("moonshot", **counts, cached_tokens=64) == expected
    details = {"cached_tokens": 64, "cache_write_tokens": 20}
    written = expected.model_copy(update={"cache_write_tokens": 20})
    assert await usage_of("openrouter", **counts, prompt_tokens_details=details) == written


@pytest.mark.parametrize(
    "counts",
    [
        {"prompt_tokens": 0, "completion_tokens": 5},
        {"prompt_tokens": 10, "completion_tokens": 0},
        {"prompt_tokens": -10, "completion_tokens": 5},
        {"prompt_tokens": 10, "completion_tokens": -5},
        {"prompt_tokens": "many", "completion_tokens": 5},
        {"prompt_tokens": 10},
        {},
        {"prompt_tokens": 10, "completion_tokens": 5, "cached_tokens": 11},
        {
            "prompt_tokens": 10,
            "completion_tokens": 5,
            "completion_tokens_details": {"reasoning_tokens": 6},
        },
    ],
)
async def test_a_meter_that_cannot_be_right_counts_as_unknown(counts: dict[str, object]) -> None:
    assert await usage_of("openai", **counts) is None


async def test_a_refusal_in_words_is_a_filtered_answer() -> None:
    bench = Bench(OPENAI, InProcessVendor())
    choice = {"index": 0, "delta": {"refusal": ANSWER}, "finish_reason": None}
    refusal = wires.sse({"model": OPENAI.model, "choices": [choice]})
    ending = OPENAI.wire.ending(OPENAI.model)
    bench.vendor.reply = Reply(script=(refusal, *ending))
    failure = await bench.failure()
    assert failure.kind is Kind.CONTENT_FILTERED
    assert failure.usage is not None


async def test_text_after_the_end_is_malformed() -> None:
    bench = Bench(OPENAI, InProcessVendor())
    ending = OPENAI.wire.ending(OPENAI.model)
    bench.vendor.reply = Reply(script=(ending[0], OPENAI.wire.text(ANSWER, OPENAI.model)))
    assert (await bench.failure()).kind is Kind.MALFORMED_RESPONSE


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("error", Kind.STREAM_INTERRUPTED),
        ("abort", Kind.STREAM_INTERRUPTED),
        ("insufficient_system_resource", Kind.STREAM_INTERRUPTED),
        ("a_reason_of_tomorrow", Kind.MALFORMED_RESPONSE),
    ],
)
async def test_an_end_for_any_other_reason_is_a_failure(reason: str, kind: Kind) -> None:
    bench = Bench(OPENAI, InProcessVendor())
    bench.vendor.reply = wires.answer(OPENAI.wire, [ANSWER], OPENAI.model, finish=reason)
    assert (await bench.failure()).kind is kind


async def test_a_reason_without_the_last_event_is_no_end_for_claude() -> None:
    bench = Bench(ANTHROPIC, InProcessVendor())
    reply = wires.answer(ANTHROPIC.wire, [ANSWER], ANTHROPIC.model)
    bench.vendor.reply = Reply(script=reply.script[:-1])
    assert (await bench.failure()).kind is Kind.STREAM_INTERRUPTED


async def test_a_blocked_prompt_is_a_filtered_answer_for_gemini() -> None:
    bench = Bench(GOOGLE, InProcessVendor())
    feedback = {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}}
    meter = {"usageMetadata": {"promptTokenCount": 9, "totalTokenCount": 9}}
    bench.vendor.reply = Reply(script=(wires.sse({**feedback, **meter}),))
    failure = await bench.failure()
    assert failure.kind is Kind.CONTENT_FILTERED
    assert failure.usage == TokenUsage(input_tokens=9, output_tokens=0)


async def test_an_answer_gemini_would_continue_is_cut_and_not_asked_for_again() -> None:
    bench = Bench(GOOGLE, InProcessVendor())
    candidate = {"index": 0, "finishReason": "CONTINUATION", "continuationToken": "YQ=="}
    chunk = wires.sse({"modelVersion": GOOGLE.model, "candidates": [candidate]})
    bench.vendor.reply = Reply(script=(GOOGLE.wire.text("half", GOOGLE.model), chunk))
    response = await bench.provider.complete(bench.request())
    assert response.finish_reason is FinishReason.LENGTH
    assert len(bench.vendor.received) == 1
