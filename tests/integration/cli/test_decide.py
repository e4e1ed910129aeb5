"""`pointwork decide`: facts in, plan out, with nothing running and nothing written."""

import json
from pathlib import Path

import pytest

from pointwork.cli.errors import ExitCode
from pointwork.contract.decision import Plan
from tests.integration.cli.conftest import Call, Called, call_process

PACKS = ("omega", "codex", "juggernaut", "socioprophet")


def lines(called: Called) -> list[str]:
    return [" ".join(line.split()) for line in called.out.splitlines()]


def test_a_task_that_would_run_prints_its_plan_and_exits_with_0(call: Call) -> None:
    done = call("decide", "--class", "high_stakes_logic", "--sensitivity", "public")
    assert done.code == ExitCode.OK
    shown = lines(done)
    assert shown[0] == "effect run"
    assert "obliges redact" in shown
    head = shown.index("PERMITTED LANE SITE WHY THERE ESTIMATE CEILING")
    assert shown[head + 1].startswith("gpt-5.1 high public api default $")
    assert shown[head + 1].endswith(" $0.5000")
    assert "budget $20.0000 a day for pack/omega" in shown
    assert any(line.startswith("smollm2-135m not_in_route The pack's route") for line in shown)
    assert shown[-1] == (
        "would change it Nothing needs to change: gpt-5.1 is permitted and sufficient."
    )


def test_a_held_task_exits_with_5_and_says_what_would_open_it(call: Call) -> None:
    done = call("decide", "--class", "high_stakes_logic")
    assert done.code == ExitCode.WAITING
    assert lines(done)[0] == (
        "effect hold: Nobody confirmed the data class, so content stays local. "
        "Waits for a person: data_classification."
    )
    assert lines(done)[-1] == "public declared with --sensitivity: gpt-5.1 would answer."


def test_a_denied_task_exits_with_1_and_its_sentence(call: Call) -> None:
    done = call("decide")
    assert done.code == ExitCode.NO_ANSWER
    assert lines(done)[0] == (
        "effect deny: The task's class is unknown, and no model runs without one."
    )


def test_a_typed_move_is_told_with_the_rule_that_made_it(call: Call) -> None:
    facts = ("--pack", "codex", "--class", "implementer", "--measure", "diff_lines=900")
    shown = lines(call("decide", *facts))
    assert (
        "move escalation up, direct_scope, from lane local to lane high, attempt 1 "
        "(diff_lines=900 above 500): claude-sonnet-5, gpt-5.1"
    ) in shown
    assert any(line.startswith("rule direct_scope while ") for line in shown)


def test_json_is_the_plan(call: Call) -> None:
    done = call("decide", "--class", "bulk_generation", "--json")
    plan = Plan.model_validate_json(done.out)
    assert (plan.effect, plan.candidates[0].model) == ("run", "smollm2-135m")


def test_a_document_a_stream_and_options_say_the_same(call: Call, tmp_path: Path) -> None:
    text = "task_class: red_team\nsensitivity: public\nitems: 3\n"
    path = tmp_path / "facts.yaml"
    path.write_text(text)
    options = ("--class", "red_team", "--sensitivity", "public", "--items", "3")
    by_options = call("decide", *options, "--json").out
    assert call("decide", path, "--json").out == by_options
    assert call_process("decide", "-", "--json", stdin=text.encode()).out == by_options


def test_options_go_before_the_document_and_add_to_its_marks(call: Call, tmp_path: Path) -> None:
    path = tmp_path / "facts.yaml"
    path.write_text("task_class: red_team\nmarks: [batch]\nsensitivity: public\n")
    done = call("decide", path, "--class", "bulk_generation", "--mark", "bulk", "--json")
    plan = json.loads(done.out)
    assert plan["task_class"] == "bulk_generation"
    details = {each["detail"] for each in plan["rejected"] if each["reason"] == "local_required"}
    assert details == {"batch, bulk"}


def test_a_task_type_is_mapped_by_the_pack(call: Call) -> None:
    plan = json.loads(call("decide", "--type", "brainstorm", "--json").out)
    assert (plan["task_class"], plan["class_source"]) == ("exploratory_reasoning", "mapped")


def test_another_host_has_other_local_models(call: Call) -> None:
    facts = ("--pack", "codex", "--class", "tutor", "--sensitivity", "public", "--json")
    first = [
        json.loads(call("decide", *facts, "--host", host).out)["candidates"][0]["model"]
        for host in ("embedded", "rtx5090")
    ]
    assert first == ["smollm2-135m", "qwen3-coder-30b-a3b"]


@pytest.mark.parametrize(
    ("pack", "name", "code"),
    [
        ("omega", "high-stakes-undeclared", ExitCode.WAITING),
        ("omega", "cloud-out-and-keys-missing", ExitCode.NO_ANSWER),
        ("codex", "codex-large-change", ExitCode.OK),
        ("juggernaut", "juggernaut-over-budget", ExitCode.OK),
        ("socioprophet", "socioprophet-planning-without-receipts", ExitCode.NO_ANSWER),
    ],
)
def test_each_example_does_what_its_head_says(
    call: Call, repository: Path, pack: str, name: str, code: ExitCode
) -> None:
    path = repository / "examples" / "facts" / f"{name}.yaml"
    assert f"examples/facts/{name}.yaml" in path.read_text().splitlines()[0]
    done = call("decide", "--pack", pack, path)
    assert done.code == code
    assert "would change it" in done.out


def test_every_example_is_run(repository: Path) -> None:
    assert len(list((repository / "examples" / "facts").iterdir())) == 5


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("gone.yaml",), ("FACTS gone.yaml does not exist", "YAML")),
        (("policies",), ("FACTS policies is a folder",)),
        (("--pack", "omga"), ("'omga'", "omega", "codex")),
        (("--class", "poetry"), ("--class 'poetry'", "omega 1.0", "red_team")),
        (("--type", "sing"), ("--type 'sing'", "brainstorm")),
        (("--class", "red_team", "--type", "write"), ("--class", "--type")),
        (("--mark", "bulky"), ("--mark 'bulky'", "omega 1.0", "bulk")),
        (("--pack", "codex", "--mark", "fast_drafts"), ("--mark 'fast_drafts'", "fast_draft")),
        (("--measure", "files=3"), ("--measure 'files'", "leave it out")),
        (("--pack", "codex", "--measure", "difflines=3"), ("'difflines'", "diff_lines")),
        (("--measure", "files"), ("--measure 'files'", "NAME=NUMBER")),
        (("--measure", "files=-1"), ("--measure", "files", "greater than or equal to 0")),
        (("--stage", "dreaming"), ("--stage 'dreaming'", "leave it out")),
        (("--model", "gpt-99"), ("--model 'gpt-99'", "smollm2-135m")),
        (("--sensitivity", "secret"), ("--sensitivity", "restricted")),
        (("--items", "0"), ("--items '0'", "greater than or equal to 1")),
        (("--max-tokens", "0"), ("--max-tokens '0'", "greater than or equal to 1")),
        (("--caller", "two words"), ("--caller 'two words'",)),
    ],
)
def test_bad_input_names_field_value_and_remedy(
    call: Call, arguments: tuple[str, ...], says: tuple[str, ...]
) -> None:
    done = call("decide", *arguments)
    assert (done.code, done.out) == (ExitCode.BAD_INPUT, "")
    (line,) = done.error_lines
    assert all(each in line for each in says), line
    assert "; " in line


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("task_clas: red_team\n", ("line 1", "task_clas", "unknown key")),
        ("task_class: red_team\nitems: many\n", ("line 2", "items", "'many'")),
        ("sensitivity: secret\n", ("line 1", "sensitivity", "'secret'")),
        ("budget_spent: 1.5\n", ("line 1", "budget_spent", "quoted string")),
        ("a: &a [1]\n", ("&a", "write the value out")),
        ("[1, 2]\n", ("mapping",)),
    ],
)
def test_a_wrong_document_is_told_with_file_line_and_field(
    call: Call, tmp_path: Path, text: str, says: tuple[str, ...]
) -> None:
    path = tmp_path / "facts.yaml"
    path.write_text(text)
    done = call("decide", path)
    assert done.code == ExitCode.BAD_POLICY
    (line,) = done.error_lines
    assert str(path) in line
    assert all(each in line for each in says), line


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("task_class: poetry\n", "task_class 'poetry' is not known to pack omega 1.0"),
        ("marks: [bulky]\n", "marks 'bulky' is not known"),
        ("without_keys: [opnai]\n", "without_keys 'opnai' is not known"),
        ("failed: [{model: gpt-99}]\n", "failed 'gpt-99' is not known"),
        ("items: 0\n", "items '0' is not allowed"),
    ],
)
def test_a_misspelt_name_in_a_document_is_told_with_the_names_there_are(
    call: Call, tmp_path: Path, text: str, says: str
) -> None:
    path = tmp_path / "facts.yaml"
    path.write_text(text)
    done = call("decide", path)
    assert done.code == ExitCode.BAD_INPUT
    (line,) = done.error_lines
    assert f"{path}: {says}" in line


def test_a_justification_is_never_repeated_in_an_error(call: Call) -> None:
    done = call("decide", "--class", "red_team", "--justification", "line\nprivate words")
    assert done.code == ExitCode.BAD_INPUT
    assert "--justification" in done.err
    assert "private words" not in done.err


@pytest.mark.parametrize("pack", PACKS)
def test_every_pack_decides_from_anywhere_without_state(
    pack: str, repository: Path, tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = call("decide", "--pack", pack, "--policies-dir", repository / "policies")
    assert done.code == ExitCode.NO_ANSWER
    assert list(tmp_path.iterdir()) == []
