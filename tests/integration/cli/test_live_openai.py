"""OpenAI's Python client, unchanged, against ``pointwork up`` with its real local model."""

import json
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI

from pointwork.embedded import read_endpoints
from tests.integration.cli.test_live_clients import (
    CLASS,
    DENIED,
    PROPRIETARY,
    SAY,
    close_waiting,
)
from tests.integration.cli.upping import MODEL, Up

pytestmark = pytest.mark.xdist_group("cli-live")

ASK: list[Any] = [{"role": "user", "content": SAY}]
SCHEMA = {
    "type": "object",
    "properties": {"late": {"type": "boolean"}},
    "required": ["late"],
    "additionalProperties": False,
}


@pytest.fixture
def place(up: Up) -> dict[str, Any]:
    """What both clients take to reach the gateway."""
    key = (up.state_dir / "keys" / "api.key").read_text().strip()
    base_url = f"{read_endpoints(up.state_dir).gateway_url}/v1"
    return {"base_url": base_url, "api_key": key, "max_retries": 0}


def text_of(chunk: Any) -> str:
    return (chunk.choices[0].delta.content or "") if chunk.choices else ""


def test_the_client_gets_an_answer_from_the_local_model(place: dict[str, Any]) -> None:
    with OpenAI(**place) as client:
        answer = client.chat.completions.create(model=CLASS, messages=ASK, max_tokens=40)
    assert (answer.choices[0].message.content or "").strip()
    assert answer.model == MODEL
    assert answer.usage is not None
    assert answer.usage.completion_tokens > 0


@pytest.mark.req("JG-42")
def test_a_stream_comes_token_by_token_and_is_the_recorded_answer(place: dict[str, Any]) -> None:
    with OpenAI(**place) as client:
        chunks = list(
            client.chat.completions.create(model=CLASS, messages=ASK, max_tokens=40, stream=True)
        )
        told = [chunk.model_extra["pointwork"] for chunk in chunks if chunk.model_extra]
        task = f"/tasks/{told[-1]['task_id']}"
        # The last piece may be here before the record is.
        client.get(f"{task}?wait_seconds=30", cast_to=dict[str, Any])
        stored = client.get(f"{task}/answer", cast_to=dict[str, Any])
    pieces = [text for text in map(text_of, chunks) if text]
    # Held back until it was whole, a text of this length would be one piece.
    assert len(pieces) > 1
    assert "".join(pieces) == stored["text"]
    begun = next(each for each in told if each.get("model"))
    assert begun["model"] == told[-1]["served_model"] == MODEL


async def test_the_asynchronous_client_streams_too(place: dict[str, Any]) -> None:
    async with AsyncOpenAI(**place) as client:
        stream = await client.chat.completions.create(
            model=CLASS, messages=ASK, max_tokens=40, stream=True
        )
        pieces = [text_of(chunk) async for chunk in stream]
    assert len([piece for piece in pieces if piece]) > 1


def test_a_schema_binds_the_answer(place: dict[str, Any]) -> None:
    shape: Any = {"type": "json_schema", "json_schema": {"name": "train", "schema": SCHEMA}}
    with OpenAI(**place) as client:
        answer = client.chat.completions.create(
            model=CLASS, messages=ASK, max_tokens=60, response_format=shape
        )
    assert isinstance(json.loads(answer.choices[0].message.content or "")["late"], bool)


@pytest.mark.parametrize("is_streamed", [False, True])
def test_an_error_a_denial_and_a_wait_are_told(
    place: dict[str, Any], up: Up, is_streamed: bool
) -> None:
    ask: dict[str, Any] = {"messages": ASK, "stream": is_streamed}
    with (
        OpenAI(**(place | {"api_key": "pwk_no_key"})) as stranger,
        pytest.raises(openai.AuthenticationError, match="pointwork access create"),
    ):
        stranger.chat.completions.create(model=CLASS, **ask)
    with OpenAI(**place) as client:
        with pytest.raises(openai.NotFoundError, match="nobody"):
            client.chat.completions.create(model="nobody", **ask)
        chat = client.chat.completions.with_raw_response
        waiting = chat.create(model=DENIED, **ask)
        assert waiting.status_code == 202
        link = waiting.headers["location"]
        found = client.get(link.removeprefix("/v1"), cast_to=dict[str, Any])
        assert found["status"] == "pending_approval"
        with pytest.raises(openai.APIError, match="No model of the catalogue"):
            list(client.chat.completions.create(model=DENIED, extra_body=PROPRIETARY, **ask))
    close_waiting(up)
