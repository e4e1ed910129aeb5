"""``pointwork codec`` and what ``--payload-keys`` does, in processes of their own."""

import asyncio
import base64
import json
import os
import signal
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client

from pointwork.cli.errors import ExitCode
from pointwork.embedded import read_endpoints
from tests.integration.cli.conftest import Called, call_process, command
from tests.integration.cli.upping import lend_weights
from tests.integration.codec.conftest import fields, raw


@pytest.fixture(autouse=True)
def in_the_repository(monkeypatch: pytest.MonkeyPatch, repository: Path) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(repository)


def test_a_new_key_file_is_made_for_its_owner_alone_and_never_twice(tmp_path: Path) -> None:
    file = tmp_path / "payload.keys"
    made = call_process("codec", "new-key", file, "--json")
    assert json.loads(made.out)["active"].startswith("pk-")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    again = call_process("codec", "new-key", file)
    assert again.code == ExitCode.UNAVAILABLE
    assert f"pointwork codec rotate {file}" in again.error_lines[0]


def test_a_rotation_keeps_the_older_key_and_shows_neither(tmp_path: Path) -> None:
    file = tmp_path / "payload.keys"
    first = json.loads(call_process("codec", "new-key", file, "--json").out)["active"]
    rotated = call_process("codec", "rotate", file)
    document = json.loads(file.read_text())
    assert first in document["keys"]
    assert document["active"] in rotated.out
    assert not any(key in rotated.out + rotated.err for key in document["keys"].values())


@pytest.mark.parametrize("arguments", [["codec", "rotate"], ["codec", "new-key"]])
def test_a_path_that_leads_nowhere_is_refused_with_a_remedy(
    tmp_path: Path, arguments: list[str]
) -> None:
    called = call_process(*arguments, tmp_path / "nowhere" / "payload.keys")
    assert called.code == ExitCode.UNAVAILABLE
    assert len(called.error_lines) == 1


@pytest.mark.parametrize("arguments", [["up"], ["demo"]])
def test_nothing_starts_where_the_keys_cannot_be_read(tmp_path: Path, arguments: list[str]) -> None:
    keys, state = tmp_path / "payload.keys", tmp_path / "state"
    called = call_process("--payload-keys", keys, *arguments, "--state-dir", state)
    assert called.code == ExitCode.UNAVAILABLE
    assert called.error_lines == [
        f"error: there is no key file {keys}; correct the path, or restore it from your backup"
    ]
    assert not state.exists()


@contextmanager
def up(state_dir: Path, *options: object) -> Iterator[subprocess.Popen[str]]:
    """``pointwork up`` until the block is left."""
    with (state_dir.parent / "up.log").open("wb") as log:
        process = subprocess.Popen(
            command(*options, "up", "--state-dir", state_dir, "--json"),
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        assert process.stdout is not None
        for line in process.stdout:
            if line == "}\n":
                break
        else:
            raise AssertionError((state_dir.parent / "up.log").read_text())
        try:
            yield process
        finally:
            os.kill(process.pid, signal.SIGTERM)
            process.communicate(timeout=60)


def history(state_dir: Path, task_id: str) -> dict[str, Any]:
    async def fetched() -> dict[str, Any]:
        client = await Client.connect(read_endpoints(state_dir).temporal_address)
        return raw(await client.get_workflow_handle(task_id).fetch_history())

    return asyncio.run(fetched())


def routed(state_dir: Path, task_id: str) -> Called:
    task = ("run", "-", "--type", "summarize", "--id", task_id, "--max-tokens", "8", "--json")
    text = b"Say in one sentence: the train is late today."
    return call_process(*task, "--state-dir", state_dir, stdin=text)


def encodings(document: dict[str, Any]) -> set[str]:
    for attributes in fields(document, "searchAttributes"):
        attributes.clear()
    return {base64.b64decode(each).decode() for each in fields(document, "encoding")}


@pytest.mark.xdist_group("cli-live")
def test_a_deployment_started_with_keys_keeps_them_in_every_command_and_the_next_start(
    repository: Path,
) -> None:
    """One start alone is told of the keys; a task from before them replays where that is asked."""
    with tempfile.TemporaryDirectory(prefix="pw-keys-") as folder:
        state_dir, keys = Path(folder) / "state", Path(folder) / "payload.keys"
        there = ("--state-dir", state_dir)
        lend_weights(repository, state_dir)
        with up(state_dir):
            assert routed(state_dir, "before").code == ExitCode.OK
        assert call_process("codec", "new-key", keys).code == ExitCode.OK
        with up(state_dir, "--payload-keys", keys, "--accept-plaintext-payloads"):
            assert read_endpoints(state_dir).payload_keys == keys
            assert routed(state_dir, "after").code == ExitCode.OK
            assert encodings(history(state_dir, "before")) == {"json/plain"}
            assert encodings(history(state_dir, "after")) == {"binary/encrypted"}
            assert call_process("audit", "replay", "after", *there).code == ExitCode.OK
            strict = call_process("audit", "replay", "before", *there)
            assert strict.code == ExitCode.MISMATCH
            assert "is not encrypted although keys are set" in strict.out
            lenient = ("--accept-plaintext-payloads", "audit", "replay", "before")
            assert call_process(*lenient, *there).code == ExitCode.OK
            keys.rename(keys.with_suffix(".away"))
            assert "there is no key file" in call_process("doctor", *there).out
            assert routed(state_dir, "third").code == ExitCode.UNAVAILABLE
        assert "there is no key file" in call_process("up", *there).error_lines[0]
