"""Who may use the loaded model, and when it may be swapped."""

import asyncio
import random
from datetime import UTC, datetime, timedelta

import pytest

from pointwork.contract.failures import ProviderFailureKind
from pointwork.contract.prompt import Prompt
from pointwork.local.lane import LocalLane
from pointwork.local.provider import LocalProvider
from pointwork.policy.documents.host import WaitBounds
from pointwork.providers.port import CompletionRequest, CompletionResponse, ProviderError
from tests.fakes.local_runtime import FakeRuntime, FakeServer


class House:
    """A local provider over fakes, with a gate that holds every generation until it is opened."""

    def __init__(self) -> None:
        self.runtime = FakeRuntime()
        # Loads take no time here, so that no card keeps its model for what a swap would cost.
        self.lane = LocalLane(
            self.runtime, in_flight_max=3, swap_seconds_guess=0, load_pauses_seconds=()
        )
        self.gate = asyncio.Event()
        self.servers: list[FakeServer] = []
        self.provider = LocalProvider(self.lane, self._serve, {"a", "b"}, WaitBounds())

    def _serve(self, base_url: str) -> FakeServer:
        self.servers.append(FakeServer(self.runtime, base_url, self.gate))
        return self.servers[-1]

    def ask(
        self,
        model: str,
        timeout_seconds: float = 60,
        *,
        priority: int = 3,
        queued_at: datetime | None = None,
        give_up_at: datetime | None = None,
        max_output_tokens: int = 8,
    ) -> asyncio.Task[CompletionResponse]:
        request = CompletionRequest(
            model=model,
            prompt=Prompt.from_text("Hello."),
            max_output_tokens=max_output_tokens,
            temperature=0.0,
            timeout_seconds=timeout_seconds,
            request_id="test-request",
            priority=priority,
            queued_at=queued_at,
            give_up_at=give_up_at,
        )
        return asyncio.create_task(self.provider.complete(request))

    async def until_running(self, *models: str) -> None:
        async with asyncio.timeout(10):
            while sorted(self.runtime.running) != sorted(models):
                await asyncio.sleep(0)


async def settle() -> None:
    """Let every task run until it waits for something."""
    for _ in range(50):
        await asyncio.sleep(0)


@pytest.fixture
def lane() -> House:
    return House()


async def test_requests_for_the_loaded_model_run_together(lane: House) -> None:
    calls = [lane.ask("a") for _ in range(3)]
    await lane.until_running("a", "a", "a")
    lane.gate.set()
    assert [answer.served_model for answer in await asyncio.gather(*calls)] == ["a", "a", "a"]
    assert lane.runtime.loads == ["a"]
    assert len(lane.servers) == 1


@pytest.mark.req("DC-21")
async def test_a_swap_waits_for_running_generations(lane: House) -> None:
    first = lane.ask("a")
    await lane.until_running("a")
    second = lane.ask("b")
    await settle()
    assert lane.runtime.loads == ["a"]
    lane.gate.set()
    await asyncio.gather(first, second)
    assert lane.runtime.loads == ["a", "b"]
    assert lane.runtime.swaps_under_a_generation == 0
    assert [server.is_closed for server in lane.servers] == [True, False]


async def test_work_for_the_loaded_model_goes_before_a_swap_that_can_wait(lane: House) -> None:
    first = lane.ask("a")
    await lane.until_running("a")
    swap, late = lane.ask("b"), lane.ask("a")
    await lane.until_running("a", "a")
    lane.gate.set()
    await asyncio.gather(first, swap, late)
    assert lane.runtime.loads == ["a", "b"]


@pytest.mark.req("DC-21")
async def test_work_for_the_loaded_model_waits_behind_a_swap_that_is_due(lane: House) -> None:
    first = lane.ask("a", priority=5)
    await lane.until_running("a")
    due = lane.ask("b", priority=1)
    # It could run for as long as anything may, and the other is to start within 15 s.
    long = lane.ask("a", priority=5, max_output_tokens=10_000)
    await settle()
    assert lane.runtime.running == ["a"]
    lane.gate.set()
    await asyncio.gather(first, due, long)
    assert lane.runtime.loads == ["a", "b", "a"]
    assert lane.lane.status().past_bound == 0


async def test_who_began_past_the_bound_is_counted(lane: House) -> None:
    lane.gate.set()
    await lane.ask("a", priority=1, queued_at=datetime.now(UTC) - timedelta(minutes=1))
    await lane.ask("a", priority=5, queued_at=datetime.now(UTC) - timedelta(minutes=1))
    status = lane.lane.status()
    assert (status.served, status.past_bound) == (2, 1)
    assert status.longest_wait_seconds >= 60


async def test_no_more_than_the_hosts_number_run_together(lane: House) -> None:
    calls = [lane.ask("a") for _ in range(5)]
    await lane.until_running("a", "a", "a")
    status = lane.lane.status()
    assert (status.loaded, status.in_flight, status.queues["a"].waiting) == ("a", 3, 2)
    lane.gate.set()
    await asyncio.gather(*calls)
    assert lane.lane.status().served == 5
    assert lane.lane.status().queues == {}


@pytest.mark.req("DC-21")
@pytest.mark.parametrize("seed", range(5))
async def test_models_never_overlap_whatever_the_order_of_arrival(lane: House, seed: int) -> None:
    lane.gate.set()
    dice = random.Random(seed)
    calls: list[asyncio.Task[CompletionResponse]] = []
    for _ in range(60):
        calls.append(lane.ask(dice.choice("ab")))
        for _ in range(dice.randrange(6)):
            await asyncio.sleep(0)
        if dice.random() < 0.2:
            dice.choice(calls).cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    assert lane.runtime.swaps_under_a_generation == 0
    assert sum(server.wrong_loads for server in lane.servers) == 0
    assert lane.runtime.running == []
    assert all(server.is_closed for server in lane.servers[:-1])
    assert (await lane.ask("b")).served_model == "b"


async def test_a_cancelled_call_lets_the_swap_go_on(lane: House) -> None:
    first = lane.ask("a")
    await lane.until_running("a")
    second = lane.ask("b")
    await settle()
    first.cancel()
    await lane.until_running("b")
    lane.gate.set()
    assert (await second).served_model == "b"


async def test_a_model_that_does_not_start_is_local_model_unavailable(lane: House) -> None:
    lane.gate.set()
    lane.runtime.broken.add("b")
    with pytest.raises(ProviderError, match="b did not start; see its log") as failure:
        await lane.ask("b")
    assert failure.value.kind is ProviderFailureKind.LOCAL_MODEL_UNAVAILABLE
    assert (await lane.ask("a")).served_model == "a"


async def test_a_model_of_no_alias_is_refused_before_anything_is_loaded(lane: House) -> None:
    with pytest.raises(ProviderError, match="none of the local models") as failure:
        await lane.ask("c")
    assert failure.value.kind is ProviderFailureKind.MODEL_NOT_FOUND
    assert lane.runtime.loads == []


async def test_a_call_that_waits_past_its_time_gives_up_its_place(lane: House) -> None:
    first = lane.ask("a")
    await lane.until_running("a")
    with pytest.raises(ProviderError, match=r"did not come free within 0\.01 s") as failure:
        await lane.ask("b", timeout_seconds=0.01)
    assert failure.value.kind is ProviderFailureKind.LOCAL_MODEL_UNAVAILABLE
    lane.gate.set()
    await first
    assert lane.runtime.loads == ["a"]


async def test_a_generation_has_its_whole_time_however_long_it_waited(lane: House) -> None:
    lane.runtime.loading.clear()
    call = lane.ask("a", give_up_at=datetime.now(UTC) + timedelta(hours=1))
    await settle()
    lane.runtime.loading.set()
    lane.gate.set()
    await call
    assert lane.servers[0].requests[0].timeout_seconds == 60


async def test_no_generation_goes_on_when_whoever_asked_has_given_up(lane: House) -> None:
    lane.gate.set()
    await lane.ask("a", give_up_at=datetime.now(UTC) + timedelta(seconds=30))
    assert lane.servers[0].requests[0].timeout_seconds <= 30


async def test_a_model_that_failed_to_load_is_not_tried_at_every_call(lane: House) -> None:
    lane.gate.set()
    await lane.ask("a")
    lane.runtime.broken.add("b")
    failures = await asyncio.gather(lane.ask("b"), lane.ask("b"), return_exceptions=True)
    lane.runtime.broken.clear()
    again = await asyncio.gather(lane.ask("b"), return_exceptions=True)
    assert all("did not start" in str(each) for each in [*failures, *again])
    assert lane.lane.status().failed_loads == {"b": "b did not start; see its log"}
    assert lane.runtime.loads == ["a"]


async def test_a_load_that_fails_is_tried_again_before_anybody_is_told(lane: House) -> None:
    lane.gate.set()
    lane.lane = LocalLane(lane.runtime, swap_seconds_guess=0, load_pauses_seconds=(0.0, 0.0))
    lane.provider = LocalProvider(lane.lane, lane._serve, {"a", "b"}, WaitBounds())
    lane.runtime.failing_loads = 2
    assert (await lane.ask("b")).served_model == "b"
    lane.runtime.failing_loads = 3
    with pytest.raises(ProviderError, match="a did not start"):
        await lane.ask("a")
    assert lane.lane.status().failed_loads == {"a": "a did not start; see its log"}


async def test_a_lane_that_closes_turns_away_who_waits(lane: House) -> None:
    running = lane.ask("a")
    await lane.until_running("a")
    waiting = lane.ask("b")
    await settle()
    await lane.provider.aclose()
    with pytest.raises(ProviderError, match="shutting down"):
        await waiting
    lane.gate.set()
    assert (await running).served_model == "a"


async def test_a_server_that_died_is_reached_at_its_new_address(lane: House) -> None:
    lane.gate.set()
    await lane.ask("a")
    lane.runtime.die()
    await lane.ask("a")
    assert [server.base_url for server in lane.servers] == [
        "http://127.0.0.1:1/v1",
        "http://127.0.0.1:2/v1",
    ]
    assert [server.is_closed for server in lane.servers] == [True, False]


async def test_closing_closes_the_adapter(lane: House) -> None:
    lane.gate.set()
    await lane.ask("a")
    await lane.provider.aclose()
    assert lane.servers[0].is_closed
