"""Each fault of a provider ends as docs/operating/provider-faults.md says (reliability case 29)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import SecretStr
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.invoke import InvokeActivities
from pointwork.contract.canonical import canonical_json
from pointwork.contract.money import PriceTier
from pointwork.contract.outcome import AttemptState, AttemptSummary, Invocation, Invoke, Settlement
from pointwork.contract.prompt import MEDIA_TYPE_PROMPT, Prompt
from pointwork.ledger.attempts import BudgetRefusedError
from pointwork.ledger.content import SealedContent
from pointwork.ledger.listeners import Listeners
from pointwork.ledger.reconcile import reconcile_all
from pointwork.ledger.vault import TaskDraft
from pointwork.policy.bundle import PolicyLibrary
from pointwork.providers.dialects import OPENROUTER
from pointwork.providers.lookup import LookupKind, open_lookup
from pointwork.providers.openai import OpenAIProvider
from pointwork.providers.port import Provider
from tests.fakes import vendor_flavours
from tests.fakes.open_door import OpenDoor
from tests.fakes.vendor_flavours import Flavour
from tests.fakes.vendor_reply import Act, Drip, LoopbackVendor, Reply, Step
from tests.fakes.vendor_wire import INPUT_TOKENS, OUTPUT_TOKENS, answer
from tests.integration.ledger.conftest import Ledger
from tests.integration.ledger.records import NOW, candidate, invoke, outcome, reserve, window
from workers.adapters import NamedContracts, PlaceholderRestorer
from workers.reconciling import lookups_of
from workers.settings import Credentials
from workers.streaming import GatewaySinks

ESTIMATE, METERED = 10_000, INPUT_TOKENS + OUTPUT_TOKENS
"""In nano-USD, where every token costs one."""
ABSURD, ABOVE = 10**12, 6_000
TIMEOUT_SECONDS = 30
CUT_SHORT_SECONDS = {"hang": 3, "slow drip": 3}
"""For the faults that only time ends; long enough for a busy machine to send the request."""

on_sqlite = pytest.mark.parametrize("ledger_url", ["sqlite"], indirect=True)


@dataclass(frozen=True)
class Documented:
    """One row of the table."""

    kind: str
    attempt: AttemptState
    charge: str


def documented() -> dict[str, Documented]:
    text = Path(__file__).parents[3].joinpath("docs/operating/provider-faults.md").read_text()
    table, _, _ = text.partition("**Charge.**")
    rows = re.findall(r"^\| ([^|]+) \| (?:`(\w+)`)? ?\| (failed|done) \| (\w+) \|$", table, re.M)
    return {
        fault: Documented(kind, AttemptState(attempt), charge)
        for fault, kind, attempt, charge in rows
    }


def script_of(flavour: Flavour, *pieces: str) -> tuple[Step, ...]:
    return answer(flavour.wire, pieces or ("one ", "two"), flavour.model).script


def with_meter(script: tuple[Step, ...], tokens: int) -> tuple[Step, ...]:
    """The same answer with every count of its meter at ``tokens``."""
    count = re.compile(rb'("\w*[tT]oken\w*": )\d+')
    return tuple(
        count.sub(rb"\g<1>%d" % tokens, step) if isinstance(step, bytes) else step
        for step in script
    )


def without_meter(script: tuple[Step, ...]) -> tuple[Step, ...]:
    """The same answer in which no event has a meter."""
    name = re.compile(rb'"(usage|usageMetadata)": ')
    return tuple(
        name.sub(b'"unmetered": ', step) if isinstance(step, bytes) else step for step in script
    )


def refusal(flavour: Flavour, situation: str) -> Reply:
    return Reply.of_json(*flavour.wire.refusals("")[situation])


def replies(flavour: Flavour) -> Mapping[str, Reply]:
    """What the vendor does, by the fault's name in the table."""
    wire, model = flavour.wire, flavour.model
    whole = script_of(flavour)
    begun = (*wire.opening(model), wire.text("half of ", model))
    huge = (wire.text("reed " * 20_000, model) for _ in range(105))
    return {
        "reset before body": Reply(script=(Act.CUT,)),
        "rate limited": refusal(flavour, "rate limited"),
        "server error": refusal(flavour, "server error"),
        "hang": Reply(is_silent=True),
        "half stream, cut": Reply(script=(*begun, Act.CUT)),
        "half stream, ended cleanly": Reply(script=begun),
        "usage says 0": Reply(script=with_meter(whole, 0)),
        "usage absent": Reply(script=without_meter(whole)),
        "usage absurd": Reply(script=with_meter(whole, ABSURD)),
        "usage above the estimate": Reply(script=with_meter(whole, ABOVE)),
        "duplicated chunks": Reply(script=tuple(step for step in whole for _ in range(2))),
        "10 MB answer": Reply(script=(*wire.opening(model), *huge, *wire.ending(model))),
        "slow drip": Reply(script=(*begun, Drip(wire.text("", model)))),
    }


ADAPTERS = (vendor_flavours.OPENAI, vendor_flavours.ANTHROPIC, vendor_flavours.GOOGLE)
FAULTS = tuple(replies(vendor_flavours.OPENAI))


def prepared(ledger: Ledger, flavour: Flavour, timeout_seconds: int = TIMEOUT_SECONDS) -> Invoke:
    """Task t-1 with its prompt sealed and one call to the flavour's model reserved."""
    content = canonical_json(Prompt.from_text("What stands in the reeds?"))
    draft = TaskDraft(task_id="t-1", caller="tester", pack="omega", declarations={})
    accepted = ledger.vault.accept(draft, [("prompt", content, MEDIA_TYPE_PROMPT)], NOW)
    reserve(ledger.budgets, "t-1", amount=ESTIMATE, windows=[window("day", 2 * ESTIMATE)])
    one = 1_000_000
    tier = PriceTier(
        input_per_mtok=one,
        output_per_mtok=one,
        cached_input_per_mtok=one,
        cache_write_per_mtok=one,
    )
    chosen = candidate(estimate_nano_usd=ESTIMATE).model_copy(
        update={
            "served_as": flavour.model,
            "prices": (tier,),
            "timeout_seconds": timeout_seconds,
        }
    )
    call = invoke("t-1").model_copy(update={"content": accepted.refs["prompt"]})
    return call.model_copy(update={"candidate": chosen})


async def called(ledger: Ledger, call: Invoke, provider: Provider) -> Invocation | str:
    """The answer of ``invoke-model``, or the type of its failure; it is never retried."""
    activities = InvokeActivities(
        ledger.attempts,
        SealedContent(ledger.vault),
        ledger.signals,
        {call.candidate.endpoint: provider},
        PlaceholderRestorer(),
        NamedContracts(),
        BudgetRefusedError,
        OpenDoor(),
        GatewaySinks(Listeners(ledger.engine), ledger.vault),
    )
    try:
        invocation: Invocation = await ActivityEnvironment().run(activities.invoke_model, call)
    except ApplicationError as error:
        return f"{error.type}" if error.non_retryable else f"{error.type}, retried"
    return invocation


def charge_of(attempt: AttemptSummary) -> str:
    match attempt.settlement, attempt.cost_nano_usd:
        case Settlement.EXACT, 0:
            return "none"
        case Settlement.AT_LEAST, cost if cost == ESTIMATE:
            return "full"
        case Settlement.EXACT, _:
            return "metered"
    return f"{attempt.cost_nano_usd} {attempt.settlement}"


def test_the_table_lists_every_fault_that_is_tried() -> None:
    assert tuple(documented()) == FAULTS


@on_sqlite
@pytest.mark.parametrize("flavour", ADAPTERS, ids=lambda flavour: flavour.name)
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.req("DC-4")
async def test_a_fault_ends_as_it_is_documented_after_one_request(
    ledger: Ledger, flavour: Flavour, fault: str
) -> None:
    timeout_seconds = CUT_SHORT_SECONDS.get(fault, TIMEOUT_SECONDS)
    call, expected = prepared(ledger, flavour, timeout_seconds), documented()[fault]
    async with LoopbackVendor() as vendor:
        vendor.reply = replies(flavour)[fault]
        provider = flavour.build(vendor.base_url + flavour.path, "sk-test", None)
        result = await called(ledger, call, provider)
        await provider.aclose()

    assert len(vendor.received) == 1
    (attempt,) = ledger.outcomes.attempts("t-1")
    assert attempt.state is expected.attempt
    assert (attempt.failure or "") == expected.kind
    assert charge_of(attempt) == expected.charge
    assert result == expected.kind if expected.kind else isinstance(result, Invocation)
    logged = ledger.outcomes.log(outcome("t-1"), None, NOW)
    assert logged.cost_nano_usd == attempt.cost_nano_usd
    assert ledger.budgets.read(["day"]) == {"day": (2 * ESTIMATE, attempt.cost_nano_usd)}
    overruns = ledger.rows("SELECT excess_nano_usd FROM overrun")
    assert bool(overruns) == (fault == "usage above the estimate")


@on_sqlite
@pytest.mark.parametrize("flavour", ADAPTERS, ids=lambda flavour: flavour.name)
async def test_duplicated_chunks_are_charged_once(ledger: Ledger, flavour: Flavour) -> None:
    call = prepared(ledger, flavour)
    async with LoopbackVendor() as vendor:
        vendor.reply = replies(flavour)["duplicated chunks"]
        provider = flavour.build(vendor.base_url + flavour.path, "sk-test", None)
        result = await called(ledger, call, provider)
        await provider.aclose()

    assert isinstance(result, Invocation)
    assert result.cost_nano_usd == METERED
    text = SealedContent(ledger.vault).answer_text("t-1", result.answer)
    assert text == "one one twotwo"


@on_sqlite
async def test_a_call_cut_before_its_body_is_corrected_from_the_vendors_record(
    ledger: Ledger,
) -> None:
    flavour = next(each for each in vendor_flavours.COMPATIBLE if each.name == "openrouter")
    call, kind = prepared(ledger, flavour), LookupKind.OPENROUTER_GENERATION
    async with LoopbackVendor() as vendor:
        base_url = vendor.base_url + flavour.path
        vendor.reply = Reply(headers={"x-generation-id": "gen-7"}, script=(Act.CUT,))
        provider = OpenAIProvider("e", base_url, "sk-test", dialect=OPENROUTER, lookup=kind)
        assert await called(ledger, call, provider) == "STREAM_INTERRUPTED"
        await provider.aclose()
        assert ledger.budgets.read(["day"])["day"][1] == ESTIMATE

        vendor.reply = Reply.of_json(200, {"data": {"id": "gen-7", "total_cost": 0.0000042}})
        lookup = open_lookup(kind, base_url, "sk-test")
        report = await reconcile_all(
            ledger.engine, {call.candidate.endpoint: lookup}, datetime.now(UTC)
        )
        await lookup.aclose()

    assert (report.asked, report.corrected) == (1, 1)
    assert vendor.received[-1].path.endswith("/generation?id=gen-7")
    assert ledger.budgets.read(["day"])["day"][1] == 4_200


async def test_a_worker_can_ask_the_endpoints_it_has_keys_for(library: PolicyLibrary) -> None:
    keyed = Credentials(openrouter_api_key=SecretStr("sk-test"))
    async with lookups_of(library, keyed) as lookups:
        assert set(lookups) == {"openrouter-openai", "openrouter-anthropic"}
    async with lookups_of(library, Credentials(openrouter_api_key=None)) as lookups:
        assert lookups == {}
