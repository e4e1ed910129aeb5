"""A pretended vendor for each way to reach one, and the checks on what may leave in an error."""

import logging
import traceback
from collections.abc import AsyncIterator

import pytest

from pointwork.contract.prompt import AnswerSchema, Prompt
from pointwork.providers.port import CompletionRequest, OnText, Provider, ProviderError
from tests.fakes.open_door import cleared
from tests.fakes.vendor_flavours import EVERY, MAIN, Flavour
from tests.fakes.vendor_reply import FakeVendor, InProcessVendor, LoopbackVendor

KEY = "sk-canary-4f1d7c2b9e"
PROMPT = "the heron canary stands in the reeds"
ANSWER = "the answer canary sings at dusk"

_LOGGERS = (
    "",
    "openai",
    "openai._base_client",
    "anthropic",
    "anthropic._base_client",
    "google_genai._api_client",
    "google_genai.models",
    "httpx2",
    "httpcore2",
)


class Bench:
    """One endpoint under test: its adapter, and the pretended vendor behind it."""

    def __init__(self, flavour: Flavour, vendor: FakeVendor) -> None:
        self.flavour = flavour
        self.wire = flavour.wire
        self.vendor = vendor
        self.provider: Provider = flavour.build(
            vendor.base_url + flavour.path, KEY, vendor.transport
        )

    def request(
        self,
        *,
        model: str = "",
        prompt: Prompt | None = None,
        timeout_seconds: float = 30.0,
        temperature: float = 0.2,
        seed: int | None = None,
        answer_schema: AnswerSchema | None = None,
        on_text: OnText | None = None,
    ) -> CompletionRequest:
        return CompletionRequest(
            model=model or self.flavour.model,
            prompt=prompt or Prompt.from_text(PROMPT),
            max_output_tokens=64,
            temperature=temperature,
            timeout_seconds=timeout_seconds,
            request_id="attempt-1",
            seed=seed,
            answer_schema=answer_schema,
            clearance=cleared(self.flavour.name),
            on_text=on_text,
        )

    async def failure(
        self, *, timeout_seconds: float = 30.0, prompt: Prompt | None = None
    ) -> ProviderError:
        """The failure of one call, checked for what it must not hold."""
        with pytest.raises(ProviderError) as caught:
            await self.provider.complete(
                self.request(timeout_seconds=timeout_seconds, prompt=prompt)
            )
        assert_holds_no_content(caught.value)
        assert len(self.vendor.received) <= 1
        return caught.value

    async def timed_out(self) -> ProviderError:
        """The failure of a call that had reached the vendor when its time was up.

        A busy machine may spend a short time before anything is sent; the call gets more then.
        """
        failure = await self.failure(timeout_seconds=0.3)
        return failure if self.vendor.received else await self.failure()


def assert_holds_no_content(error: ProviderError) -> None:
    assert error.__cause__ is None
    assert error.__context__ is None
    held = [str(error), repr(error), repr(error.args), repr(vars(error))]
    for text in (*held, *traceback.format_exception(error)):
        assert_no_canary(text)


def assert_no_canary(text: str) -> None:
    for canary in (KEY, PROMPT, ANSWER, "canary"):
        assert canary not in text


async def _bench(flavour: Flavour, vendor: FakeVendor) -> AsyncIterator[Bench]:
    async with vendor:
        bench = Bench(flavour, vendor)
        yield bench
        await bench.provider.aclose()


@pytest.fixture(params=EVERY, ids=lambda flavour: flavour.name)
async def every(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    """Every endpoint flavour, over an in-process transport."""
    async for bench in _bench(request.param, InProcessVendor(request.param.origin)):
        yield bench


@pytest.fixture(
    params=[(flavour, is_socket) for flavour in MAIN for is_socket in (False, True)],
    ids=lambda param: f"{param[0].name}-{'socket' if param[1] else 'in-process'}",
)
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    """The main flavours, each in process and on a real socket."""
    flavour, is_socket = request.param
    vendor = LoopbackVendor() if is_socket else InProcessVendor(flavour.origin)
    async for each in _bench(flavour, vendor):
        yield each


@pytest.fixture(params=MAIN, ids=lambda flavour: flavour.name)
async def on_socket(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    """The main flavours on a real socket."""
    async for each in _bench(request.param, LoopbackVendor()):
        yield each


@pytest.fixture(autouse=True)
async def logs_hold_no_content(caplog: pytest.LogCaptureFixture) -> AsyncIterator[None]:
    """Every test here runs with every logger at DEBUG, and none may show a key or a text."""
    for name in _LOGGERS:
        caplog.set_level(logging.DEBUG, logger=name)
    yield
    for record in caplog.get_records("call"):
        assert_no_canary(record.getMessage())
        assert_no_canary(repr(record.args))
        if record.exc_info:
            assert_no_canary("".join(traceback.format_exception(record.exc_info[1])))
