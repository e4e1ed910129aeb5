"""What a vendor receives: every kind of canary through redaction, the door and the adapter (55)."""

import json
from dataclasses import replace

import pytest

from pointwork.contract.prompt import Prompt, Speaker, TextPart, Turn
from pointwork.providers.departure import clear_call
from tests.fakes.departures import departure_of, with_candidate, with_plan
from tests.fakes.vendor_flavours import EVERY, MAIN, Flavour
from tests.fakes.vendor_reply import InProcessVendor
from tests.fakes.vendor_wire import answer
from tests.providers.conftest import Bench
from tests.unit.privacy.canaries import CREDENTIALS, PERSONAL, Canary
from workers.adapters import PlaceholderRestorer, PromptRedactor

ALL = (*CREDENTIALS, *PERSONAL)
REDACTOR = PromptRedactor(None)


def in_turns(canaries: tuple[Canary, ...]) -> Prompt:
    """All of them in one prompt: in the system's turn, in the user's, and in several parts."""
    third = len(canaries) // 3
    system, user, more = canaries[:third], canaries[third : 2 * third], canaries[2 * third :]
    return Prompt(
        turns=(
            Turn(speaker=Speaker.SYSTEM, parts=(TextPart(text=_joined(system)),)),
            Turn(speaker=Speaker.USER, parts=(TextPart(text=_joined(user)),)),
            Turn(speaker=Speaker.ASSISTANT, parts=(TextPart(text="Noted."),)),
            Turn(speaker=Speaker.USER, parts=tuple(TextPart(text=c.text) for c in more)),
        )
    )


def _joined(canaries: tuple[Canary, ...]) -> str:
    return "\n\n".join(canary.text for canary in canaries)


async def outbound(flavour: Flavour, prompt: Prompt, *, said: str = "Noted.") -> tuple[str, str]:
    """Everything that reached the vendor, as text; and what came back with originals put in."""
    redacted = REDACTOR.redact(prompt, secrets_only=False)
    assert redacted is not None
    planned = departure_of()
    moved = with_candidate(planned, endpoint=flavour.name)
    moved = with_plan(moved, candidates=(moved.call.candidate,))
    clearance = clear_call(replace(moved, prompt=redacted.prompt))
    vendor = InProcessVendor(flavour.origin)
    vendor.reply = answer(flavour.wire, [said], flavour.model)
    bench = Bench(flavour, vendor)
    request = replace(bench.request(prompt=redacted.prompt), clearance=clearance)
    response = await bench.provider.complete(request)
    await bench.provider.aclose()
    (received,) = vendor.received
    sent = json.dumps(
        [received.path, dict(received.headers), received.body], ensure_ascii=False
    ) + "\n".join(_strings(received.body))
    restored, _ = PlaceholderRestorer().restore(response.text, redacted.mapping)
    return sent, restored


def _strings(value: object) -> list[str]:
    match value:
        case dict():
            return [text for each in (*value.keys(), *value.values()) for text in _strings(each)]
        case list():
            return [text for each in value for text in _strings(each)]
        case str():
            return [value]
        case _:
            return []


@pytest.mark.req("OM-48", "OM-50")
@pytest.mark.parametrize("flavour", EVERY, ids=lambda flavour: flavour.name)
async def test_no_canary_of_any_kind_is_in_what_a_vendor_receives(flavour: Flavour) -> None:
    sent, _ = await outbound(flavour, in_turns(ALL))
    assert [canary.kind for canary in ALL if canary.value in sent] == []
    assert "<SECRET_1>" in sent
    assert "<EMAIL_1>" in sent


def test_the_canaries_are_of_more_than_forty_kinds() -> None:
    assert len({canary.kind for canary in CREDENTIALS}) >= 40
    assert len({canary.kind for canary in PERSONAL}) >= 40


@pytest.mark.parametrize("flavour", MAIN, ids=lambda flavour: flavour.name)
async def test_each_canary_by_itself_stays_too(flavour: Flavour) -> None:
    """Alone, nothing beside it gives it away."""
    out = [c.kind for c in ALL if c.value in (await outbound(flavour, _alone(c)))[0]]
    assert out == []


def _alone(canary: Canary) -> Prompt:
    return Prompt.from_text(canary.text)


@pytest.mark.req("OM-49", "OM-50")
async def test_an_answer_gets_identifiers_back_and_credentials_never() -> None:
    flavour = MAIN[0]
    said = "".join(f"<EMAIL_{n}> <SECRET_{n}> " for n in range(1, 200))
    _, restored = await outbound(flavour, in_turns(ALL), said=said)
    mails = [c.value for c in PERSONAL if c.kind == "EMAIL"]
    assert all(mail in restored for mail in mails)
    found_again = [c.kind for c in CREDENTIALS if c.value in restored]
    assert found_again == []


@pytest.mark.parametrize("flavour", EVERY, ids=lambda flavour: flavour.name)
async def test_what_needs_no_redaction_is_seen_in_what_a_vendor_receives(flavour: Flavour) -> None:
    """So that a canary would be seen there as well."""
    sent, _ = await outbound(flavour, Prompt.from_text("Is a tree a graph, naïvely?"))
    assert "Is a tree a graph, naïvely?" in sent
