"""What a caller of the gateway gets, is told and is charged where the first model fails.

The faults, the 100 ms before them and the 3 s until a silent vendor is given up are those the peers
were measured with; a healthy second model answers after 100 ms. Each fault is met with a whole
answer asked for, with a stream of a class whose text is held back until it is whole (the default),
and with one of a class whose tokens stream. Every trial is a first meeting: the endpoint is healed
before it. Then one endpoint is known to be down, and nobody calls it.

The last line is ``faults=… fallback_p50_ms=… told=…/… recorded=…/… billed_bad=…``: the median time
to a whole answer, the hang left out; how many callers were told which model failed them, why, and
which answered; how many failed calls are on record with that reason and no less money than was
billed; and how many calls without an answer the vendor billed.
"""

import argparse
import asyncio
import json
import socket
import statistics
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2

from bench.deployment import WORKER, Deployment, Failing
from bench.faulty_vendor import BILLED, LATENCY_SECONDS, Fault, FaultyVendor, faulty_vendor
from bench.mock_upstream import CALL_NANO_USD, mock_upstream
from pointwork.contract.failures import ProviderFailureKind as Kind
from pointwork.contract.outcome import AttemptState, AttemptSummary, Settlement, TaskOutcome
from pointwork.ledger.access_keys import AccessKeys
from pointwork.ledger.identities import Identities, service_of
from pointwork.ledger.outcomes import OutcomeLog
from pointwork.ledger.signals import UNHEALTHY_AFTER_FAILURES, SignalStore

ROUNDS = 5
TIMEOUT_SECONDS = 3
"""As Portkey's and TensorZero's were set for the hang."""
HEALTHY, CALLER = "healthy", "bench"
WHOLE, HELD, LIVE = "whole", "held back", "live"
PACKS = {WHOLE: "open", HELD: "open", LIVE: "live"}
PROMPT = "hello " * 156
"""With the template held for it some 1000 tokens, which is what the vendor bills."""
ANSWER = "mock answer " * 8
RECORDED_SECONDS_MAX = 30
KINDS = {
    Fault.ERROR_500: Kind.OVERLOADED,
    Fault.ERROR_429: Kind.RATE_LIMITED,
    Fault.ERROR_429_WAIT: Kind.RATE_LIMITED,
    Fault.HANG: Kind.TIMEOUT,
    Fault.MALFORMED: Kind.MALFORMED_RESPONSE,
    Fault.CUT_BEFORE: Kind.STREAM_INTERRUPTED,
    Fault.CUT_MIDDLE: Kind.STREAM_INTERRUPTED,
    Fault.REFUSED: Kind.CONNECTION_FAILED,
}
CHARGED = BILLED | {Fault.HANG}
"""Who may have metered the call is charged its worst case (docs/operating/provider-faults.md)."""


@dataclass
class Told:
    """What one caller got."""

    text: str = ""
    said: dict[str, Any] = field(default_factory=dict)
    """The ``pointwork`` object, or the task as it is fetched after ``answer_replaced``."""
    task_id: str = ""
    ms: float = 0
    was_replaced: bool = False

    def names(self, fault: Fault) -> bool:
        """Whether it says who failed and why, and who answered."""
        moves = [(each["from_model"], each["to_model"]) for each in self.said["fallbacks"]]
        causes = [each["cause"] for each in self.said["fallbacks"]]
        return (moves, causes, self.said["served_model"]) == (
            [(fault, HEALTHY)],
            [KINDS[fault]],
            HEALTHY,
        )


@dataclass
class Line:
    """One fault, met in one way."""

    ms: list[float] = field(default_factory=list)
    told: int = 0
    recorded: int = 0
    replaced: int = 0
    tries: int = 0
    """Calls of the failing model."""
    charged: set[str] = field(default_factory=set)
    """What the failed calls are on record with."""


class Caller:
    """A client of the gateway with a key of its own."""

    def __init__(self, http: httpx2.AsyncClient, url: str) -> None:
        self._http = http
        self._url = url

    async def ask(self, model: str, way: str) -> Told:
        body: dict[str, Any] = {"model": f"{PACKS[way]}/{model}", "max_tokens": 1000}
        body |= {"messages": [{"role": "user", "content": PROMPT}], "stream": way != WHOLE}
        began = time.perf_counter()
        told = await (self._whole(body) if way == WHOLE else self._streamed(body))
        told.ms = (time.perf_counter() - began) * 1000
        if told.text.strip() != ANSWER.strip():
            raise ValueError(f"{model}, {way}: the answer is {told.text[:40]!r}")
        return told

    async def _whole(self, body: dict[str, Any]) -> Told:
        answered = await self._http.post(f"{self._url}/chat/completions", json=body)
        answered.raise_for_status()
        found, said = answered.json(), answered.json()["pointwork"]
        stated = answered.headers["pointwork-served-model"], answered.headers["pointwork-fallbacks"]
        if stated != (said["served_model"], str(len(said["fallbacks"]))):
            raise ValueError(f"headers and body differ: {stated}")
        return Told(found["choices"][0]["message"]["content"], said, said["task_id"])

    async def _streamed(self, body: dict[str, Any]) -> Told:
        told = Told()
        async with self._http.stream("POST", f"{self._url}/chat/completions", json=body) as sent:
            sent.raise_for_status()
            async for line in sent.aiter_lines():
                if not line.startswith("data: {"):
                    continue
                event = json.loads(line.removeprefix("data: "))
                if "error" in event:
                    return await self._fetched(
                        event["error"]["code"], event["pointwork"]["task_id"]
                    )
                told.text += (event.get("choices") or [{}])[0].get("delta", {}).get("content") or ""
                told.said = event.get("pointwork", told.said)
        told.task_id = told.said["task_id"]
        return told

    async def _fetched(self, code: str, task_id: str) -> Told:
        """The answer of a task whose stream ended because another model answered."""
        if code != "answer_replaced":
            raise ValueError(f"the stream ended with {code}")
        at = f"{self._url}/tasks/{task_id}"
        task = await self._http.get(at, params={"wait_seconds": RECORDED_SECONDS_MAX})
        answer = await self._http.get(f"{at}/answer")
        for each in (task, answer):
            each.raise_for_status()
        return Told(answer.json()["text"], task.json(), task_id, was_replaced=True)


class Meeting:
    """Trials of one deployment."""

    def __init__(self, deployment: Deployment, caller: Caller, vendor: FaultyVendor) -> None:
        self._signals = SignalStore(deployment.engine)
        self._outcomes = OutcomeLog(deployment.engine)
        self._caller = caller
        self._vendor = vendor
        self.lines: dict[tuple[Fault, str], Line] = defaultdict(Line)
        self.plain: dict[str, list[float]] = defaultdict(list)
        """Milliseconds by way, where the healthy model is the first."""

    def heal(self, fault: Fault) -> None:
        self._signals.record_endpoint(fault, True, None, None, datetime.now(UTC))

    async def round(self) -> None:
        for way in (WHOLE, HELD, LIVE):
            self.plain[way].append((await self._caller.ask(HEALTHY, way)).ms)
            for fault in Fault:
                self.heal(fault)
                await self._meet(fault, way)

    async def _meet(self, fault: Fault, way: str) -> None:
        line, billed = self.lines[fault, way], self._vendor.billed[fault]
        told = await self._caller.ask(fault, way)
        attempts = await self.attempts(told.task_id)
        failed = [each for each in attempts if each.model == fault]
        line.ms.append(told.ms)
        line.told += told.names(fault)
        line.replaced += told.was_replaced
        line.tries += len(failed)
        bill = (self._vendor.billed[fault] - billed) * CALL_NANO_USD
        line.recorded += _is_recorded(fault, attempts, bill)
        line.charged |= {f"${each.cost_nano_usd / 1e9:.3f} {each.settlement}" for each in failed}

    async def attempts(self, task_id: str) -> list[AttemptSummary]:
        """Of a task that ended: the answer comes a moment before its end is on record."""
        await self._ended(task_id)
        return await asyncio.to_thread(self._outcomes.attempts, task_id)

    async def _ended(self, task_id: str) -> TaskOutcome:
        async with asyncio.timeout(RECORDED_SECONDS_MAX):
            while (found := await asyncio.to_thread(self._outcomes.find, task_id)) is None:
                await asyncio.sleep(0.02)
        return found

    async def known_down(self, rounds: int) -> "Passed":
        """Ask for a whole answer where the first model's endpoint is known to be down."""
        fault = Fault.HANG
        self.heal(fault)
        now = datetime.now(UTC)
        for _ in range(UNHEALTHY_AFTER_FAILURES):
            self._signals.record_endpoint(fault, False, KINDS[fault], None, now)
        before = self._vendor.asked[fault]
        told = [await self._caller.ask(fault, WHOLE) for _ in range(rounds)]
        if any(each.said["served_model"] != HEALTHY for each in told):
            raise ValueError("another model than the healthy one answered")
        return Passed(
            ms=[each.ms for each in told],
            calls=self._vendor.asked[fault] - before,
            told=sum(each.said["used_fallback"] for each in told),
        )


@dataclass(frozen=True, kw_only=True)
class Passed:
    """What became of requests past an endpoint that is known to be down."""

    ms: list[float]
    calls: int
    """Of that endpoint."""
    told: int
    """How many were told that another model than the route's own answered."""


def _is_recorded(fault: Fault, attempts: list[AttemptSummary], bill_nano_usd: int) -> bool:
    """Whether the failed call has its reason and its money on record, and the next one its own."""
    if [each.model for each in attempts] != [fault, HEALTHY]:
        return False
    bad, good = attempts
    if fault in CHARGED:
        is_charged = bad.settlement is Settlement.AT_LEAST and bad.cost_nano_usd >= bill_nano_usd
    else:
        is_charged = bad.cost_nano_usd == 0
    return (
        is_charged
        and (bad.state, bad.failure) == (AttemptState.FAILED, KINDS[fault])
        and (good.state, good.cost_nano_usd) == (AttemptState.DONE, CALL_NANO_USD)
    )


async def run(rounds: int) -> None:
    with tempfile.TemporaryDirectory(prefix="pw-bench-") as name:
        async with mock_upstream() as healthy, faulty_vendor() as vendor:
            healthy.latency_seconds = LATENCY_SECONDS
            urls: dict[str, str] = {fault: vendor.base_url for fault in Fault}
            with socket.create_server(("127.0.0.1", 0)) as closed:
                urls[Fault.REFUSED] = f"http://127.0.0.1:{closed.getsockname()[1]}/v1"
            deployment = Deployment(
                Path(name),
                healthy.base_url,
                dict.fromkeys(PACKS.values(), "100000.00"),
                [HEALTHY],
                workers=(WORKER, "gateway"),
                failing=Failing(
                    base_urls=urls,
                    next_model=HEALTHY,
                    timeout_seconds=TIMEOUT_SECONDS,
                    rows={PACKS[LIVE]: {"tokens_stream": True}},
                ),
            )
            await deployment.start()
            try:
                await _measure(deployment, vendor, rounds)
            finally:
                await deployment.stop()


async def _measure(deployment: Deployment, vendor: FaultyVendor, rounds: int) -> None:
    now = datetime.now(UTC)
    Identities(deployment.engine).add(service_of(CALLER, now), CALLER)
    token = AccessKeys(deployment.engine).create(CALLER, CALLER, now)
    keys = {"authorization": f"Bearer {token}"}
    async with httpx2.AsyncClient(timeout=120, headers=keys) as http:
        caller = Caller(http, f"{deployment.gateway_url}/v1")
        await asyncio.gather(*(caller.ask(HEALTHY, way) for way in PACKS for _ in range(3)))
        meeting = Meeting(deployment, caller, vendor)
        for number in range(rounds):
            await meeting.round()
            print(f"round {number + 1} of {rounds}", flush=True)
        passed = await meeting.known_down(rounds)
    _report(meeting, vendor, passed)


def _report(meeting: Meeting, vendor: FaultyVendor, passed: Passed) -> None:
    for way, ms in meeting.plain.items():
        print(f"  no fault        {way:<10} {_spread(ms)}")
    for (fault, way), line in meeting.lines.items():
        trials = len(line.ms)
        print(
            f"  {fault:<15} {way:<10} {_spread(line.ms)}  told {line.told}/{trials}"
            f"  recorded {line.recorded}/{trials}  calls {line.tries}"
            f"  charged {', '.join(sorted(line.charged))}"
            + (f"  answer_replaced {line.replaced}/{trials}" if line.replaced else "")
        )
    print(
        f"  known to be down {WHOLE:<9} {_spread(passed.ms)}  told {passed.told}/{len(passed.ms)}"
        f"  calls of it {passed.calls}"
    )
    lines = meeting.lines.items()
    quick = [x.ms for (fault, way), x in lines if way == WHOLE and fault is not Fault.HANG]
    whole = [ms for each in quick for ms in each]
    trials = sum(len(line.ms) for _, line in lines)
    told, recorded = (sum(getattr(x, name) for _, x in lines) for name in ("told", "recorded"))
    print(
        f"faults={len(Fault)} fallback_p50_ms={statistics.median(whole):.0f} told={told}/{trials} "
        f"recorded={recorded}/{trials} billed_bad={vendor.billed.total()}"
    )


def _spread(ms: list[float]) -> str:
    return f"{min(ms):6.0f} /{statistics.median(ms):6.0f} /{max(ms):6.0f} ms"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    asyncio.run(run(parser.parse_args().rounds))


if __name__ == "__main__":
    main()
