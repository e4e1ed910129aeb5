"""Whatever a person gets wrong is told in one sentence with a remedy, and nothing is written."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest
from sqlalchemy import Engine

from pointwork.cli.errors import ExitCode
from pointwork.ledger.engine import open_engine
from tests.integration.cli.conftest import (
    Call,
    Called,
    call_process,
    call_process_async,
    row_counts,
)

BIG_BYTES = 5_000_000
SECRET = "gh" + "p_" + "Zk3v9QmX7bLw2RtY8nHc" + "5sDf1gJp4aKe6uTi"
"""Shaped like a key, and nobody's; put together here so that no scanner takes it for a real one."""


@dataclass(frozen=True)
class Wrong:
    """Arguments that are wrong. ``names`` must all stand in the message."""

    name: str
    arguments: tuple[object, ...]
    names: tuple[str, ...]
    code: ExitCode = ExitCode.BAD_INPUT


def run(*arguments: object, text: str | None = "Name a colour.") -> tuple[object, ...]:
    return ("run", *([] if text is None else [text]), *arguments)


WRONG_TASKS = [
    Wrong("missing-file", run("--file", "gone.txt", text=None), ("--file", "gone.txt")),
    Wrong("folder-as-file", run("--file", "folder", text=None), ("folder", "is a folder")),
    Wrong("device-as-file", run("--file", "/dev/zero", text=None), ("/dev/zero", "regular file")),
    Wrong("empty-text", run(text=""), ("TEXT", "empty")),
    Wrong("empty-file", run("--file", "empty.txt", text=None), ("empty.txt", "empty")),
    Wrong("white-space-only", run(text=" \n\t "), ("TEXT", "empty")),
    Wrong("5-MB-text", run("--file", "big.txt", text=None), ("big.txt", str(BIG_BYTES), "split")),
    Wrong("not-UTF-8", run("--file", "latin.txt", text=None), ("latin.txt", "byte 3", "UTF-8")),
    Wrong("NUL", run("--file", "nul.txt", text=None), ("nul.txt", "NUL")),
    Wrong("text-and-file", run("--file", "good.txt"), ("TEXT", "--file")),
    Wrong("unknown-class", run("--class", "poetry"), ("poetry", "red_team", "omega 1.0")),
    Wrong("unknown-type", run("--type", "sing"), ("--type", "sing", "brainstorm")),
    Wrong("class-and-type", run("--class", "red_team", "--type", "write"), ("--class", "--type")),
    Wrong("unknown-pack", run("--pack", "alpha"), ("alpha", "omega")),
    Wrong("unknown-model", run("--model", "gpt-99"), ("--model", "gpt-99", "smollm2-135m")),
    Wrong("unknown-mark", run("--mark", "bulky"), ("--mark", "bulky", "bulk")),
    Wrong("unknown-measure", run("--measure", "speed=3"), ("--measure", "speed", "reads none")),
    Wrong("measure-no-pair", run("--measure", "speed"), ("--measure", "speed", "NAME=NUMBER")),
    Wrong("measure-no-number", run("--measure", "a=NaN"), ("--measure", "a=NaN", "NAME=NUMBER")),
    Wrong("measure-too-big", run("--measure", "a=1e13"), ("--measure", "digits")),
    Wrong("measure-twice", run("--measure", "a=1", "--measure", "a=2"), ("--measure", "twice")),
    Wrong("unknown-stage", run("--stage", "dream"), ("--stage", "dream", "omega 1.0")),
    Wrong("gate-no-pair", run("--gate", "tests=maybe"), ("--gate", "tests=maybe", "STAGE.GATE")),
    Wrong("unknown-gate", run("--gate", "a.b=pass"), ("--gate", "a.b", "reads none")),
    Wrong("unknown-reason", run("--escalation-reason", "no"), ("--escalation-reason", "'no'")),
    Wrong("unknown-tool", run("--tool", "hammer"), ("--tool", "hammer", "reads none")),
    Wrong("unknown-complexity", run("--complexity", "odd"), ("--complexity", "odd", "medium")),
    Wrong("bad-subject", run("--subject", "two words"), ("--subject", "two words")),
    Wrong("bad-source", run("--source", "two words"), ("--source", "two words")),
    Wrong("bad-corpus", run("--corpus", "../etc"), ("--corpus", "../etc")),
    Wrong("bad-review", run("--reviews", "a b"), ("--reviews", "a b")),
    Wrong("diff-not-read", run("--diff", "good.txt"), ("--diff", "omega 1.0", "leave it out")),
    Wrong("spec-not-read", run("--spec", "good.txt"), ("--spec", "omega 1.0", "leave it out")),
    Wrong("unknown-sensitivity", run("--sensitivity", "secret"), ("--sensitivity", "restricted")),
    Wrong("unknown-data-class", run("--data-class", "cats"), ("--data-class", "personal")),
    Wrong("bad-id-characters", run("--id", "a b/c"), ("--id", "a b/c", "letters")),
    Wrong("id-too-long", run("--id", "x" * 129), ("--id", "129 characters")),
    Wrong("zero-max-tokens", run("--max-tokens", "0"), ("--max-tokens", "0", "65536")),
    Wrong("negative-max-tokens", run("--max-tokens", "-5"), ("--max-tokens", "-5", "65536")),
    Wrong("max-tokens-no-number", run("--max-tokens", "many"), ("--max-tokens", "many")),
    Wrong("temperature-too-high", run("--temperature", "2.1"), ("--temperature", "2.1", "0 to 2")),
    Wrong("temperature-NaN", run("--temperature", "nan"), ("--temperature", "nan", "0 to 2")),
    Wrong("priority-6", run("--priority", "6"), ("--priority", "6")),
    Wrong("no-items", run("--items", "0"), ("--items", "0")),
    Wrong("deadline-0", run("--deadline", "0"), ("--deadline", "0")),
    Wrong("negative-wait", run("--wait", "-1"), ("--wait", "-1")),
    Wrong("wait-and-no-wait", run("--wait", "1", "--no-wait"), ("--wait", "--no-wait")),
    Wrong("schema-missing", run("--schema", "gone.json"), ("--schema", "gone.json")),
    Wrong("schema-no-JSON", run("--schema", "good.txt"), ("good.txt", "JSON")),
    Wrong("schema-a-list", run("--schema", "list.json"), ("list.json", "JSON object")),
    Wrong("schema-no-schema", run("--schema", "odd.json"), ("odd.json", "properties/a/type")),
    Wrong("image-no-image", run("--image", "good.txt"), ("--image", "good.txt", "PNG")),
    Wrong("two-line-description", run("--description", "a\nb"), ("--description", "line")),
    Wrong("long-description", run("--description", "d" * 201), ("--description", "200")),
    Wrong("secret-in-description", run("--description", f"use {SECRET}"), ("--description",)),
    Wrong("secret-in-justification", run("--justification", SECRET), ("--justification",)),
    Wrong("bad-caller", run("--caller", "two words"), ("--caller", "two words")),
    Wrong("unknown-option", run("--modle", "x"), ("--modle", "pointwork run --help")),
    Wrong("no-server", run(), ("pointwork up", "nothing runs"), ExitCode.UNAVAILABLE),
]

WRONG_CALLS = [
    Wrong("unknown-command", ("runn",), ("runn", "pointwork --help")),
    Wrong("no-such-state", ("list", "--state-dir", "gone"), ("gone", "up"), ExitCode.UNAVAILABLE),
    Wrong("show-unknown", ("show", "task-0"), ("task-0", "pointwork list")),
    Wrong("explain-unknown", ("explain", "task-0"), ("task-0", "pointwork list")),
    Wrong("cancel-not-running", ("cancel", "task-0"), ("up",), ExitCode.UNAVAILABLE),
    Wrong("list-no-rows", ("list", "--limit", "0"), ("--limit", "0")),
    Wrong("list-odd-status", ("list", "--status", "done"), ("--status", "succeeded")),
    Wrong("approve-no-reason", ("approve", "task-0"), ("--reason",)),
    Wrong("approve-short", ("approve", "t", "--reason", "ok"), ("--reason", "8 to 500")),
    Wrong("approve-secret", ("approve", "t", "--reason", f"see {SECRET}"), ("--reason",)),
    Wrong("deny-nothing", ("deny", "t", "--reason", "not needed"), ("'t'", "inbox")),
    Wrong("replay-nothing", ("audit", "replay"), ("--all",)),
    Wrong("replay-both", ("audit", "replay", "t", "--all"), ("ID", "--all")),
    Wrong("replay-unknown", ("audit", "replay", "t"), ("'t'", "pointwork list")),
    Wrong("log-odd-format", ("audit", "log", "--format", "xml"), ("--format", "omega")),
    Wrong("pull-unknown", ("models", "pull", "big"), ("big", "smollm2-135m")),
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with files to get wrong."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty.txt").touch()
    (tmp_path / "big.txt").write_bytes(b"x" * BIG_BYTES)
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9 noir")
    (tmp_path / "nul.txt").write_bytes(b"one\0two")
    (tmp_path / "good.txt").write_text("Name a colour.")
    (tmp_path / "list.json").write_text("[1, 2]")
    (tmp_path / "odd.json").write_text('{"properties": {"a": {"type": "colour"}}}')
    monkeypatch.chdir(tmp_path)
    return tmp_path


def check_told(called: Called, wrong: Wrong) -> None:
    """One sentence on stderr that names what is wrong and what to do; nothing else anywhere."""
    assert called.code == wrong.code
    assert called.out == ""
    lines = called.err.splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("error: ")
    assert "; " in lines[0], "the remedy stands after a semicolon"
    for name in wrong.names:
        assert name in lines[0]
    assert "Traceback" not in called.err
    assert SECRET not in called.err


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("wrong", WRONG_TASKS, ids=lambda wrong: wrong.name)
def test_a_wrong_task_is_told_in_one_sentence_and_nothing_is_written(
    wrong: Wrong, call: Call, state_dir: Path, ledger: Engine, repository: Path
) -> None:
    before = row_counts(ledger)

    called = call(
        *wrong.arguments, "--state-dir", state_dir, "--policies-dir", repository / "policies"
    )

    check_told(called, wrong)
    assert row_counts(ledger) == before


@pytest.mark.parametrize("wrong", WRONG_CALLS, ids=lambda wrong: wrong.name)
def test_a_wrong_call_of_any_command_is_told_in_one_sentence(
    wrong: Wrong, call: Call, state_dir: Path, ledger: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POINTWORK_STATE_DIR", str(state_dir))
    before = row_counts(ledger)

    check_told(call(*wrong.arguments), wrong)

    assert row_counts(ledger) == before


def change(old: str, new: str) -> Callable[[str], bytes]:
    def apply(text: str) -> bytes:
        assert old in text
        return text.replace(old, new, 1).encode()

    return apply


def bomb(_: str) -> bytes:
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    lines += [f"{n}: &{n} [{', '.join(['*' + m] * 9)}]" for m, n in pairwise("abcdefgh")]
    return "\n".join(lines).encode()


WRONG_PACKS: dict[str, tuple[Callable[[str], bytes], tuple[str, ...]]] = {
    "broken-YAML": (change("pack: omega", "pack: [omega"), ("line",)),
    "alias-bomb": (bomb, ("line 1", "anchor")),
    "duplicate-key": (change("rank: ", "pack: omega\nrank: "), ("'pack'", "twice")),
    "unknown-key": (change("rank: ", "ranking: 1\nrank: "), ("ranking", "unknown key")),
    "wrong-amount": (change('"0.05"', '"five"'), ("ceilings", "'five'")),
    "negative-ceiling": (change('"0.05"', '"-0.05"'), ("ceilings", "'-0.05'")),
    "float-amount": (change('"0.05"', "0.05"), ("ceilings", "0.05", "quoted")),
    "missing-ceiling": (change("  bulk_generation: {local", "  other: {local"), ("ceiling",)),
    "unknown-family": (change("[[claude_class]", "[[poet_class]"), ("poet_class",)),
    "20000-deep": (lambda _: b"a: " + b"[" * 20_000 + b"]" * 20_000, ("levels",)),
    "NUL": (lambda text: text.encode() + b"\0", ("NUL",)),
    "not-UTF-8": (lambda text: text.encode() + b"# \xe9", ("UTF-8",)),
    "2-MB": (lambda text: text.encode() + b"#" * 2_000_000, ("bytes",)),
}


@pytest.mark.parametrize("name", WRONG_PACKS)
def test_a_wrong_pack_is_told_in_one_sentence_with_its_place(
    name: str, call: Call, tmp_path: Path, repository: Path
) -> None:
    spoil, names = WRONG_PACKS[name]
    path = tmp_path / "pack.yaml"
    good = (repository / "policies" / "omega" / "1.0.yaml").read_text()
    path.write_bytes(spoil(good))

    called = call("policy", "validate", path)

    check_told(called, Wrong(name, (), (str(path), *names), ExitCode.BAD_POLICY))


def test_a_pack_that_is_missing_or_a_link_is_refused(
    call: Call, tmp_path: Path, repository: Path
) -> None:
    link = tmp_path / "link.yaml"
    link.symlink_to(repository / "policies" / "omega" / "1.0.yaml")
    for path, word in ((link, "link"), (tmp_path / "gone.yaml", "not a file")):
        called = call("policy", "validate", path)
        check_told(called, Wrong("", (), (str(path), word), ExitCode.BAD_POLICY))


def test_a_task_document_of_the_demonstration_is_read_as_strictly_as_a_policy(
    call: Call, tmp_path: Path
) -> None:
    (tmp_path / "one.yaml").write_text("title: One\ntext: Hi\nexpects: {}\n")
    called = call("demo", "--tasks", tmp_path, "--state-dir", tmp_path / "state")
    check_told(called, Wrong("", (), ("one.yaml", "expect"), ExitCode.BAD_POLICY))
    assert not (tmp_path / "state").exists()


def test_with_json_an_error_is_the_one_document_on_stdout(call: Call, state_dir: Path) -> None:
    called = call("run", "Hello", "--class", "poetry", "--json", "--state-dir", state_dir)
    document = json.loads(called.out)
    assert document["error"]["code"] == "bad_input"
    assert "poetry" in document["error"]["message"]
    assert called.err == ""


def test_the_installed_entry_point_ends_with_the_code_and_no_traceback(state_dir: Path) -> None:
    wrong = Wrong("", (), ("stdin", "empty"))
    check_told(call_process("run", "--state-dir", state_dir), wrong)
    wrong = Wrong("", (), ("stdin", "NUL"))
    check_told(call_process("run", "-", "--state-dir", state_dir, stdin=b"a\0b"), wrong)
    wrong = Wrong("", (), ("stdin", "1500000", "split"))
    big = b"x" * BIG_BYTES
    check_told(call_process("run", "--state-dir", state_dir, stdin=big), wrong)


def submitted(engine: Engine) -> dict[str, int]:
    """The tables a submission writes; workers, where a test left some running, write others."""
    counts = row_counts(engine)
    return {name: counts[name] for name in ("task", "vault_content", "vault_key")}


async def test_an_id_reused_with_other_content_is_refused_and_nothing_is_written(
    served_dir: Path,
) -> None:
    options = ("--id", "reused-1", "--class", "red_team", "--no-wait", "--state-dir", served_dir)
    first = await call_process_async("run", "Name a colour.", *options)
    assert (first.code, first.out) == (ExitCode.OK, "reused-1\n")
    engine = open_engine(f"sqlite:///{served_dir / 'ledger.db'}")
    before = submitted(engine)

    second = await call_process_async("run", "Name a river.", *options)

    check_told(second, Wrong("", (), ("reused-1", "new id")))
    assert submitted(engine) == before
    engine.dispose()
    again = await call_process_async("run", "Name a colour.", *options)
    assert (again.code, again.out) == (ExitCode.OK, "reused-1\n")
