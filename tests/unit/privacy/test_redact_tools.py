"""Tools, their calls and their results leave as redacted as any other text, and stay JSON."""

import json
from collections.abc import Sequence
from typing import Any

import pytest

from pointwork.contract.json_strings import JsonObjectError
from pointwork.contract.prompt import (
    Prompt,
    Speaker,
    TextPart,
    ToolCallPart,
    ToolResultPart,
    Turn,
)
from pointwork.contract.task import DataClass
from pointwork.contract.tools import ToolDefinition
from pointwork.privacy.detect import scan
from pointwork.privacy.findings import LANGUAGE_DETECTOR, Finding
from pointwork.privacy.placeholders import Placeholders
from pointwork.privacy.redact import RedactionError, redact
from pointwork.privacy.restore import restore_arguments
from tests.unit.privacy.canaries import CREDENTIALS, PERSONAL, Canary

MAIL, OTHER = "ada@example.org", "bob@example.org"
CARD = "4111111111111111"


def conversation(
    *,
    asked: str = "Write to her.",
    arguments: Any = None,
    result: str = "done",
    tools: Sequence[ToolDefinition] = (),
    call_id: str = "c-1",
) -> Prompt:
    call = ToolCallPart(call_id=call_id, name="send_mail", arguments=json.dumps(arguments or {}))
    return Prompt(
        turns=(
            Turn(speaker=Speaker.USER, parts=(TextPart(text=asked),)),
            Turn(speaker=Speaker.ASSISTANT, parts=(call,)),
            Turn(speaker=Speaker.TOOL, parts=(ToolResultPart(call_id=call_id, text=result),)),
        ),
        tools=tuple(tools),
    )


def tool(**parameters: Any) -> ToolDefinition:
    return ToolDefinition(name="send_mail", parameters={"type": "object", **parameters})


def arguments_of(prompt: Prompt) -> Any:
    [call] = prompt.turns[1].calls
    return json.loads(call.arguments)


@pytest.mark.parametrize("canary", CREDENTIALS + PERSONAL, ids=lambda canary: canary.kind)
def test_no_canary_survives_in_what_tools_are_given_and_give(canary: Canary) -> None:
    prompt = conversation(
        arguments={"body": canary.text, "list": [{"deep": canary.text}]},
        result=canary.text,
        tools=[tool(description=canary.text, properties={"to": {"examples": [canary.text]}})],
    )
    redacted = redact(prompt)
    assert canary.value not in redacted.prompt.text
    assert scan(redacted.prompt.text).findings == ()


def test_a_value_has_one_placeholder_in_text_arguments_results_and_descriptions() -> None:
    redacted = redact(
        conversation(
            asked=f"Write to {MAIL}.",
            arguments={"to": MAIL, "cc": [OTHER]},
            result=f"{OTHER} is away",
            tools=[tool(description=f"Mail, but not to {OTHER}.")],
        )
    )
    assert redacted.prompt.turns[0].text == "Write to <EMAIL_1>."
    assert arguments_of(redacted.prompt) == {"to": "<EMAIL_1>", "cc": ["<EMAIL_2>"]}
    assert redacted.prompt.turns[2].results[0].text == "<EMAIL_2> is away"
    assert redacted.prompt.tools[0].parameters["description"] == "Mail, but not to <EMAIL_2>."


def test_a_value_behind_an_escape_of_json_is_found() -> None:
    call = ToolCallPart(
        call_id="c-1", name="send_mail", arguments='{"to": "ada\\u0040example.org"}'
    )
    answered = conversation().turns[2]
    turns = (conversation().turns[0], Turn(speaker=Speaker.ASSISTANT, parts=(call,)), answered)
    assert arguments_of(redact(Prompt(turns=turns)).prompt) == {"to": "<EMAIL_1>"}


def test_a_secret_is_found_by_the_key_it_stands_under() -> None:
    redacted = redact(conversation(arguments={"password": "correct-horse-9"}))
    assert arguments_of(redacted.prompt) == {"password": "<SECRET_1>"}


def test_a_number_that_is_a_card_becomes_a_placeholder_and_others_stay_numbers() -> None:
    redacted = redact(conversation(arguments={"card": int(CARD), "cents": 1250, "now": True}))
    [name] = redacted.placeholders.values
    assert arguments_of(redacted.prompt) == {"card": f"<{name}>", "cents": 1250, "now": True}


def test_keys_of_arguments_are_replaced_as_well() -> None:
    redacted = redact(conversation(arguments={MAIL: "in", OTHER: "out"}))
    assert arguments_of(redacted.prompt) == {"<EMAIL_1>": "in", "<EMAIL_2>": "out"}


def test_a_prompt_without_findings_keeps_the_callers_own_writing() -> None:
    prompt = conversation(arguments={"b": 1, "a": "two"}, tools=[tool(required=["b"])])
    redacted = redact(prompt)
    assert redacted.prompt.turns[1].calls[0].arguments == prompt.turns[1].calls[0].arguments
    assert redacted.prompt.tools == prompt.tools
    assert redacted.counts == ()


def test_ids_of_calls_do_not_leave() -> None:
    """They are the caller's to choose, and could say anything."""
    redacted = redact(conversation(call_id=CARD))
    assert redacted.prompt.call_ids == ("call_1",)
    assert redacted.prompt.turns[2].results[0].call_id == "call_1"


@pytest.mark.parametrize(
    "parameters",
    [
        {"properties": {MAIL: {"type": "string"}}},
        {"required": [MAIL]},
        {"properties": {"to": {"pattern": MAIL}}},
        {"properties": {"card": {"minimum": int(CARD)}}},
    ],
)
def test_a_value_that_cannot_be_replaced_keeps_the_prompt_in_the_house(
    parameters: dict[str, Any],
) -> None:
    with pytest.raises(RedactionError, match="After redaction the text still holds"):
        redact(conversation(tools=[tool(**parameters)]))


USUAL = [
    ToolDefinition(
        name="create_user",
        description="Creates a user account with email, phone number and password.",
        parameters={
            "type": "object",
            "properties": {
                "name": {"type": "string", "description": "The person's full name"},
                "email": {"type": "string", "format": "email"},
                "phone_number": {"type": "string", "pattern": r"^\+[0-9]{7,15}$"},
                "password": {"type": "string", "minLength": 12},
                "api_key": {"type": "string", "description": "The API key to use"},
                "token": {"type": ["string", "null"], "default": None},
                "date": {"type": "string", "format": "date-time"},
                "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
            },
            "required": ["name", "email", "password", "api_key"],
            "additionalProperties": False,
        },
    ),
    ToolDefinition(
        name="get_secret",
        description="Reads a secret, credential or access token from the store by its path.",
        parameters={"type": "object", "properties": {"secret": {"$ref": "#/$defs/secret"}}},
    ),
]


def test_tools_that_speak_of_personal_data_hold_none() -> None:
    prompt = Prompt.from_text("Hello.").model_copy(update={"tools": tuple(USUAL)})
    assert scan(prompt.text).findings == ()
    assert redact(prompt).prompt == prompt


class Names:
    """Reads one name wherever it stands."""

    def __init__(self, name: str) -> None:
        self._name = name

    def find(self, text: str) -> list[Finding]:
        at = text.find(self._name)
        if at < 0:
            return []
        end = at + len(self._name)
        return [Finding("PERSON", at, end, DataClass.PERSONAL, LANGUAGE_DETECTOR)]


def test_a_name_in_arguments_is_replaced_and_counted_as_read() -> None:
    redacted = redact(
        conversation(arguments={"to": "Ada Lovelace"}, result="Ada Lovelace is away"),
        language=Names("Ada Lovelace"),
    )
    assert arguments_of(redacted.prompt) == {"to": "<PERSON_1>"}
    assert redacted.prompt.turns[2].results[0].text == "<PERSON_1> is away"


def test_a_parameter_that_is_called_like_a_person_keeps_the_prompt_in_the_house() -> None:
    named = tool(properties={"Ada Lovelace": {"type": "string"}})
    with pytest.raises(RedactionError, match="has the name of a person"):
        redact(
            conversation(asked="Ask Ada Lovelace.", tools=[named]), language=Names("Ada Lovelace")
        )


MAPPING = Placeholders(
    values={"PERSON_1": 'Ada "Countess" \\ Lovelace\n', "EMAIL_1": MAIL},
    secrets=frozenset({"SECRET_1"}),
)


@pytest.mark.parametrize(
    "written",
    [
        '{"to": "<PERSON_1>"}',
        '{"to": "\\u003cPERSON_1\\u003e"}',
        '{"to": "&lt;PERSON_1&gt;"}',
        '{"to": "\\\\<PERSON_1\\\\>"}',
    ],
)
def test_a_restored_value_stays_one_value_of_json(written: str) -> None:
    restored = restore_arguments(written, MAPPING)
    assert json.loads(restored.text) == {"to": MAPPING.values["PERSON_1"]}


def test_arguments_are_restored_in_keys_and_in_depth_and_secrets_stay() -> None:
    written = '{"<EMAIL_1>": [{"as": "to <EMAIL_1>"}], "key": "<SECRET_1>", "n": 1.50}'
    restored = restore_arguments(written, MAPPING)
    assert json.loads(restored.text) == {
        MAIL: [{"as": f"to {MAIL}"}],
        "key": "<SECRET_1>",
        "n": 1.5,
    }
    assert restored.unknown == 0


def test_arguments_without_placeholders_are_left_as_they_were_written() -> None:
    written = '{ "n":1.50,"a" :"x" }'
    assert restore_arguments(written, MAPPING).text == written


def test_placeholders_that_were_made_up_are_counted() -> None:
    assert restore_arguments('{"to": "<EMAIL_9>", "cc": "<EMAIL_1>"}', MAPPING).unknown == 1


def test_keys_that_would_become_one_are_not_restored() -> None:
    with pytest.raises(JsonObjectError, match="would become equal"):
        restore_arguments(f'{{"<EMAIL_1>": 1, "{MAIL}": 2}}', MAPPING)
