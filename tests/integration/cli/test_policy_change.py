"""`policy diff` and `policy plan`: what a new version says, and would do to recorded tasks."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine

from pointwork.cli.errors import ExitCode
from pointwork.cli.policy_change import CROSSES
from pointwork.contract.task import Sensitivity
from pointwork.policy.bundle import PolicyBundle
from tests.fakes.policy_facts import NOW, Situation, changed, shipped
from tests.integration.cli.conftest import Call, Called, row_counts
from tests.integration.cli.decided import log, record, remember

PUBLIC = Sensitivity.PUBLIC
BULK = Situation(task_class="bulk_generation", sensitivity=PUBLIC)
HARD = Situation(task_class="high_stakes_logic", sensitivity=PUBLIC)
OMEGA = Path("policies") / "omega" / "1.0.yaml"


@pytest.fixture
def omega(repository: Path) -> str:
    return (repository / OMEGA).read_text()


@pytest.fixture
def saved(tmp_path: Path, omega: str) -> "Saved":
    return Saved(tmp_path, omega)


class Saved:
    """New versions of omega, each in a file of its own."""

    def __init__(self, folder: Path, text: str) -> None:
        self._folder, self._text = folder, text

    def with_(self, *replaced: tuple[str, str], name: str = "draft.yaml") -> Path:
        text = self._text
        for old, new in (('version: "1.0"', 'version: "1.1"'), *replaced):
            assert old in text, old
            text = text.replace(old, new, 1)
        path = self._folder / name
        path.write_text(text)
        return path


CLAUDE_FIRST = (
    "rungs: [[gpt_class], [claude_class, gemini_class]]",
    "rungs: [[claude_class], [gpt_class, gemini_class]]",
)
BULK_IN_THE_CLOUD = (
    "bulk_generation: {local_open",
    'bulk_generation: {gpt_class: "0.05", local_open',
)
BULK_ROUTE = ("rungs: [[local_open]]", "rungs: [[gpt_class]]")


def tasks(engine: Engine, *situations: Situation, bundle: PolicyBundle | None = None) -> None:
    """A recorded task a situation, a minute apart, oldest first: task-0, task-1 and so on."""
    rules = bundle or shipped()
    remember(engine, rules)
    for number, each in enumerate(situations):
        at = NOW + timedelta(minutes=number)
        log(engine, record(f"task-{number}", each, rules, at=at))


@pytest.fixture
def plan(call: Call, state_dir: Path) -> Call:
    def run(new: object, *arguments: object) -> Called:
        return call("policy", "plan", new, *arguments, "--state-dir", state_dir)

    return run


def test_the_same_rules_print_so_and_exit_with_0(call: Call) -> None:
    done = call("policy", "diff", "omega", "omega@1.0")
    assert done.code == 0
    sha256 = shipped().sha256[:12]
    assert done.out == f"No rule differs between omega 1.0 ({sha256}) and omega 1.0 ({sha256}).\n"


def test_changed_rules_are_grouped_in_words_and_exit_with_1(call: Call, saved: Saved) -> None:
    path = saved.with_(
        CLAUDE_FIRST,
        ('gpt_class: "0.50", claude', 'gpt_class: "0.60", claude'),
        ("redact_before_egress: true", "redact_before_egress: false"),
    )
    done = call("policy", "diff", "omega@1.0", path)
    assert done.code == 1
    head, *lines = (" ".join(line.split()) for line in done.out.splitlines())
    assert head.startswith("From omega 1.0 (")
    assert lines == [
        "header version now 1.1, was 1.0",
        "routes high_stakes_logic: default route now claude_class, then gpt_class or gemini_class; "
        "was gpt_class, then claude_class or gemini_class",
        "ceilings high_stakes_logic: gpt_class now $0.6000, was $0.5000 (+$0.1000)",
        "privacy redact_before_egress now no, was yes [privacy]",
    ]
    assert done.err == "4 changes, 1 of them privacy-relevant.\n"


def test_a_difference_is_one_document_for_a_program(call: Call, saved: Saved) -> None:
    done = call("policy", "diff", "omega", saved.with_(), "--json")
    document = json.loads(done.out)
    assert (done.code, document["same"], document["b"]["version"]) == (1, False, "1.1")
    assert document["changes"] == [
        {"group": "header", "sentence": "version now 1.1, was 1.0", "is_privacy": False}
    ]


def test_a_side_may_be_named_by_the_beginning_of_a_hash_the_ledger_has(
    call: Call, ledger: Engine, state_dir: Path
) -> None:
    past = changed(shipped(), pack={"version": "0.9", "hard_stop": False})
    remember(ledger, past)
    for name in (past.sha256[:8], past.pack_sha256[:8], "omega@0.9"):
        done = call("policy", "diff", name, "omega", "--state-dir", state_dir)
        assert done.code == 1
        assert "hard_stop now yes, was no" in done.out


@pytest.mark.parametrize(
    ("a", "says"),
    [
        ("omga", ("A 'omga'", "omega@1.0")),
        ("omega@9.9", ("A 'omega@9.9'", "omega@1.0")),
        ("gone.yaml", ("A gone.yaml does not exist",)),
        ("policies/omega", ("A policies/omega is a folder",)),
        ("0123456789ab", ("A '0123456789ab'", "hash")),
    ],
)
def test_a_side_that_is_not_there_is_told_in_one_sentence(
    call: Call, a: str, says: tuple[str, ...]
) -> None:
    done = call("policy", "diff", a, "omega")
    assert (done.code, done.out) == (ExitCode.BAD_INPUT, "")
    (line,) = done.error_lines
    assert all(each in line for each in says)


def test_a_document_that_is_wrong_is_no_difference(call: Call, tmp_path: Path) -> None:
    (tmp_path / "new.yaml").write_text("pack: omega\n")
    assert call("policy", "diff", "omega", tmp_path / "new.yaml").code == ExitCode.BAD_POLICY


def test_under_the_same_rules_no_recorded_task_changes(plan: Call, ledger: Engine) -> None:
    tasks(ledger, BULK, HARD)
    done = plan("omega")
    assert done.code == ExitCode.OK
    lines = [" ".join(line.split()) for line in done.out.splitlines()]
    assert "decided again 2 recorded decisions" in lines
    assert "effect changes 0" in lines
    assert "cost $0.0000, in estimates of the first call" in lines
    assert lines[-1] == "No task would cross a privacy tier."


def test_changed_routes_are_a_table_with_counts_and_cost(
    plan: Call, ledger: Engine, saved: Saved
) -> None:
    tasks(ledger, HARD, BULK, HARD)
    done = plan(saved.with_(CLAUDE_FIRST))
    lines = [" ".join(line.split()) for line in done.out.splitlines()]
    assert "model changes 2" in lines
    (row,) = (line for line in lines if line.startswith("high_stakes_logic"))
    assert row.startswith("high_stakes_logic gpt-5.1 claude-sonnet-5 2 +$")
    assert done.code == ExitCode.OK


def test_a_task_that_would_leave_the_house_exits_with_2_and_is_named(
    plan: Call, ledger: Engine, saved: Saved
) -> None:
    tasks(ledger, BULK, HARD, BULK)
    done = plan(saved.with_(BULK_ROUTE, BULK_IN_THE_CLOUD))
    assert done.code == CROSSES == 2
    rows = [" ".join(line.split()) for line in done.out.splitlines() if "leaves" in line]
    told = "would go to deepseek-chat (public api); was smollm2-135m (local)"
    assert rows == [f"{task} leaves yes {told}" for task in ("task-0", "task-2")]
    assert done.out.endswith("The text of 2 tasks would cross a privacy tier.\n")


def test_a_plan_is_one_document_for_a_program(plan: Call, ledger: Engine, saved: Saved) -> None:
    tasks(ledger, BULK)
    done = plan(saved.with_(BULK_ROUTE, BULK_IN_THE_CLOUD), "--json")
    document = json.loads(done.out)
    assert (done.code, document["crosses"], document["decisions"]) == (2, True, 1)
    assert [each["task_id"] for each in document["privacy"]] == ["task-0"]
    assert document["routes"][0]["tasks"] == 1


def test_each_task_counts_once_by_its_first_decision_and_the_latest_come_first(
    plan: Call, ledger: Engine
) -> None:
    remember(ledger, shipped())
    first = record("task-a", HARD, shipped())
    log(ledger, first, record("task-a", HARD, shipped(), failed=("gpt-5.1",)))
    log(ledger, record("task-b", BULK, shipped(), at=NOW + timedelta(hours=1)))
    assert json.loads(plan("omega", "--json").out)["decisions"] == 2
    assert json.loads(plan("omega", "--json").out)["first_changes"] == 0
    assert json.loads(plan("omega", "--last", 1, "--json").out)["decisions"] == 1


def test_decisions_of_other_packs_are_left_alone(plan: Call, ledger: Engine) -> None:
    tasks(ledger, Situation(task_class="ops"), bundle=shipped("juggernaut"))
    done = plan("omega")
    assert done.code == ExitCode.OK
    assert done.out == "No decision of pack omega is recorded; nothing to compare.\n"
    assert json.loads(plan("juggernaut", "--json").out)["decisions"] == 1


def test_decisions_by_rules_nobody_kept_are_counted_and_said(plan: Call, ledger: Engine) -> None:
    log(ledger, record("task-old", HARD, changed(shipped(), pack={"version": "0.9"})))
    done = plan("omega")
    told = "unknown rules 1 decision was made by rules that are not in this ledger"
    assert told in " ".join(done.out.split())
    assert done.code == ExitCode.OK


def test_a_plan_writes_nothing(plan: Call, ledger: Engine) -> None:
    tasks(ledger, BULK, HARD)
    before = row_counts(ledger)
    plan("omega")
    assert row_counts(ledger) == before


def test_situations_stand_in_for_records(call: Call, saved: Saved, tmp_path: Path) -> None:
    lines = tmp_path / "facts.jsonl"
    lines.write_text(
        '{"task_class": "bulk_generation", "sensitivity": "public"}\n\n'
        '{"task_class": "high_stakes_logic", "sensitivity": "public"}\n'
    )
    new = saved.with_(BULK_ROUTE, BULK_IN_THE_CLOUD)
    done = call("policy", "plan", new, "--facts", lines, "--json")
    document = json.loads(done.out)
    assert (done.code, document["decisions"]) == (2, 2)
    assert [each["task_id"] for each in document["privacy"]] == ["line 1"]


def test_situations_of_a_folder_are_named_by_their_files(
    call: Call, saved: Saved, tmp_path: Path
) -> None:
    folder = tmp_path / "facts"
    folder.mkdir()
    (folder / "a-batch.yaml").write_text("task_class: bulk_generation\nsensitivity: public\n")
    new = saved.with_(BULK_ROUTE, BULK_IN_THE_CLOUD)
    done = call("policy", "plan", new, "--facts", folder, "--against", "omega@1.0")
    assert done.code == CROSSES
    assert "a-batch" in done.out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("omga",), ("NEW 'omga'", "omega@1.0")),
        (("omega", "--last", "0"), ("--last '0'", "--help")),
        (("omega", "--lats", "5"), ("--lats",)),
        ((), ("NEW",)),
        (("omega", "--against", "omega"), ("--against", "--facts")),
        (("omega", "--facts", "gone.jsonl"), ("--facts gone.jsonl", "does not exist")),
        (("gone.yaml",), ("NEW gone.yaml does not exist",)),
    ],
)
def test_bad_input_of_a_plan_never_looks_like_a_crossing(
    call: Call, state_dir: Path, arguments: tuple[str, ...], says: tuple[str, ...]
) -> None:
    done = call("policy", "plan", *arguments, "--state-dir", state_dir)
    assert (done.code, done.out) == (ExitCode.USAGE, "")
    assert ExitCode.USAGE != CROSSES
    (line,) = done.error_lines
    assert all(each in line for each in says)


def test_a_wrong_situation_is_told_with_file_line_and_field(call: Call, tmp_path: Path) -> None:
    facts = tmp_path / "facts.jsonl"
    facts.write_text('{"task_class": "bulk_generation"}\n{"task_clas": "x"}\n')
    done = call("policy", "plan", "omega", "--facts", facts)
    assert done.code == ExitCode.BAD_POLICY
    (line,) = done.error_lines
    assert f"{facts}:2" in line
    assert "task_clas: unknown key" in line


def test_a_plan_without_a_ledger_is_unavailable(call: Call, tmp_path: Path) -> None:
    done = call("policy", "plan", "omega", "--state-dir", tmp_path / "none")
    assert done.code == ExitCode.UNAVAILABLE
