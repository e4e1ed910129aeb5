"""A call that ends in the middle of its answer, wherever that is (reliability case 17).

Nothing is left held when its task has ended, and what the vendor has streamed by then is paid: a
byte of text is a token at most, so no meter can have counted more than the bytes that came.
"""

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import httpx2
import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.invoke import InvokeActivities
from pointwork.contract.canonical import canonical_json
from pointwork.contract.decision import Candidate
from pointwork.contract.failures import ProviderFailureKind
from pointwork.contract.money import PriceTier, worst_case_nano_usd
from pointwork.contract.outcome import (
    AttemptState,
    Invocation,
    Invoke,
    Settlement,
    TaskStatus,
)
from pointwork.contract.prompt import AnswerSchema, Prompt
from pointwork.ledger.attempts import AttemptLog, BudgetRefusedError
from pointwork.ledger.content import SealedContent
from pointwork.ledger.listeners import Listeners
from pointwork.providers.departure import Clearance
from pointwork.providers.openai import OpenAIProvider
from pointwork.providers.port import Provider
from tests.fakes.open_door import OpenDoor
from tests.fakes.scripted_provider import Script, ScriptedProvider
from tests.fakes.vendor_flavours import OPENAI
from tests.fakes.vendor_reply import Act, LoopbackVendor, Reply
from tests.integration.ledger.conftest import Ledger
from tests.integration.ledger.records import (
    NOW,
    UNLIMITED,
    accept,
    candidate,
    decision,
    outcome,
    window,
)
from workers.adapters import NamedContracts, PlaceholderRestorer
from workers.streaming import GatewaySinks

TIER = PriceTier(
    input_per_mtok=3_000_000_000,
    output_per_mtok=15_000_000_000,
    cached_input_per_mtok=300_000_000,
    cache_write_per_mtok=3_750_000_000,
)
OUTPUT_NANO_USD_PER_TOKEN = 15_000
TEXT = "Übermorgen fährt der Zug über die Brücke nach Köln. 明後日、列車は橋を渡ります。 🚆 "
CUTS = 20


@dataclass
class CutStream(httpx2.AsyncByteStream):
    """The first bytes of an answer, and then what ends it."""

    data: bytes
    error: BaseException | None = None
    is_read: asyncio.Event = field(default_factory=asyncio.Event)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self.data
        # Whoever asks for more has taken in all that came.
        self.is_read.set()
        if self.error is not None:
            raise self.error
        await asyncio.Event().wait()


@dataclass
class CutTransport(httpx2.AsyncBaseTransport):
    stream: CutStream

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        await request.aread()
        headers = {"content-type": "text/event-stream"}
        return httpx2.Response(200, headers=headers, stream=self.stream)


def answer_so_far(cut: int) -> bytes:
    """The wire's bytes up to cut ``cut`` of ``CUTS``: in the middle of events, of characters."""
    wire, model = OPENAI.wire, OPENAI.model
    pieces = [TEXT[at : at + 7] for at in range(0, len(TEXT), 7)]
    whole = b"".join([*wire.opening(model), *(wire.text(piece, model) for piece in pieces)])
    return whole[: len(whole) * cut // (CUTS - 1)]


def text_bytes(wire: bytes) -> int:
    """Of the answer in the events that are whole."""
    *events, _ = wire.split(b"\n\n")
    chunks = [json.loads(event.removeprefix(b"data: ")) for event in events]
    texts = [choice["delta"]["content"] or "" for chunk in chunks for choice in chunk["choices"]]
    return len("".join(texts).encode())


def priced(text: Prompt) -> Candidate:
    output_tokens_max = len(TEXT.encode())
    estimate = worst_case_nano_usd(
        (TIER,), input_tokens_max=len(text.text.encode()), output_tokens_max=output_tokens_max
    )
    return candidate(OPENAI.model, estimate).model_copy(
        update={"prices": (TIER,), "max_output_tokens": output_tokens_max, "endpoint": "openai"}
    )


def reserved_call(ledger: Ledger, task_id: str) -> Invoke:
    """Accepted, and its worst case held as the reserve activity does it."""
    prompt = Prompt.from_text("Wann fährt der Zug?")
    accepted = accept(ledger.vault, task_id, canonical_json(prompt))
    call = Invoke(
        task_id=task_id,
        number=1,
        candidate=priced(prompt),
        content=accepted.refs["prompt"],
        temperature=0.0,
    )
    ledger.budgets.reserve(
        record=decision(task_id),
        part_id=f"{task_id}/1",
        task_id=task_id,
        invoke=call,
        amount_nano_usd=call.candidate.estimate_nano_usd,
        task_ceiling_nano_usd=UNLIMITED,
        windows=[window("day", UNLIMITED)],
        price_version="test-1",
        expires_in_seconds=3600,
        now=NOW,
    )
    return call


class HeldDoor(OpenDoor):
    """Lets nobody leave before ``go_on``, just before the call counts as sent."""

    def __init__(self) -> None:
        self.is_reached = threading.Event()
        self.go_on = threading.Event()

    def clear(self, call: Invoke, prompt: Prompt, schema: AnswerSchema | None) -> Clearance:
        self.is_reached.set()
        assert self.go_on.wait(60)
        return super().clear(call, prompt, schema)


class HeldCommit(AttemptLog):
    """Commits no answer before it may."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__(ledger.engine, ledger.vault)
        self.is_reached = threading.Event()
        self.go_on = threading.Event()

    def finish(self, *args: Any, **kwargs: Any) -> Invocation:
        self.is_reached.set()
        assert self.go_on.wait(60)
        return super().finish(*args, **kwargs)


def activities(
    ledger: Ledger,
    provider: Provider,
    door: OpenDoor | None = None,
    attempts: AttemptLog | None = None,
) -> InvokeActivities:
    return InvokeActivities(
        attempts or ledger.attempts,
        SealedContent(ledger.vault),
        ledger.signals,
        {"openai": provider},
        PlaceholderRestorer(),
        NamedContracts(),
        BudgetRefusedError,
        door or OpenDoor(),
        GatewaySinks(Listeners(ledger.engine), ledger.vault),
        heartbeat_seconds=0.01,
    )


def ended(ledger: Ledger, task_id: str, streamed: bytes) -> list[AttemptState]:
    """What the attempts are when the task has ended, all of its money checked."""
    logged = ledger.outcomes.log(outcome(task_id, TaskStatus.CANCELLED), None, NOW)
    assert logged.settlement is Settlement.AT_LEAST
    assert logged.cost_nano_usd >= text_bytes(streamed) * OUTPUT_NANO_USD_PER_TOKEN
    query = f"SELECT posted_nano_usd, state FROM hold_part WHERE task_id = '{task_id}'"
    assert ledger.rows(query) == [{"posted_nano_usd": logged.cost_nano_usd, "state": "posted"}]
    return [attempt.state for attempt in logged.attempts]


async def test_a_cancelled_call_pays_for_what_was_streamed_wherever_it_was_cut(
    ledger: Ledger,
) -> None:
    """As a worker's cancel or shutdown, or a caller who goes away and takes the task along."""
    for cut in range(CUTS):
        task_id, stream = f"t-{cut}", CutStream(answer_so_far(cut))
        provider = OpenAIProvider("openai", OPENAI.origin, "key", transport=CutTransport(stream))
        environment = ActivityEnvironment()
        call = reserved_call(ledger, task_id)
        invoke = activities(ledger, provider).invoke_model
        running = asyncio.create_task(environment.run(invoke, call))
        async with asyncio.timeout(60):
            await stream.is_read.wait()
        environment.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        await provider.aclose()
        assert ended(ledger, task_id, stream.data) == [AttemptState.FAILED]
    (total,) = ledger.rows("SELECT SUM(posted_nano_usd) AS nano_usd FROM hold_part")
    assert ledger.budgets.read(["day"]) == {"day": (UNLIMITED, int(total["nano_usd"]))}


async def test_a_call_cancelled_before_it_was_sent_costs_nothing(ledger: Ledger) -> None:
    stream, door = CutStream(b""), HeldDoor()
    provider = OpenAIProvider("openai", OPENAI.origin, "key", transport=CutTransport(stream))
    environment, call = ActivityEnvironment(), reserved_call(ledger, "t-1")
    invoke = activities(ledger, provider, door).invoke_model
    running = asyncio.create_task(environment.run(invoke, call))
    assert await asyncio.to_thread(door.is_reached.wait, 60)
    environment.cancel()
    await asyncio.sleep(0)
    door.go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await running
    await provider.aclose()
    assert not stream.is_read.is_set()
    logged = ledger.outcomes.log(outcome("t-1", TaskStatus.CANCELLED), None, NOW)
    assert [each.state for each in logged.attempts] == [AttemptState.FAILED]
    assert (logged.cost_nano_usd, logged.settlement) == (0, Settlement.EXACT)


@pytest.mark.parametrize("is_cancelled", [False, True])
async def test_a_worker_beats_on_while_it_commits_and_a_cancel_then_loses_no_answer(
    ledger: Ledger, is_cancelled: bool
) -> None:
    """The server would give the call to another worker, which pays for it again."""
    attempts, environment, beaten = HeldCommit(ledger), ActivityEnvironment(), asyncio.Event()
    environment.on_heartbeat = lambda *_: beaten.set()
    call = reserved_call(ledger, "t-1")
    provider = ScriptedProvider("openai", Script())
    invoke = activities(ledger, provider, attempts=attempts).invoke_model
    running = asyncio.create_task(environment.run(invoke, call))
    assert await asyncio.to_thread(attempts.is_reached.wait, 60)
    beaten.clear()
    async with asyncio.timeout(60):
        await beaten.wait()
    if is_cancelled:
        environment.cancel()
        await asyncio.sleep(0)
    attempts.go_on.set()
    await asyncio.wait([running])
    assert running.cancelled() == is_cancelled
    logged = ledger.outcomes.log(outcome("t-1", TaskStatus.CANCELLED), None, NOW)
    assert [each.state for each in logged.attempts] == [AttemptState.DONE]


async def test_a_call_whose_generator_is_closed_is_unknown_and_paid_in_full(
    ledger: Ledger,
) -> None:
    """As when a loop is torn down under it: no code of the call runs after its last byte."""
    for cut in range(CUTS):
        task_id, stream = f"t-{cut}", CutStream(answer_so_far(cut), GeneratorExit())
        provider = OpenAIProvider("openai", OPENAI.origin, "key", transport=CutTransport(stream))
        call = reserved_call(ledger, task_id)
        with pytest.raises(GeneratorExit):
            await ActivityEnvironment().run(activities(ledger, provider).invoke_model, call)
        await provider.aclose()
        assert ended(ledger, task_id, stream.data) == [AttemptState.UNKNOWN]
    (total,) = ledger.rows("SELECT SUM(posted_nano_usd) AS nano_usd FROM hold_part")
    assert int(total["nano_usd"]) == CUTS * call.candidate.estimate_nano_usd


async def test_a_call_whose_connection_breaks_pays_for_what_was_streamed(ledger: Ledger) -> None:
    """On a real socket."""
    async with LoopbackVendor() as vendor:
        for cut in range(CUTS):
            task_id, streamed = f"t-{cut}", answer_so_far(cut)
            vendor.reply = Reply(script=(streamed, Act.CUT) if streamed else (Act.CUT,))
            provider = OpenAIProvider("openai", f"{vendor.base_url}/v1", "key")
            call = reserved_call(ledger, task_id)
            with pytest.raises(ApplicationError) as failed:
                await ActivityEnvironment().run(activities(ledger, provider).invoke_model, call)
            await provider.aclose()
            assert failed.value.type == ProviderFailureKind.STREAM_INTERRUPTED
            assert ended(ledger, task_id, streamed) == [AttemptState.FAILED]
