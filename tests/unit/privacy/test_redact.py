"""What leaves the house: placeholders where values stood, or nothing at all."""

import base64

import pytest

from pointwork.contract.prompt import ImagePart, Prompt, Speaker, TextPart, Turn
from pointwork.contract.task import DataClass
from pointwork.privacy.detect import DETECTORS, scan
from pointwork.privacy.findings import Detector, Finding
from pointwork.privacy.redact import RedactionError, redact
from pointwork.privacy.restore import restore
from pointwork.privacy.view import View
from tests.unit.privacy.canaries import CREDENTIALS, PERSONAL, Canary

ALL = CREDENTIALS + PERSONAL
TOKEN = CREDENTIALS[0].value
MAIL = "ada@example.org"


def redacted_text(text: str) -> str:
    return redact(Prompt.from_text(text)).prompt.text


@pytest.mark.req("OM-48", "OM-49", "OM-50")
@pytest.mark.parametrize("canary", ALL, ids=lambda canary: canary.kind)
def test_no_canary_survives_redaction(canary: Canary) -> None:
    redacted = redact(Prompt.from_text(canary.text, system="Be brief."))
    assert canary.value not in redacted.prompt.text
    assert scan(redacted.prompt.text).findings == ()


@pytest.mark.req("OM-48", "OM-50")
def test_all_canaries_in_one_prompt_are_replaced_together() -> None:
    redacted = redact(Prompt.from_text("\n\n".join(canary.text for canary in ALL)))
    survivors = [canary.kind for canary in ALL if canary.value in redacted.prompt.text]
    assert survivors == []


@pytest.mark.req("OM-50")
def test_credentials_become_secrets_and_identifiers_become_their_kind() -> None:
    assert redacted_text(f"key {TOKEN} of {MAIL}") == "key <SECRET_1> of <EMAIL_1>"


def test_without_identifiers_only_credentials_are_replaced() -> None:
    redacted = redact(Prompt.from_text(f"key {TOKEN} of {MAIL}"), identifiers=False)
    assert redacted.prompt.text == f"key <SECRET_1> of {MAIL}"
    assert [count.kind for count in redacted.counts] == ["AWS_ACCESS_KEY"]


@pytest.mark.req("OM-49")
def test_the_same_value_keeps_its_placeholder_over_all_turns() -> None:
    prompt = Prompt(
        turns=(
            Turn(speaker=Speaker.SYSTEM, parts=(TextPart(text=f"You serve {MAIL}."),)),
            Turn(
                speaker=Speaker.USER,
                parts=(TextPart(text=f"bob@example.org wrote to {MAIL}"), TextPart(text=MAIL)),
            ),
        )
    )
    redacted = redact(prompt).prompt
    assert [part.text for turn in redacted.turns for part in turn.parts if part.kind == "text"] == [
        "You serve <EMAIL_1>.",
        "<EMAIL_2> wrote to <EMAIL_1>",
        "<EMAIL_1>",
    ]
    assert [turn.speaker for turn in redacted.turns] == [Speaker.SYSTEM, Speaker.USER]


def test_a_value_found_once_is_replaced_wherever_else_it_stands() -> None:
    text = "hunter2 works. My password is hunter2, and xhunter2x too. h\u200bunter2!"
    assert redacted_text(text) == (
        "<SECRET_1> works. My password is <SECRET_1>, and x<SECRET_1>x too. <SECRET_2>!"
    )


def test_a_password_in_the_turn_after_the_question_is_found() -> None:
    parts = (TextPart(text="My database password is"), TextPart(text="hunter2"))
    redacted = redact(Prompt(turns=(Turn(speaker=Speaker.USER, parts=parts),)))
    assert "hunter2" not in redacted.prompt.text


def test_text_that_looks_like_a_placeholder_keeps_its_meaning() -> None:
    redacted = redact(Prompt.from_text(f"Replace <EMAIL_1> and \\<email_2\\> in: {MAIL}"))
    assert redacted.prompt.text == "Replace <EMAIL_1> and \\<email_2\\> in: <EMAIL_3>"
    restored = restore("<EMAIL_1> is <EMAIL_3>", redacted.placeholders)
    assert restored.text == f"<EMAIL_1> is {MAIL}"
    assert restored.unknown == 0


def test_overlapping_findings_leave_no_rest_and_a_secret_inside_makes_all_secret() -> None:
    redacted = redact(Prompt.from_text("postgres://app:pw-in-front@mail.example.org:5432/app"))
    assert redacted.prompt.text == "postgres://app:<SECRET_1>:5432/app"
    assert redacted.placeholders.values == {}


def test_of_overlapping_identifiers_the_widest_names_the_placeholder() -> None:
    def find(view: View) -> list[Finding]:
        if not view.text.startswith("abcdefghi"):
            return []
        return [
            Finding("NARROW", 0, 4, DataClass.CUSTOMER, "x@1"),
            Finding("WIDE", 2, 9, DataClass.PERSONAL, "x@1"),
        ]

    detector = Detector(name="x@1", find=find)
    redacted = redact(Prompt.from_text("abcdefghi j"), detectors=(detector,))
    assert redacted.prompt.text == "<WIDE_1> j"


def test_an_image_cannot_be_redacted() -> None:
    image = ImagePart(media_type="image/png", data=base64.b64encode(b"\x89PNG"))
    prompt = Prompt(turns=(Turn(speaker=Speaker.USER, parts=(TextPart(text="?"), image)),))
    with pytest.raises(RedactionError, match="An image cannot be redacted; use a local model"):
        redact(prompt)


@pytest.mark.req("OM-50")
def test_a_value_still_found_after_redaction_blocks_the_text_and_is_not_named() -> None:
    def find(view: View) -> list[Finding]:
        # Reports a place beside the value, as a detector with a mistaken offset would.
        at = view.text.find(MAIL)
        return [Finding("EMAIL", at - 1, at, DataClass.PERSONAL, "x@1")] if at > 0 else []

    with pytest.raises(RedactionError, match="still holds EMAIL; use a local model") as caught:
        redact(Prompt.from_text(f"to {MAIL}"), detectors=(Detector(name="x@1", find=find),))
    assert MAIL not in str(caught.value)


def test_a_detector_that_fails_gives_no_redacted_text() -> None:
    def find(_view: View) -> list[Finding]:
        raise OSError("model gone")

    with pytest.raises(OSError, match="model gone"):
        redact(Prompt.from_text("text"), detectors=(*DETECTORS, Detector(name="x@1", find=find)))


@pytest.mark.req("OM-51")
def test_counts_and_rules_say_what_was_done_and_no_value() -> None:
    redacted = redact(Prompt.from_text(f"{MAIL} and {MAIL}, key {TOKEN}"))
    counts = {count.kind: count.count for count in redacted.counts}
    assert counts == {"AWS_ACCESS_KEY": 1, "EMAIL": 2}
    assert redacted.rules == tuple(detector.name for detector in DETECTORS)
    assert MAIL not in repr(redacted)
    assert TOKEN not in repr(redacted)


def test_a_text_without_findings_comes_back_as_it_was() -> None:
    prompt = Prompt.from_text("  Tell me\r\n about rain. \u200b", system="Be brief.")
    redacted = redact(prompt)
    assert redacted.prompt == prompt
    assert redacted.counts == ()


def test_redacting_twice_changes_nothing_more() -> None:
    once = redact(Prompt.from_text("\n".join(canary.text for canary in ALL))).prompt
    assert redact(once).prompt == once


def test_ten_thousand_different_values_are_replaced_in_one_pass() -> None:
    rows = "\n".join(f"user{n}@example.org wrote" for n in range(10_000))
    redacted = redact(Prompt.from_text(rows))
    assert redacted.prompt.text.splitlines()[-1] == "<EMAIL_10000> wrote"
    assert restore(redacted.prompt.text, redacted.placeholders).text == rows
