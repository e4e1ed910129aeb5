"""LangChain's own client, unchanged, against the gateway: what it sends by itself is taken."""

from collections.abc import Callable
from typing import Any

import pytest
from langchain_openai import ChatOpenAI
from pydantic import BaseModel, SecretStr

from pointwork.contract.tools import ToolCall
from tests.fakes.scripted_provider import Says, Step
from tests.integration.gateway.house import House

ASK = "Tidy up this line."
Made = Callable[..., ChatOpenAI]


class Meeting(BaseModel):
    day: str


@pytest.fixture
def made(house: House) -> Made:
    """Makes a client whose task meets the steps, with whatever is changed of it."""

    def client(*steps: Step, **changed: Any) -> ChatOpenAI:
        account = house.account()
        key, _ = house.scripted(account, *steps)
        headers = {"idempotency-key": key, "pointwork-sensitivity": "public"}
        known: dict[str, Any] = {"model": "omega/summarisation_formatting", "max_retries": 0}
        token = SecretStr(account.token)
        return ChatOpenAI(
            base_url=house.api, api_key=token, default_headers=headers, **(known | changed)
        )

    return client


@pytest.mark.parametrize("is_responses_api", [False, True])
async def test_langchain_is_answered_and_streamed_to_on_either_api(
    made: Made, is_responses_api: bool
) -> None:
    said = Says("It is tidy.")
    whole = await made(said, use_responses_api=is_responses_api).ainvoke(ASK)
    streaming = made(said, use_responses_api=is_responses_api).astream(ASK)
    pieces = [str(each.text) async for each in streaming]
    assert (str(whole.text), "".join(pieces)) == ("It is tidy.", "It is tidy.")


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
async def test_langchain_gets_an_answer_of_its_schema_either_way(made: Made, method: Any) -> None:
    text = '{"day": "Friday"}'
    call = ToolCall(call_id="call-1", name="Meeting", arguments=text)
    step = Says("", tool_calls=(call,)) if method == "function_calling" else Says(text)
    asking = made(step, model="omega/high_stakes_logic")
    found = await asking.with_structured_output(Meeting, method=method).ainvoke(ASK)
    assert found == Meeting(day="Friday")
