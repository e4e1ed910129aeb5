"""Every byte that leaves goes through one door: nothing else in the code can open a connection.

Temporal's client and the ledger's driver are left out: they speak to the deployment's own server
and database, which hold content only sealed.
"""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DEPLOYED = ("src", "activities", "workers", "workflows")
DEPARTURE = "src/pointwork/providers/departure.py"
EGRESS = "src/pointwork/providers/egress.py"
GATEWAY_CLIENT = "src/pointwork/client/gateway.py"
"""The callers' side of the gateway: it hands a task to Pointwork, and no vendor knows its form."""

OPENS_CONNECTIONS = (
    *("aiohttp", "anyio", "azure", "boto3", "botocore", "curl_cffi", "ftplib", "grpc", "h11", "h2"),
    *("http.client", "httpcore", "httpcore2", "httplib2", "httpx", "httpx2", "imaplib"),
    *("nntplib", "obstore", "paramiko", "poplib", "pycurl", "requests", "smtplib", "socket"),
    *("socketserver", "ssl", "telnetlib", "trio", "urllib.request", "urllib3", "websocket"),
    *("websockets", "xmlrpc"),
    *("anthropic", "google.genai", "openai", "opentelemetry.exporter"),
)
"""Modules that open connections, and SDKs that hold a client of their own."""
ALLOWED = {
    (EGRESS, "httpx2"): "makes every HTTP client",
    (GATEWAY_CLIENT, "httpx2"): "makes the callers' client of Pointwork's own gateway",
    (EGRESS, "httpcore2"): "reads which address a connection led to",
    ("src/pointwork/providers/anthropic.py", "anthropic"): "the SDK is given the egress's client",
    ("src/pointwork/providers/anthropic.py", "httpx2"): "types of the egress's client",
    ("src/pointwork/providers/call.py", "httpx2"): "names of the egress's failures",
    ("src/pointwork/providers/google_genai.py", "google.genai"): "the SDK is given the client",
    ("src/pointwork/providers/google_genai.py", "httpx2"): "types of the egress's client",
    ("src/pointwork/providers/lookup.py", "httpx2"): "types and failures of the egress's client",
    ("src/pointwork/providers/openai.py", "httpx2"): "types of the egress's client",
    ("src/pointwork/providers/openai.py", "openai"): "the SDK is given the egress's client",
    ("src/pointwork/providers/openai_embeddings.py", "httpx2"): "types of the egress's client",
    ("src/pointwork/providers/openai_embeddings.py", "openai"): "the SDK is given the client",
    ("src/pointwork/providers/origin.py", "httpx2"): "reads a URL as the client would",
    ("src/pointwork/providers/relays.py", "httpx2"): "types and failures of the egress's client",
    ("src/pointwork/providers/stream_sender.py", "httpx2"): "types and failures of the client",
    ("workers/otlp.py", "httpx2"): "names of the egress's failures",
    ("workers/notices.py", "httpx2"): "names of the egress's failures",
    ("workers/notices.py", "smtplib"): "names of the mail server's failures",
    ("src/pointwork/providers/mail.py", "smtplib"): "hands a notice to the named mail server",
    ("src/pointwork/providers/mail.py", "ssl"): "checks that server's certificate",
    ("src/pointwork/ledger/object_store.py", "obstore"): "the vault's own store; bytes are sealed",
    (
        "src/pointwork/local/loopback.py",
        "http.client",
    ): "asks model servers of this host's loopback",
    ("src/pointwork/local/loopback.py", "socket"): "looks for a free port of loopback",
    ("src/pointwork/embedded/listening.py", "socket"): "opens the gateway's port on loopback",
    ("src/pointwork/embedded/supervisor.py", "socket"): "names the type of that port's socket",
    ("src/pointwork/embedded/temporal_server.py", "socket"): "looks for free ports of loopback",
    ("workers/gateway.py", "socket"): "listens; it connects to nobody",
}
"""What may import which of them, and what for."""
ASYNCIO_OPENS = frozenset(
    {
        *("open_connection", "open_unix_connection", "create_connection", "sock_connect"),
        *("create_datagram_endpoint", "create_unix_connection"),
    }
)
HTTP_CLIENTS = frozenset(
    {
        *("AsyncClient", "AsyncConnectionPool", "AsyncHTTPProxy", "AsyncHTTPTransport", "Client"),
        *("ConnectionPool", "HTTPTransport", "delete", "get", "patch", "post", "put", "request"),
        "stream",
    }
)
"""Of httpx2 and httpcore2: what makes a client, and what makes a call without one."""
SDK_CLIENTS = {
    "openai.AsyncOpenAI": "http_client",
    "anthropic.AsyncAnthropic": "http_client",
    "genai.Client": "httpx_async_client",
}
"""The argument by which each SDK is handed the egress's client instead of making its own."""


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def files() -> tuple[tuple[str, ast.Module], ...]:
    found = (path for root in DEPLOYED for path in sorted((ROOT / root).rglob("*.py")))
    return tuple((named(path), ast.parse(path.read_text())) for path in found)


def calls(*names: str) -> Iterator[tuple[str, ast.Call]]:
    """Every call of a function or method of one of ``names``, with its file."""
    for file, tree in files():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and called(node) in names:
                yield file, node


def called(node: ast.Call) -> str:
    match node.func:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case _:
            return ""


def imported(tree: ast.Module) -> Iterator[str]:
    """Every module, and every name taken out of one, as a dotted path."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from (each.name for each in names)
            case ast.ImportFrom(module=str(module), names=names):
                yield module
                yield from (f"{module}.{each.name}" for each in names)


def opens(module: str) -> str | None:
    """Which of the modules that open connections ``module`` is, or is a part of."""
    return next((m for m in OPENS_CONNECTIONS if module == m or module.startswith(f"{m}.")), None)


def test_only_what_is_listed_with_a_reason_imports_what_can_open_a_connection() -> None:
    found = {(file, opens(each)) for file, tree in files() for each in imported(tree)}
    assert {each for each in found if each[1] is not None} == ALLOWED.keys()


@pytest.mark.parametrize(
    "line",
    [
        "import httpx",
        "import http.client",
        "from http import client",
        "from urllib import request as fetch",
        "import urllib.request",
        "from google import genai",
        "import requests.sessions",
        "from requests import get",
        "from socket import create_connection",
        "from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter",
    ],
)
def test_every_way_to_write_such_an_import_is_seen(line: str) -> None:
    assert any(opens(each) for each in imported(ast.parse(line)))


@pytest.mark.parametrize(
    "line", ["from urllib.parse import urlsplit", "import http", "import sslx"]
)
def test_what_opens_nothing_is_not_taken_for_it(line: str) -> None:
    assert not any(opens(each) for each in imported(ast.parse(line)))


def test_no_module_is_imported_by_a_computed_name_outside_the_word_lists() -> None:
    by_name = {file for file, _ in calls("import_module", "__import__")}
    assert by_name == {
        "src/pointwork/privacy/language/foreign.py",
        "src/pointwork/privacy/language/gazetteer.py",
    }


def test_no_connection_is_opened_by_hand() -> None:
    """``create_connection`` of the embedded server's port probe goes to loopback by a constant."""
    found = {file for file, _ in calls(*ASYNCIO_OPENS)}
    assert found == {"src/pointwork/embedded/temporal_server.py"}


def test_http_clients_are_made_in_the_egress_and_for_the_gateway_only() -> None:
    makers = {
        file
        for file, node in calls(*HTTP_CLIENTS)
        if isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id in {"httpx2", "httpcore2"}
    }
    assert makers == {EGRESS, GATEWAY_CLIENT}


def test_nothing_that_routes_tasks_loads_the_client_of_the_gateway() -> None:
    clients = {"GatewayClient", "SyncGatewayClient", "gateway"}
    names = {f"pointwork.client.{each}" for each in clients}
    loads = {file for file, tree in files() if names & set(imported(tree))}
    assert loads == {"src/pointwork/client/__init__.py"}


def test_every_sdk_is_handed_the_egresss_client() -> None:
    made = [
        (ast.unparse(node.func), node)
        for _, node in calls("OpenAI", "AsyncOpenAI", "Anthropic", "AsyncAnthropic", "Client")
        if ast.unparse(node.func) not in {"httpx2.Client"}
    ]
    assert {sdk for sdk, _ in made} == SDK_CLIENTS.keys()
    for sdk, node in made:
        given = {each.arg for each in ast.walk(node) if isinstance(each, ast.keyword)}
        assert SDK_CLIENTS[sdk] in given


def test_leave_is_made_at_the_door_and_asked_for_in_four_places() -> None:
    assert {file for file, _ in calls("Clearance")} == {DEPARTURE}
    assert {file for file, _ in calls("clear_call")} == {"workers/departures.py"}
    assert {file for file, _ in calls("clear_lookup")} == {"src/pointwork/providers/lookup.py"}
    assert {file for file, _ in calls("clear_telemetry")} == {"workers/otlp.py"}
    assert {file for file, _ in calls("clear_notice")} == {"workers/notices.py"}
