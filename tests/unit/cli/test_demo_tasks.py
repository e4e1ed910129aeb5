"""The tasks of the demonstration, and how it tells that one ended otherwise than it should."""

from pathlib import Path

import pytest

from pointwork.cli.demo_tasks import differences, load_tasks, submission
from pointwork.cli.errors import CliError
from pointwork.contract.decision import ClassSource
from pointwork.contract.outcome import TaskStatus
from pointwork.policy.bundle import PolicyLibrary
from pointwork.policy.documents.strict_yaml import PolicyError
from tests.contract import decision_samples, samples

GOOD = "title: One\ntext: Hi\nexpect: {status: succeeded, site: local, class_source: declared}\n"


def test_every_shipped_task_can_be_submitted_and_is_known_to_the_pack(
    repository: Path, library: PolicyLibrary
) -> None:
    from pointwork.cli.declaring import check_against_policy

    folder = repository / "examples" / "tasks"
    tasks = load_tasks(folder)
    assert len(tasks) >= 6
    for name, task in tasks.items():
        ready = submission(name, task, folder, "1a2b")
        assert ready.declaration.task_id == f"{name}-1a2b"
        assert ready.prompt.text.strip()
        check_against_policy(ready.declaration, library)


def test_what_ends_otherwise_is_named(repository: Path) -> None:
    task = load_tasks(repository / "examples" / "tasks")["01-summarise-alice"]
    found = differences(task.expect, samples.OUTCOME, decision_samples.RECORD)
    assert found == [
        "status is failed, expected succeeded",
        "site is public_api, expected local",
    ]


def test_a_task_that_ended_as_expected_has_no_difference(repository: Path) -> None:
    task = load_tasks(repository / "examples" / "tasks")["05-decide-database"]
    denied = samples.OUTCOME.model_copy(
        update={
            "status": TaskStatus.DENIED,
            "served_model": None,
            "class_source": ClassSource.DECLARED,
        }
    )
    assert differences(task.expect, denied, None) == []


@pytest.mark.parametrize(
    ("document", "word"),
    [
        (GOOD.replace("text: Hi\n", ""), "text_file"),
        (GOOD + "text_file: other.txt\n", "text_file"),
        (GOOD.replace("text: Hi", "text_file: ../secret.txt"), "text_file"),
        (GOOD.replace("local", "nearby"), "site"),
        (GOOD + "declare: {sensitivty: public}\n", "sensitivty"),
    ],
)
def test_a_wrong_document_is_refused_by_name(document: str, word: str, tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text(document)
    with pytest.raises(PolicyError, match=word):
        load_tasks(tmp_path)


def test_a_folder_without_tasks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CliError, match="holds no"):
        load_tasks(tmp_path)
    with pytest.raises(CliError, match="not a folder"):
        load_tasks(tmp_path / "gone")
