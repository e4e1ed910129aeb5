"""What is called local is local: five ways in which it might not be, and each is refused (T4)."""

from contextlib import aclosing
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import pytest

from pointwork.contract.failures import ProviderFailureKind as Kind
from pointwork.providers.dialects import LLAMA_CPP, OLLAMA, VLLM, Dialect
from pointwork.providers.openai import OpenAIProvider
from pointwork.providers.port import ProviderError
from pointwork.providers.relays import ASKED_AGAIN_AFTER_SECONDS, RelayCheck
from tests.fakes.name_service import Network
from tests.fakes.vendor_flavours import EVERY, Flavour
from tests.fakes.vendor_reply import SHOW_PATH, SHOWN, Act, InProcessVendor, LoopbackVendor, Reply
from tests.fakes.vendor_wire import OpenAIWire, answer
from tests.providers.conftest import KEY, PROMPT, Bench, assert_holds_no_content

OLLAMA_FLAVOUR = next(each for each in EVERY if each.name == "ollama")
MODEL = OLLAMA_FLAVOUR.model
DETAILS = {"details": {"format": "", "family": "gptoss"}}


def local(dialect: Dialect, vendor: InProcessVendor | LoopbackVendor) -> OpenAIProvider:
    base_url = f"{vendor.base_url}/v1"
    return OpenAIProvider("local", base_url, None, dialect=dialect, transport=vendor.transport)


async def refused(provider: OpenAIProvider, model: str = MODEL) -> ProviderError:
    """The failure of one call that has no leave to go out, as the door gives a local one none."""
    request = replace(Bench(OLLAMA_FLAVOUR, InProcessVendor()).request(model=model), clearance=None)
    async with aclosing(provider):
        with pytest.raises(ProviderError) as caught:
            await provider.complete(request)
    assert_holds_no_content(caught.value)
    assert not caught.value.kind.may_have_been_charged
    return caught.value


async def called(provider: OpenAIProvider, vendor: Any, model: str = MODEL) -> str:
    vendor.reply = answer(OpenAIWire(), ["Fine."], model)
    request = replace(Bench(OLLAMA_FLAVOUR, InProcessVendor()).request(model=model), clearance=None)
    return (await provider.complete(request)).text


@pytest.mark.parametrize(
    "model", ["gpt-oss:120b-cloud", "glm-4.6:cloud", "deepseek-v3.1:671b-Cloud", "me/own:CLOUD"]
)
async def test_a_model_whose_tag_names_the_cloud_is_not_even_asked_for(model: str) -> None:
    async with LoopbackVendor() as vendor:
        failure = await refused(local(OLLAMA, vendor), model)
        assert failure.kind is Kind.LOCAL_MODEL_UNAVAILABLE
        assert vendor.connections == 0


@pytest.mark.parametrize(
    "shown",
    [
        {**DETAILS, "remote_host": "https://ollama.com:443", "remote_model": "gpt-oss:120b"},
        {**DETAILS, "remote_host": "https://ollama.com:443"},
        {**DETAILS, "remote_model": "gpt-oss:120b"},
    ],
)
async def test_a_model_that_its_server_would_relay_under_a_harmless_name_gets_no_prompt(
    shown: dict[str, Any],
) -> None:
    async with LoopbackVendor() as vendor:
        vendor.shown = Reply.of_json(200, shown)
        assert (await refused(local(OLLAMA, vendor))).kind is Kind.LOCAL_MODEL_UNAVAILABLE
        assert vendor.received == []
        (asked,) = vendor.asked
        assert (asked.method, asked.path, asked.body) == ("POST", SHOW_PATH, {"model": MODEL})


@pytest.mark.parametrize(
    "shown",
    [
        Reply.of_json(404, {"error": "model not found"}),
        Reply.of_json(500, DETAILS),
        Reply.of_json(302, DETAILS, location="http://127.0.0.1:9/api/show"),
        Reply.of_json(200, {}),
        Reply.of_json(200, []),
        Reply.of_json(200, {"details": "gguf"}),
        Reply(content_type="text/html", script=(b"<html>",)),
        Reply(script=(b'{"details": {"format"', Act.CUT)),
        Reply(script=(b"[" * 100_000,)),
    ],
)
async def test_a_server_that_does_not_vouch_for_a_model_gets_no_prompt(shown: Reply) -> None:
    async with LoopbackVendor() as vendor:
        vendor.shown = shown
        assert (await refused(local(OLLAMA, vendor))).kind is Kind.LOCAL_MODEL_UNAVAILABLE
        assert vendor.received == []


async def test_a_model_is_asked_about_before_its_first_call_and_not_at_each() -> None:
    vendor = InProcessVendor("http://localhost:11434")
    provider = local(OLLAMA, vendor)
    async with aclosing(provider):
        for model in (MODEL, MODEL, "qwen3:4b", MODEL):
            assert await called(provider, vendor, model) == "Fine."
    assert [each.body["model"] for each in vendor.asked] == [MODEL, "qwen3:4b"]
    assert len(vendor.received) == 4


async def test_a_no_is_not_remembered_and_a_yes_only_for_a_while() -> None:
    vendor = InProcessVendor("http://localhost:11434")
    moment = 0.0
    check = RelayCheck(
        f"{vendor.base_url}/v1", None, transport=vendor.transport, now=lambda: moment
    )
    vendor.shown = Reply.of_json(404, {})
    assert not await check.is_own(MODEL, None)
    vendor.shown = SHOWN
    assert await check.is_own(MODEL, None)
    vendor.shown = Reply.of_json(200, {**DETAILS, "remote_host": "https://ollama.com:443"})
    moment = ASKED_AGAIN_AFTER_SECONDS - 1
    assert await check.is_own(MODEL, None)
    moment = ASKED_AGAIN_AFTER_SECONDS
    assert not await check.is_own(MODEL, None)
    assert len(vendor.asked) == 3
    await check.aclose()


@pytest.mark.parametrize("dialect", [LLAMA_CPP, VLLM])
async def test_servers_that_relay_nothing_are_not_asked(dialect: Dialect) -> None:
    async with LoopbackVendor() as vendor:
        vendor.shown = Reply.of_json(404, {})
        async with aclosing(local(dialect, vendor)) as provider:
            assert await called(provider, vendor) == "Fine."
        assert vendor.asked == []


@pytest.mark.parametrize("base_url", ["https://gpu.house.example", "https://8.8.8.8"])
@pytest.mark.parametrize("dialect", [OLLAMA, LLAMA_CPP, VLLM])
async def test_a_local_call_reaches_no_address_outside_even_where_the_catalogue_names_one(
    dialect: Dialect, base_url: str
) -> None:
    vendor = InProcessVendor(base_url)
    failure = await refused(local(dialect, vendor))
    assert failure.kind in {Kind.CONNECTION_FAILED, Kind.LOCAL_MODEL_UNAVAILABLE}
    assert vendor.received == vendor.asked == []


@pytest.mark.parametrize("dialect", [OLLAMA, LLAMA_CPP])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_of_a_local_server_is_not_followed(dialect: Dialect, status: int) -> None:
    async with LoopbackVendor() as elsewhere, LoopbackVendor() as vendor:
        vendor.reply = Reply.of_json(status, {}, location=f"{elsewhere.base_url}/v1")
        assert (await refused(local(dialect, vendor))).kind is Kind.CONNECTION_FAILED
        assert len(vendor.received) == 1
        assert elsewhere.connections == 0


@pytest.mark.parametrize(
    ("peer", "is_ours"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("192.168.1.20", True),
        ("::ffff:127.0.0.1", True),
        ("93.184.216.34", False),
        ("2606:2800:220:1::1", False),
        ("169.254.169.254", False),
        ("::ffff:93.184.216.34", False),
        ("0.0.0.0", False),
        ("fe80::1%eth0", False),
    ],
)
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
async def test_a_connection_that_leads_out_of_the_house_is_closed_before_a_byte_is_written(
    host: str, peer: str, is_ours: bool
) -> None:
    """Between check and use a name may be bound to another address: the connection itself is asked.

    The pretended network leads to a server that would answer, so only the check can refuse.
    """
    async with LoopbackVendor() as vendor:
        port = urlsplit(vendor.base_url).port
        assert port is not None
        network = Network(port, peer)
        base_url = f"http://{host}:11434/v1"
        provider = OpenAIProvider("local", base_url, KEY, dialect=LLAMA_CPP, transport=network)
        if is_ours:
            async with aclosing(provider):
                assert await called(provider, vendor) == "Fine."
            return
        assert (await refused(provider)).kind is Kind.CONNECTION_FAILED
        assert vendor.received == []
        assert network.closed == 1


@pytest.mark.parametrize("flavour", [each for each in EVERY if each.origin.startswith("https")])
async def test_a_vendors_name_may_lead_anywhere_its_certificate_proves(flavour: Flavour) -> None:
    """An outside endpoint is bound by its certificate, not by an address of the house."""
    vendor = InProcessVendor(flavour.origin)
    bench = Bench(flavour, vendor)
    vendor.reply = answer(flavour.wire, ["Fine."], flavour.model)
    async with aclosing(bench.provider):
        assert (await bench.provider.complete(bench.request())).text == "Fine."
    assert PROMPT in str(vendor.received[0].body)
