"""The endpoints the conformance suite holds against one another."""

from collections.abc import Callable
from dataclasses import dataclass, field

import httpx2

from pointwork.providers import dialects
from pointwork.providers.anthropic import AnthropicProvider
from pointwork.providers.google_genai import GoogleGenAIProvider
from pointwork.providers.openai import OpenAIProvider
from pointwork.providers.port import Provider
from tests.fakes.vendor_wire import AnthropicWire, GoogleWire, LlamaCppWire, OpenAIWire, Wire

Transport = httpx2.AsyncBaseTransport | None
Build = Callable[[str, str, Transport], Provider]
"""From base URL, key and transport."""


@dataclass(frozen=True, kw_only=True)
class Flavour:
    name: str
    model: str
    wire: Wire = field(default_factory=OpenAIWire)
    build: Build
    origin: str
    """Where the endpoint really is; a test on a socket puts its own in its place."""
    path: str = ""
    sends_schema: bool = True


def _openai(name: str, dialect: dialects.Dialect) -> Build:
    def build(base_url: str, key: str, transport: Transport) -> Provider:
        return OpenAIProvider(name, base_url, key, dialect=dialect, transport=transport)

    return build


def _anthropic(base_url: str, key: str, transport: Transport) -> Provider:
    return AnthropicProvider("anthropic", base_url, key, transport=transport)


def _google(base_url: str, key: str, transport: Transport) -> Provider:
    return GoogleGenAIProvider("google", base_url, key, transport=transport)


OPENAI = Flavour(
    name="openai",
    origin="https://api.openai.com",
    model="gpt-4o",
    build=_openai("openai", dialects.OPENAI),
    path="/v1",
)
LLAMA_CPP = Flavour(
    name="llama.cpp",
    origin="http://127.0.0.1:8080",
    model="smollm2-135m",
    wire=LlamaCppWire(),
    build=_openai("llama.cpp", dialects.LLAMA_CPP),
    path="/v1",
)
ANTHROPIC = Flavour(
    name="anthropic",
    origin="https://api.anthropic.com",
    model="claude-sonnet-4-6",
    wire=AnthropicWire(),
    build=_anthropic,
)
GOOGLE = Flavour(
    name="google",
    origin="https://generativelanguage.googleapis.com",
    model="gemini-2.5-flash",
    wire=GoogleWire(),
    build=_google,
)

COMPATIBLE = (
    Flavour(
        name="deepseek",
        origin="https://api.deepseek.com",
        model="deepseek-chat",
        build=_openai("deepseek", dialects.DEEPSEEK),
        sends_schema=False,
    ),
    Flavour(
        name="moonshot",
        origin="https://api.moonshot.ai",
        model="kimi-k2",
        build=_openai("moonshot", dialects.MOONSHOT),
        path="/v1",
        sends_schema=False,
    ),
    Flavour(
        name="xai",
        origin="https://api.x.ai",
        model="grok-4",
        build=_openai("xai", dialects.XAI),
        path="/v1",
    ),
    Flavour(
        name="openrouter",
        origin="https://openrouter.ai",
        model="openai/gpt-4o",
        build=_openai("openrouter", dialects.OPENROUTER),
        path="/api/v1",
    ),
    Flavour(
        name="vllm",
        origin="http://192.168.1.20:8000",
        model="qwen2.5-7b-instruct",
        build=_openai("vllm", dialects.VLLM),
        path="/v1",
    ),
    Flavour(
        name="ollama",
        origin="http://localhost:11434",
        model="llama3.2:1b",
        build=_openai("ollama", dialects.OLLAMA),
        path="/v1",
    ),
)
MAIN = (OPENAI, LLAMA_CPP, ANTHROPIC, GOOGLE)
EVERY = (*MAIN, *COMPATIBLE)
