"""Juggernaut's calls through the OpenRouter adapter: what is on record before and after each."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy import Engine, select
from temporalio.testing import WorkflowEnvironment

from pointwork.contract.money import usage_cost_nano_usd
from pointwork.contract.outcome import Settlement, TaskOutcome, TaskStatus
from pointwork.ledger.cost_tables import MODEL_SELECTIONS
from pointwork.ledger.engine import read
from pointwork.ledger.selections import PACK, dollars
from pointwork.policy.bundle import PolicyLibrary
from pointwork.providers.dialects import OPENROUTER
from pointwork.providers.openai import OpenAIProvider
from tests.fakes import vendor_wire as wires
from tests.fakes.scripted_provider import Script
from tests.fakes.vendor_reply import InProcessVendor
from tests.workflows.stack import Stack, open_test_parts, running

ENDPOINT, MODEL = "openrouter-openai", "gpt-4o"


def selections(engine: Engine) -> list[dict[str, Any]]:
    with read(engine) as connection:
        return [dict(row) for row in connection.execute(select(MODEL_SELECTIONS)).mappings()]


@dataclass
class Looking(httpx2.AsyncBaseTransport):
    """Reads the ledger's selections when a request is on its way and nothing is answered."""

    vendor: InProcessVendor
    engine: Engine
    seen: list[dict[str, Any]] = field(default_factory=list)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self.seen.extend(selections(self.engine))
        assert self.vendor.transport is not None
        return await self.vendor.transport.handle_async_request(request)


@dataclass
class Routed:
    stack: Stack
    vendor: InProcessVendor
    before: list[dict[str, Any]]
    """The rows that stood when the vendor was asked."""

    async def run(self, *, usage: bool) -> TaskOutcome:
        priced = self.stack.parts.library.active(PACK).models[MODEL]
        wire = wires.OpenAIWire()
        self.vendor.reply = wires.answer(wire, ["Done."], priced.model.served_as, usage=usage)
        declared = self.stack.declare(pack=PACK, task_class="code")
        code = f"Fix {declared.task_id}:\n```python\nprint(1 + '1')\n```\nWell?"
        outcome = await self.stack.run(declared, code)
        assert outcome.status is TaskStatus.SUCCEEDED, outcome.reason
        return outcome

    @property
    def after(self) -> list[dict[str, Any]]:
        return selections(self.stack.parts.engine)


@asynccontextmanager
async def on_the_wire(
    server: WorkflowEnvironment, library: PolicyLibrary, folder: Path
) -> AsyncIterator[Routed]:
    script = Script()
    parts = open_test_parts(folder, library, script)
    base_url = parts.library.active(PACK).models[MODEL].endpoint.base_url or ""
    transport = Looking(InProcessVendor(base_url), parts.engine)
    adapter = OpenAIProvider(ENDPOINT, base_url, "sk-test", dialect=OPENROUTER, transport=transport)
    parts = replace(parts, providers={**parts.providers, ENDPOINT: adapter})
    async with running(server, parts, script) as stack:
        yield Routed(stack, transport.vendor, transport.seen)
    await adapter.aclose()
    parts.threads.shutdown()
    parts.engine.dispose()


@pytest.mark.req("JG-15")
async def test_the_selection_and_its_estimate_are_on_record_when_the_model_is_asked(
    own_server: WorkflowEnvironment, library: PolicyLibrary, tmp_path: Path
) -> None:
    async with on_the_wire(own_server, library, tmp_path) as routed:
        outcome = await routed.run(usage=True)
        assert len(routed.vendor.received) == 1
        (row,) = routed.before
        (decided,) = routed.stack.outcomes.decisions(outcome.task_id)
        chosen = decided.plan.candidates[0]
        assert (row["selected_model"], row["selected_provider"]) == (MODEL, chosen.vendor)
        assert row["estimated_cost"] == dollars(chosen.estimate_nano_usd, 10, 4) > 0
        assert (row["actual_cost"], row["tokens_used"], row["success"]) == (None, None, None)
        assert [each["id"] for each in routed.after] == [row["id"]]


@pytest.mark.req("JG-41")
async def test_the_usage_in_the_answer_sets_the_actual_cost(
    own_server: WorkflowEnvironment, library: PolicyLibrary, tmp_path: Path
) -> None:
    async with on_the_wire(own_server, library, tmp_path) as routed:
        outcome = await routed.run(usage=True)
        cost_nano_usd = usage_cost_nano_usd(
            routed.stack.parts.library.active(PACK).models[MODEL].tiers,
            input_tokens=wires.INPUT_TOKENS,
            output_tokens=wires.OUTPUT_TOKENS,
            cached_input_tokens=wires.CACHED_TOKENS,
        )
        (attempt,) = outcome.attempts
        assert (attempt.cost_nano_usd, attempt.settlement) == (cost_nano_usd, Settlement.EXACT)
        (row,) = routed.after
        assert row["actual_cost"] == dollars(cost_nano_usd, 10, 4)
        assert row["tokens_used"] == wires.INPUT_TOKENS + wires.OUTPUT_TOKENS
        assert 0 < row["actual_cost"] < row["estimated_cost"]


@pytest.mark.req("JG-41")
async def test_an_answer_without_usage_costs_its_estimate_and_is_flagged_as_at_least_that(
    own_server: WorkflowEnvironment, library: PolicyLibrary, tmp_path: Path
) -> None:
    """``AT_LEAST`` is the design's word for an actual cost that nobody knows (design 5)."""
    async with on_the_wire(own_server, library, tmp_path) as routed:
        outcome = await routed.run(usage=False)
        (decided,) = routed.stack.outcomes.decisions(outcome.task_id)
        estimate_nano_usd = decided.plan.candidates[0].estimate_nano_usd
        (attempt,) = outcome.attempts
        assert attempt.usage is None
        assert (attempt.cost_nano_usd, attempt.settlement) == (
            estimate_nano_usd,
            Settlement.AT_LEAST,
        )
        assert outcome.settlement is Settlement.AT_LEAST
        (row,) = routed.after
        assert row["actual_cost"] == row["estimated_cost"] > Decimal(0)
        assert row["tokens_used"] is None
