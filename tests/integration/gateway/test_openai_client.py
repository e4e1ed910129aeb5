"""OpenAI's own Python client, unchanged, against the gateway."""

import asyncio
import base64
import json
from typing import Any
from uuid import uuid4

import numpy as np
import openai
import pytest
from openai import OpenAI
from pydantic import BaseModel

from pointwork.contract.approval import ApprovalVerdict
from pointwork.contract.failures import ProviderFailureKind
from tests.fakes.scripted_provider import Fails, Says
from tests.integration.gateway.house import Clients, House

CLASS = "omega/summarisation_formatting"
ASK: list[Any] = [{"role": "user", "content": "Tidy up this line."}]
PUBLIC = {"pointwork": {"sensitivity": "public"}}


class Meeting(BaseModel):
    day: str
    hour: int


async def test_a_chat_is_one_task_and_its_answer_names_model_tokens_and_cost(
    house: House, client: Clients
) -> None:
    account = house.account()
    key, task_id = house.scripted(account, Says("It is tidy."))
    answer = await client(account).chat.completions.create(
        model=CLASS, messages=ASK, extra_body=PUBLIC, extra_headers={"idempotency-key": key}
    )
    assert answer.choices[0].message.content == "It is tidy."
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (20, 10)
    outcome = await house.stack.recorded(task_id)
    assert answer.model == outcome.served_model
    stated = answer.model_extra["pointwork"] if answer.model_extra else {}
    assert stated["task_id"] == task_id
    assert stated["cost_nano_usd"] == outcome.cost_nano_usd
    assert (stated["task_class"], stated["pack"]) == ("summarisation_formatting", "omega")
    assert outcome.caller == account.name


async def test_the_answer_is_also_described_in_headers(house: House, client: Clients) -> None:
    raw = await client().chat.completions.with_raw_response.create(
        model=CLASS, messages=ASK, extra_body=PUBLIC
    )
    stated = raw.parse().model_extra or {}
    assert raw.headers["pointwork-task-id"] == stated["pointwork"]["task_id"]
    assert raw.headers["pointwork-served-model"] == stated["pointwork"]["served_model"]
    assert raw.headers["pointwork-requested-model"] == "auto"
    assert raw.headers["pointwork-cost-nano-usd"] == str(stated["pointwork"]["cost_nano_usd"])


async def test_a_stream_gives_the_same_text_then_the_usage_then_ends(
    house: House, client: Clients
) -> None:
    account, said = house.account(), "One. " * 300
    key, task_id = house.scripted(account, Says(said))
    stream = await client(account).chat.completions.create(
        model=CLASS,
        messages=ASK,
        stream=True,
        stream_options={"include_usage": True},
        extra_body=PUBLIC,
        extra_headers={"idempotency-key": key},
    )
    chunks = [chunk async for chunk in stream]
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == said
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 10
    assert {chunk.id for chunk in chunks} == {f"chatcmpl-{task_id}"}


async def test_the_synchronous_client_is_answered_and_streamed_to(house: House) -> None:
    account = house.account()

    def ask() -> tuple[str | None, str]:
        with OpenAI(base_url=house.api, api_key=account.token, max_retries=0) as blocking:
            chat = blocking.chat.completions
            whole = chat.create(model=CLASS, messages=ASK, extra_body=PUBLIC)
            stream = chat.create(model=CLASS, messages=ASK, extra_body=PUBLIC, stream=True)
            pieces = [c.choices[0].delta.content or "" for c in stream if c.choices]
        return whole.choices[0].message.content, "".join(pieces)

    assert await asyncio.to_thread(ask) == ("A plain answer.", "A plain answer.")


async def test_a_schema_is_checked_before_the_caller_has_the_answer(
    house: House, client: Clients
) -> None:
    account = house.account()
    key, _ = house.scripted(account, Says('{"day": "Friday", "hour": 9}'))
    parsed = await client(account).chat.completions.parse(
        model=CLASS,
        messages=ASK,
        response_format=Meeting,
        extra_body=PUBLIC,
        extra_headers={"idempotency-key": key},
    )
    assert parsed.choices[0].message.parsed == Meeting(day="Friday", hour=9)


async def test_a_task_that_policy_denies_is_a_403_that_says_why_and_is_not_repeated(
    house: House, client: Clients
) -> None:
    account = house.account()
    retrying = client(account, max_retries=2)
    with pytest.raises(openai.PermissionDeniedError) as denied:
        await retrying.chat.completions.create(
            model="omega/high_stakes_logic",
            messages=ASK,
            extra_body={"pointwork": {"sensitivity": "proprietary"}},
        )
    assert denied.value.code == "POLICY_DENIED"
    body = denied.value.body
    assert isinstance(body, dict)
    assert "privacy (proprietary)" in body["message"]
    # The caller is told before the record is written.
    await house.stack.recorded(denied.value.response.headers["pointwork-task-id"])
    page = await client(account).get("/tasks", cast_to=dict[str, Any])
    assert [each["status"] for each in page["data"]] == ["denied"]


async def test_when_every_model_fails_the_client_gets_a_502_and_does_not_repeat_the_task(
    house: House, client: Clients
) -> None:
    account = house.account()
    fails = [Fails(ProviderFailureKind.INVALID_REQUEST)] * 12
    key, task_id = house.scripted(account, *fails)
    retrying = client(account, max_retries=2)
    with pytest.raises(openai.InternalServerError) as failed:
        await retrying.chat.completions.create(
            model=CLASS, messages=ASK, extra_body=PUBLIC, extra_headers={"idempotency-key": key}
        )
    assert (failed.value.status_code, failed.value.code) == (502, "PROVIDERS_EXHAUSTED")
    outcome = await house.stack.recorded(task_id)
    assert len(house.stack.script.calls[task_id]) == len(outcome.attempts)


async def test_the_same_key_twice_is_one_task_and_one_bill(house: House, client: Clients) -> None:
    account = house.account()
    key, task_id = house.scripted(account, Says("Once."), Says("Twice."))
    asked: dict[str, Any] = {"model": CLASS, "messages": ASK, "extra_body": PUBLIC}
    first, second = [
        await client(account).chat.completions.create(
            **asked, extra_headers={"idempotency-key": key}
        )
        for _ in range(2)
    ]
    assert first.choices[0].message.content == second.choices[0].message.content == "Once."
    assert len(house.stack.script.calls[task_id]) == 1


async def test_the_same_key_with_another_text_is_refused_and_changes_nothing(
    house: House, client: Clients
) -> None:
    account, key = house.account(), uuid4().hex
    asking = client(account).chat.completions
    headers = {"idempotency-key": key}
    await asking.create(model=CLASS, messages=ASK, extra_body=PUBLIC, extra_headers=headers)
    other: list[Any] = [{"role": "user", "content": "Something else."}]
    with pytest.raises(openai.ConflictError) as refused:
        await asking.create(model=CLASS, messages=other, extra_body=PUBLIC, extra_headers=headers)
    assert refused.value.code == "idempotency_key_reused"


async def test_one_key_of_two_accounts_is_two_tasks(house: House, client: Clients) -> None:
    key = uuid4().hex
    for account in (house.account(), house.account()):
        answer = await client(account).chat.completions.create(
            model=CLASS, messages=ASK, extra_body=PUBLIC, extra_headers={"idempotency-key": key}
        )
        assert (answer.model_extra or {})["pointwork"]["task_id"].startswith("idem-")


async def test_a_task_that_waits_for_a_person_is_a_202_with_a_link(
    house: House, client: Clients
) -> None:
    account = house.account()
    raw = await client(account).chat.completions.with_raw_response.create(
        model="omega/high_stakes_logic",
        messages=ASK,
    )
    assert raw.status_code == 202
    task_id = raw.headers["pointwork-task-id"]
    request = await house.stack.open_approval(task_id)
    waiting = raw.http_response.json()["pointwork"]
    assert (waiting["approval_id"], waiting["status"]) == (request.approval_id, "pending_approval")
    await house.stack.client.submit_verdict(house.stack.signed(request, ApprovalVerdict.APPROVED))
    await house.stack.recorded(task_id)
    fetched = await client(account).get(f"/tasks/{task_id}/answer", cast_to=dict[str, Any])
    assert fetched["text"] == "A plain answer."


async def test_who_waits_for_the_person_gets_the_answer_in_the_same_request(
    house: House, client: Clients
) -> None:
    account = house.account()
    key, task_id = house.scripted(account, Says("Decided."))
    asking = asyncio.create_task(
        client(account).chat.completions.create(
            model="omega/high_stakes_logic",
            messages=ASK,
            extra_body={"pointwork": {"wait_seconds": 60}},
            extra_headers={"idempotency-key": key},
        )
    )
    request = await house.stack.open_approval(task_id)
    await house.stack.client.submit_verdict(house.stack.signed(request, ApprovalVerdict.APPROVED))
    answer = await asking
    assert answer.choices[0].message.content == "Decided."


async def test_texts_become_vectors_that_name_their_space(house: House, client: Clients) -> None:
    account, rows = house.account(), np.eye(2, 4, dtype="<f4")
    vectors = [base64.b64encode(row.tobytes()).decode() for row in rows]
    made_there = {"space": "text-embedding-3-small/2026-11/4", "dimensions": 4, "vectors": vectors}
    key, task_id = house.scripted(account, Says(json.dumps(made_there)))
    made = await client(account).embeddings.create(
        model="auto", input=["one line", "another"], extra_headers={"idempotency-key": key}
    )
    assert [each.embedding for each in made.data] == rows.tolist()
    stated = (made.model_extra or {})["pointwork"]
    assert (stated["pack"], stated["task_class"]) == ("codex", "embeddings")
    assert stated["space"] == made_there["space"]
    assert stated["task_id"] == task_id


async def test_a_class_that_makes_no_embeddings_is_refused_before_anything_starts(
    house: House, client: Clients
) -> None:
    account = house.account()
    with pytest.raises(openai.BadRequestError, match="makes no embeddings"):
        await client(account).embeddings.create(model=CLASS, input="one line")
    page = await client(account).get("/tasks", cast_to=dict[str, Any])
    assert page["data"] == []


async def test_the_responses_api_answers_and_streams_the_same_text(
    house: House, client: Clients
) -> None:
    account = house.account()
    key, task_id = house.scripted(account, Says("It is tidy."))
    asked: dict[str, Any] = {"model": CLASS, "input": "Tidy up this line.", "extra_body": PUBLIC}
    whole = await client(account).responses.create(
        **asked, instructions="Be brief.", extra_headers={"idempotency-key": key}
    )
    assert (whole.output_text, whole.status) == ("It is tidy.", "completed")
    assert whole.usage is not None
    assert whole.usage.output_tokens == 10
    assert whole.id == f"resp_{task_id}"
    async with client(account).responses.stream(**asked) as stream:
        kinds = [event.type async for event in stream]
        final = await stream.get_final_response()
    assert final.output_text == "A plain answer."
    assert (kinds[0], kinds[-1]) == ("response.created", "response.completed")


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({"n": 2}, "n is not served"),
        ({"stop": ["x"]}, "stop is not served"),
        ({"top_p": 0.5}, "top_p is not served"),
        ({"logprobs": True}, "logprobs is not served"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"temperature": 3}, "temperature"),
        ({"extra_body": {"pointwork": {"clas": "x"}}}, "pointwork.clas is not known"),
        ({"extra_body": {"pointwork": {"sensitivity": "secret"}}}, "pointwork.sensitivity"),
        ({"extra_body": {"pointwork": {"wait_seconds": -1}}}, "wait_seconds"),
        ({"extra_headers": {"pointwork-class": "nobody"}}, "is not one of pack 'omega'"),
        ({"extra_headers": {"pointwork-pack": "nobody"}}, "no pack is named 'nobody'"),
        ({"extra_headers": {"idempotency-key": "x" * 256}}, "idempotency-key"),
    ],
)
async def test_what_is_not_served_is_refused_by_name_and_starts_nothing(
    house: House, client: Clients, more: dict[str, Any], named: str
) -> None:
    account = house.account()
    with pytest.raises(openai.BadRequestError, match=named):
        await client(account).chat.completions.create(model="auto", messages=ASK, **more)
    page = await client(account).get("/tasks", cast_to=dict[str, Any])
    assert page["data"] == []


@pytest.mark.parametrize("model", ["gpt-9", "omega/nobody", "nobody/auto", ""])
async def test_a_name_that_is_no_model_is_not_found(
    house: House, client: Clients, model: str
) -> None:
    expected = openai.BadRequestError if not model else openai.NotFoundError
    with pytest.raises(expected):
        await client().chat.completions.create(model=model, messages=ASK)


async def test_a_model_of_another_pack_is_refused_with_the_pack_that_serves_it(
    house: House, client: Clients
) -> None:
    listed = {each.id: each.model_extra or {} async for each in client().models.list()}
    packs = {name: extra["pointwork"]["packs"] for name, extra in listed.items() if extra}
    model, owners = next(each for each in packs.items() if "omega" not in each[1])
    with pytest.raises(openai.NotFoundError, match=f"belongs to packs? {owners[0]}") as refused:
        await client().chat.completions.create(model=model, messages=ASK)
    assert f"send pointwork-pack: {owners[0]}" in str(refused.value)
    served = next(name for name, owners in packs.items() if "omega" in owners)
    assert house.gateway.library.active("omega").models[served]


async def test_every_listed_name_is_found_alone_and_means_what_it_says(
    house: House, client: Clients
) -> None:
    names = [each.id async for each in client().models.list()]
    assert names[0] == "auto"
    assert {"omega/auto", CLASS, "codex/implementer"} <= {*names}
    for name in ("auto", CLASS, names[-1]):
        assert (await client().models.retrieve(name)).id == name
    with pytest.raises(openai.NotFoundError):
        await client().models.retrieve("nobody")
