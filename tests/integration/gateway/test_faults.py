"""What the caller is told, and what is on record, where a vendor fails in a usual way."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from pointwork.contract.failures import ProviderFailureKind
from pointwork.contract.outcome import AttemptState
from pointwork.ledger.signals import SignalStore
from tests.fakes.scripted_provider import Fails, Says
from tests.integration.gateway.house import Clients, House

ASK: list[Any] = [{"role": "user", "content": "Weigh both sides."}]
PUBLIC = {"pointwork": {"sensitivity": "public"}}
FAULTS = {
    "500": ProviderFailureKind.OVERLOADED,
    "429": ProviderFailureKind.RATE_LIMITED,
    "hang": ProviderFailureKind.TIMEOUT,
    "malformed JSON": ProviderFailureKind.MALFORMED_RESPONSE,
    "stream cut midway": ProviderFailureKind.STREAM_INTERRUPTED,
}


@pytest.fixture(autouse=True)
def well_before_and_after(house: House) -> Iterator[None]:
    """An endpoint that failed is passed over for a while, and that is not what is looked at."""
    signals = SignalStore(house.stack.parts.engine)

    def heal() -> None:
        for endpoint in house.stack.parts.usable_endpoints:
            signals.record_endpoint(endpoint, True, None, None, datetime.now(UTC))

    heal()
    yield
    heal()


@pytest.mark.parametrize("is_streamed", [False, True])
@pytest.mark.parametrize("kind", FAULTS.values(), ids=FAULTS)
async def test_a_vendors_fault_ends_in_anothers_answer_and_the_caller_is_told_which(
    house: House, client: Clients, kind: ProviderFailureKind, is_streamed: bool
) -> None:
    account = house.account()
    key, task_id = house.scripted(account, Says("From another."))
    for endpoint in ("openai", "google"):
        house.stack.script.write_at(task_id, endpoint, *[Fails(kind)] * 9)
    asked: dict[str, Any] = {"model": "omega/high_stakes_logic", "messages": ASK}
    asked |= {"extra_body": PUBLIC, "extra_headers": {"idempotency-key": key}}
    chat = client(account).chat.completions
    if is_streamed:
        chunks = [chunk async for chunk in await chat.create(**asked, stream=True)]
        text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
        told = [c.model_extra["pointwork"] for c in chunks if c.model_extra][-1]
    else:
        answer = await chat.create(**asked)
        text, told = answer.choices[0].message.content, (answer.model_extra or {})["pointwork"]
    assert text == "From another."
    outcome = await house.stack.recorded(task_id)
    recorded = [each.model_dump(mode="json") for each in outcome.fallbacks]
    assert told["fallbacks"] == recorded
    assert told["served_model"] == outcome.served_model
    failed = [each for each in outcome.attempts if each.state is not AttemptState.DONE]
    assert {each.failure for each in failed} <= {kind}
    assert failed
    assert told["used_fallback"]
