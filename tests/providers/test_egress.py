"""The one door out: where a key may go, and what goes with it."""

import asyncio
import re
from dataclasses import replace
from urllib.parse import quote

import httpx2
import pytest

from pointwork.contract.failures import ProviderFailureKind as Kind
from pointwork.providers import egress
from pointwork.providers.egress import (
    EgressRefusedError,
    ResponseTooLargeError,
    closed_client,
    http_client,
    single_exchange,
)
from pointwork.providers.origin import Origin
from pointwork.providers.port import ProviderError
from tests.fakes.open_door import cleared
from tests.fakes.vendor_flavours import EVERY, Flavour
from tests.fakes.vendor_reply import InProcessVendor, LoopbackVendor, Reply
from tests.providers.conftest import KEY, PROMPT, Bench, assert_no_canary

CLEARED = cleared("vendor")
MEBIBYTE = 2**20

REFUSED_URLS = [
    "",
    "api.example.com",
    "//api.example.com/v1",
    "/v1",
    "ftp://api.example.com",
    "file:///etc/passwd",
    "file://localhost/etc/passwd",
    "gopher://api.example.com",
    "data:text/plain,hello",
    "javascript:alert(1)",
    "ws://api.example.com",
    "unix:///run/docker.sock",
    "https://",
    "https:///v1",
    "https://user@api.example.com",
    "https://user:pass@api.example.com",
    "https://api.example.com@attacker.example",
    "https://:@api.example.com",
    "https://api.example.com/v1?to=elsewhere",
    "https://api.example.com/v1#fragment",
    "https://api.example.com\\@attacker.example",
    "https:\\\\api.example.com",
    "https://api.example.com:99999",
    "https://api.example.com:port",
    "https://api example.com",
    "https://api.example.com\n.attacker.example",
    "https://api_example.com",
    "https://-api.example.com",
    "https://api..example.com",
    "https://*.example.com",
    "https://%61pi.example.com",
    "http://api.example.com/v1",
    "http://metadata.google.internal",
    "http://localhost.attacker.example",
    "http://127.0.0.1.nip.io",
    "http://localhost.",
    "http://8.8.8.8",
    "http://[2001:4860:4860::8888]",
    "http://2130706433",
    "https://2130706433",
    "http://0x7f000001",
    "https://0x7f.0.0.1",
    "http://0177.0.0.1",
    "https://0177.0.0.1",
    "http://127.1",
    "https://127.1",
    "https://127.0.0.1.",
    "http://127.0.0.01",
    "http://169.254.169.254/latest/meta-data",
    "https://169.254.169.254",
    "http://[::ffff:169.254.169.254]",
    "https://[::ffff:a9fe:a9fe]",
    "http://[fe80::1]",
    "https://[fe80::1%25eth0]",
    "http://0.0.0.0",
    "https://0.0.0.0",
    "http://[::]",
    "https://224.0.0.1",
    "https://[ff02::1]",
    "https://255.255.255.255",
    "https://240.0.0.1",
    "http://[::ffff:8.8.8.8]",
    "https://[::1",
    "https://①②⑦.⓪.⓪.①",
    "http://2852039166",
    "https://0xa9fea9fe",
    "http://0251.0376.0251.0376",
    "https://169.254.43518",
    "http://[::169.254.169.254]",
    "http://[64:ff9b::169.254.169.254]",
    "http://[2002:a9fe:a9fe::]",
    "http://[fd00:ec2::254]/latest/meta-data",
    "https://[fd20:ce::254]",
    "http://100.100.100.200",
    "https://100.100.100.200",
    "http://metadata",
    "https://①⑥⑨.254.169.254",
    "https://169。254。169。254",
]

ALLOWED_URLS = {
    "https://api.openai.com/v1": Origin("https", "api.openai.com", 443),
    "https://API.OpenAI.com/v1": Origin("https", "api.openai.com", 443),
    "https://openrouter.ai:8443/api/v1": Origin("https", "openrouter.ai", 8443),
    "http://127.0.0.1:8080/v1": Origin("http", "127.0.0.1", 8080),
    "http://localhost:11434/v1": Origin("http", "localhost", 11434),
    "http://[::1]:8080": Origin("http", "::1", 8080),
    "http://192.168.1.20:8000/v1": Origin("http", "192.168.1.20", 8000),
    "http://10.0.0.7:8000": Origin("http", "10.0.0.7", 8000),
    "http://[fd00::7]:8000": Origin("http", "fd00::7", 8000),
    "https://192.168.1.20": Origin("https", "192.168.1.20", 443),
    "https://bücher.example": Origin("https", "xn--bcher-kva.example", 443),
}


@pytest.mark.parametrize("url", REFUSED_URLS)
def test_a_base_url_that_may_lead_elsewhere_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="base_url"):
        http_client(url)


@pytest.mark.parametrize("url", ALLOWED_URLS)
def test_a_usual_base_url_names_its_origin(url: str) -> None:
    assert Origin.of(url) == ALLOWED_URLS[url]


@pytest.mark.parametrize(
    "elsewhere",
    [
        "https://attacker.example/v1",
        "http://vendor.example/v1",
        "https://vendor.example:8443/v1",
        "https://vendor.example.attacker.example/v1",
        "https://vendor.example@attacker.example/v1",
        "https://169.254.169.254/latest",
    ],
)
async def test_a_request_to_another_origin_is_not_sent(elsewhere: str) -> None:
    vendor = InProcessVendor()
    client = http_client(
        vendor.base_url, credential=("authorization", f"Bearer {KEY}"), transport=vendor.transport
    )
    async with client, single_exchange(CLEARED):
        with pytest.raises(EgressRefusedError, match="an origin other than") as caught:
            await client.post(elsewhere, json={})
    assert vendor.received == []
    assert_no_canary(repr(caught.value))


@pytest.mark.parametrize("location", [url for url in REFUSED_URLS if url.isprintable()])
async def test_a_redirect_to_any_of_them_is_not_followed(location: str) -> None:
    async with LoopbackVendor() as vendor:
        vendor.reply = Reply.of_json(307, {}, location=quote(location, safe=":/@?#[]\\%"))
        credential = ("authorization", f"Bearer {KEY}")
        async with http_client(vendor.base_url, credential=credential) as client:
            response = await client.post("/v1", json={})
    assert response.status_code == 307
    assert (vendor.connections, len(vendor.received)) == (1, 1)


NAME_A_HOST = [url for url in REFUSED_URLS if re.search(r"://[^/]", url)]


@pytest.mark.parametrize("url", NAME_A_HOST)
async def test_the_client_of_an_endpoint_sends_nothing_to_any_of_them(url: str) -> None:
    vendor = InProcessVendor()
    credential = ("authorization", f"Bearer {KEY}")
    client = http_client(vendor.base_url, credential=credential, transport=vendor.transport)
    async with client, single_exchange(CLEARED):
        with pytest.raises((httpx2.TransportError, httpx2.InvalidURL)) as caught:
            await client.post(url, json={})
    assert vendor.received == []
    assert_no_canary(repr(caught.value))


@pytest.mark.parametrize("is_in_a_call", [True, False])
async def test_a_request_that_nothing_cleared_does_not_leave_the_house(is_in_a_call: bool) -> None:
    vendor = InProcessVendor()
    async with http_client(vendor.base_url, transport=vendor.transport) as client:
        if is_in_a_call:
            async with single_exchange():
                with pytest.raises(EgressRefusedError, match="that nothing cleared"):
                    await client.post("/v1", json={})
        else:
            with pytest.raises(EgressRefusedError, match="that nothing cleared"):
                await client.post("/v1", json={})
    assert vendor.received == []


@pytest.mark.parametrize("flavour", EVERY, ids=lambda flavour: flavour.name)
async def test_a_clearance_for_another_endpoint_lets_no_call_out(flavour: Flavour) -> None:
    vendor = InProcessVendor()
    bench = Bench(flavour, vendor)
    request = replace(bench.request(), clearance=cleared("another-endpoint"))
    with pytest.raises(ProviderError) as caught:
        await bench.provider.complete(request)
    refused = {Kind.CONNECTION_FAILED, Kind.LOCAL_MODEL_UNAVAILABLE}
    assert caught.value.kind in refused
    assert vendor.received == vendor.asked == []


@pytest.mark.parametrize(
    ("url", "is_ours"),
    [
        ("http://127.0.0.1:8000", True),
        ("http://localhost:8000", True),
        ("http://10.1.2.3:8000", True),
        ("https://192.168.4.5", True),
        ("http://[fd00::7]:8000", True),
        ("https://gpu.house.example", False),
        ("https://8.8.8.8", False),
        ("https://172.32.0.1", False),
    ],
)
def test_only_an_address_that_no_name_service_can_move_is_in_the_house(
    url: str, is_ours: bool
) -> None:
    assert Origin.of(url).is_in_house is is_ours


async def test_a_second_request_within_one_call_is_not_sent() -> None:
    vendor = InProcessVendor()
    async with http_client(vendor.base_url, transport=vendor.transport) as client:
        async with single_exchange(CLEARED):
            await client.post("/v1", json={})
            with pytest.raises(EgressRefusedError, match="second request"):
                await client.post("/v1", json={})
        assert len(vendor.received) == 1


async def test_the_request_in_the_callers_hands_never_holds_the_key() -> None:
    async with LoopbackVendor() as vendor:
        vendor.reply = Reply.of_json(401, {})
        credential = ("authorization", f"Bearer {KEY}")
        async with http_client(vendor.base_url, credential=credential) as client:
            response = await client.post("/v1", json={}, headers={"authorization": "Bearer other"})
    assert vendor.received[0].headers["authorization"] == f"Bearer {KEY}"
    assert_no_canary(repr(response.request.headers.raw))


async def test_without_a_credential_no_authorization_is_sent() -> None:
    async with LoopbackVendor() as vendor, http_client(vendor.base_url) as client:
        await client.post("/v1", json={}, headers={"authorization": "Bearer other"})
    assert "authorization" not in vendor.received[0].headers


@pytest.mark.parametrize("key", ["", " ", "sk canary", "sk-canary\n", "\tsk", "ключ-canary"])
def test_a_key_that_no_header_can_hold_is_refused_without_being_shown(key: str) -> None:
    with pytest.raises(ValueError, match="the API key") as caught:
        http_client("https://vendor.example", credential=("x-api-key", key))
    assert_no_canary(repr(caught.value))


async def test_what_the_environment_adds_stays_here(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "OPENAI_API_KEY": "sk-environment",
        "OPENAI_ORG_ID": "org-environment",
        "OPENAI_PROJECT_ID": "project-environment",
        "OPENAI_BASE_URL": "https://environment.example",
        "OPENAI_CUSTOM_HEADERS": "Authorization: Bearer environment\nX-Other: environment",
        "ANTHROPIC_API_KEY": "sk-environment",
        "ANTHROPIC_BASE_URL": "https://environment.example",
        "ANTHROPIC_CUSTOM_HEADERS": "x-api-key: environment\nX-Other: environment",
        "GOOGLE_API_KEY": "environment",
        "GOOGLE_GEMINI_BASE_URL": "https://environment.example",
        "GOOGLE_GENAI_USE_VERTEXAI": "true",
        "HTTPS_PROXY": "http://127.0.0.1:9",
        "HTTP_PROXY": "http://127.0.0.1:9",
        "ALL_PROXY": "http://127.0.0.1:9",
    }.items():
        monkeypatch.setenv(name, value)
    for flavour in EVERY:
        async with LoopbackVendor() as vendor:
            bench = Bench(flavour, vendor)
            await bench.failure()
            await bench.provider.aclose()
        [received] = vendor.received
        assert flavour.wire.key(received) == KEY
        assert "environment" not in repr(received)
        assert not [name for name in received.headers if name.startswith(("x-stainless", "openai"))]


async def test_an_answer_larger_than_any_answer_is_not_read_on() -> None:
    vendor = InProcessVendor()
    chunk = b" " * MEBIBYTE
    vendor.reply = Reply(script=(chunk,) * (egress.RESPONSE_BYTES_MAX // MEBIBYTE + 1))
    async with (
        http_client(vendor.base_url, transport=vendor.transport) as client,
        single_exchange(CLEARED),
    ):
        with pytest.raises(ResponseTooLargeError):
            await client.post("/v1", json={})
    assert vendor.client_left.is_set()


def test_the_synchronous_client_an_sdk_holds_sends_nothing() -> None:
    with closed_client() as client, pytest.raises(EgressRefusedError):
        client.post("https://vendor.example", json={"text": PROMPT})


async def test_exchanges_of_calls_side_by_side_are_apart() -> None:
    vendor = InProcessVendor()
    vendor.reply = Reply.of_json(200, {})

    async def one_call(client: httpx2.AsyncClient) -> int | None:
        async with single_exchange(CLEARED) as exchange:
            await client.post("/v1", json={})
            return exchange.status

    async with http_client(vendor.base_url, transport=vendor.transport) as client:
        assert await asyncio.gather(*(one_call(client) for _ in range(20))) == [200] * 20


async def test_a_call_waits_for_no_other_call_to_the_same_endpoint() -> None:
    """Those that a worker may have open are the worker's to count; a hundred are open here."""
    open_now, is_full = 0, asyncio.Event()

    async def answers_when_all_are_there(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        nonlocal open_now
        await reader.readuntil(b"\r\n\r\n")
        open_now += 1
        if open_now == 100:
            is_full.set()
        await is_full.wait()
        writer.write(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(answers_when_all_are_there, "127.0.0.1", 0, backlog=128)
    port = server.sockets[0].getsockname()[1]
    async with asyncio.timeout(60), http_client(f"http://127.0.0.1:{port}") as client:
        answers = await asyncio.gather(*(client.get("/v1") for _ in range(100)))
    assert {answer.status_code for answer in answers} == {204}
    server.close()
