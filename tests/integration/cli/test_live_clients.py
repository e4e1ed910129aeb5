"""Clients that know nothing of Pointwork, against ``pointwork up`` with its real local model."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openai
import pytest
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from pointwork.embedded import read_endpoints
from pointwork.ledger.approvals import ApprovalBook
from pointwork.ledger.engine import open_engine
from tests.integration.cli.conftest import Called, call_process
from tests.integration.cli.upping import MODEL, Up

pytestmark = pytest.mark.xdist_group("cli-live")

CLASS, DENIED = "omega/summarisation_formatting", "omega/high_stakes_logic"
SAY = "Say in one sentence that the train is late."
PROPRIETARY = {"pointwork": {"sensitivity": "proprietary"}}


@pytest.fixture
def base_url(up: Up) -> str:
    return f"{read_endpoints(up.state_dir).gateway_url}/v1"


@pytest.fixture
def api_key(up: Up) -> str:
    return (up.state_dir / "keys" / "api.key").read_text().strip()


@pytest.fixture
def chat(base_url: str, api_key: str) -> Callable[..., ChatOpenAI]:
    """LangChain's model of a class, or with whatever is changed of it."""

    def made(model: str = CLASS, **changed: Any) -> ChatOpenAI:
        values: dict[str, Any] = {"api_key": SecretStr(api_key), "max_retries": 0}
        return ChatOpenAI(model=model, base_url=base_url, **(values | changed))

    return made


def close_waiting(up: Up) -> None:
    """Nobody answers them; they would be the next test's."""
    endpoints = read_endpoints(up.state_dir)
    engine = open_engine(endpoints.ledger_url)
    waiting = ApprovalBook(engine).waiting()
    engine.dispose()
    assert waiting
    for each in waiting:
        reason = ("--reason", "nobody may pay for this")
        denied = call_process("deny", each.task_id, "--state-dir", up.state_dir, *reason)
        assert denied.code == 0


def test_langchain_gets_an_answer_its_tokens_and_the_model_that_served(
    chat: Callable[..., ChatOpenAI],
) -> None:
    answer = chat(max_tokens=40).invoke(SAY)
    assert str(answer.content).strip()
    assert answer.response_metadata["model_name"] == MODEL
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["output_tokens"] > 0


def test_langchain_streams(chat: Callable[..., ChatOpenAI]) -> None:
    pieces = [str(each.content) for each in chat(max_tokens=40).stream(SAY)]
    assert "".join(pieces).strip()


def test_langchain_is_told_of_a_wrong_key_and_of_a_denial(
    chat: Callable[..., ChatOpenAI],
) -> None:
    with pytest.raises(openai.AuthenticationError, match="pointwork access create"):
        chat(api_key=SecretStr("pwk_no_key")).invoke(SAY)
    with pytest.raises(openai.PermissionDeniedError, match="No model of the catalogue"):
        chat(DENIED, extra_body=PROPRIETARY).invoke(SAY)


def test_langchain_is_told_that_a_person_must_decide(
    chat: Callable[..., ChatOpenAI], up: Up
) -> None:
    """The answer has no choices, which LangChain says in its own words; nothing is made up."""
    with pytest.raises(TypeError, match="null value for 'choices'"):
        chat(DENIED).invoke(SAY)
    close_waiting(up)


@pytest.fixture(autouse=True)
def llm_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LLM_USER_PATH", str(tmp_path))
    return tmp_path


def llm(folder: Path, base_url: str, api_key: str, *arguments: str) -> Called:
    models = "".join(
        f"- model_id: {name}\n  model_name: {model}\n  api_base: {base_url}\n"
        "  api_key_name: pointwork\n"
        for name, model in (("tidy", CLASS), ("decide", DENIED))
    )
    (folder / "extra-openai-models.yaml").write_text(models)
    done = subprocess.run(
        [sys.executable, "-m", "llm", *arguments, "--key", api_key, SAY],
        capture_output=True,
        text=True,
        check=False,
    )
    return Called(done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize("more", [(), ("--no-stream",)])
def test_the_llm_command_prints_an_answer(
    llm_folder: Path, base_url: str, api_key: str, more: tuple[str, ...]
) -> None:
    called = llm(llm_folder, base_url, api_key, "-m", "tidy", "-o", "max_tokens", "40", *more)
    assert (called.code, called.err) == (0, "")
    assert called.out.strip()


def test_the_llm_command_prints_why_there_is_none(
    llm_folder: Path, base_url: str, api_key: str, up: Up
) -> None:
    wrong = llm(llm_folder, base_url, "pwk_no_key", "-m", "tidy")
    assert wrong.code == 1
    assert "pointwork access create" in wrong.err
    waits = llm(llm_folder, base_url, api_key, "-m", "decide", "--no-stream")
    assert waits.code == 1
    close_waiting(up)


def curl(base_url: str, api_key: str, body: dict[str, Any], *more: str) -> tuple[int, str]:
    done = subprocess.run(
        [
            *("curl", "--silent", "--no-buffer", "--write-out", "\n%{http_code}"),
            *(f"{base_url}/chat/completions", "--header", f"authorization: Bearer {api_key}"),
            *("--header", "content-type: application/json", "--data", json.dumps(body), *more),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    text, _, status = done.stdout.rpartition("\n")
    return int(status), text


def test_curl_gets_an_answer_a_stream_an_error_a_denial_and_a_link(
    base_url: str, api_key: str, up: Up
) -> None:
    ask: dict[str, Any] = {"model": CLASS, "messages": [{"role": "user", "content": SAY}]}
    status, text = curl(base_url, api_key, ask | {"max_tokens": 40})
    assert status == 200
    assert json.loads(text)["pointwork"]["served_model"] == MODEL
    status, text = curl(base_url, api_key, ask | {"max_tokens": 40, "stream": True})
    assert status == 200
    assert text.rstrip().endswith("data: [DONE]")
    status, text = curl(base_url, api_key, ask | {"model": "nobody"})
    assert (status, json.loads(text)["error"]["code"]) == (404, "model_not_found")
    status, text = curl(base_url, api_key, ask | {"model": DENIED} | PROPRIETARY)
    assert (status, json.loads(text)["error"]["code"]) == (403, "POLICY_DENIED")
    status, text = curl(base_url, api_key, ask | {"model": DENIED})
    assert (status, json.loads(text)["pointwork"]["status"]) == (202, "pending_approval")
    close_waiting(up)
