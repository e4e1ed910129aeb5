"""Nothing starts on a policy that was changed past the record, and it is an incident (OM-83)."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pointwork.cli.errors import ExitCode
from pointwork.ledger.engine import open_engine, read
from pointwork.ledger.tables import Incident, table_of
from pointwork.policy.documents.revisions import TamperedPolicyError
from tests.fakes.sealed_policies import copy_pack, seal_all
from tests.integration.cli.conftest import Call
from workers.settings import Settings
from workers.wiring import open_parts

FAULT = "policy_document_altered"


@pytest.fixture
def policies(repository: Path, tmp_path: Path) -> Path:
    """The shipped omega pack, edited after it was put on record."""
    folder = copy_pack(repository, tmp_path)
    seal_all(folder)
    document = folder / "omega" / "1.0.yaml"
    document.write_text(document.read_text().replace("hard_stop: true", "hard_stop: false"))
    return folder


def incidents(state_dir: Path) -> list[dict[str, Any]]:
    engine = open_engine(f"sqlite:///{state_dir / 'ledger.db'}")
    with read(engine) as connection:
        rows = connection.execute(table_of(Incident).select()).mappings().all()
    engine.dispose()
    return [dict(each) for each in rows]


@pytest.mark.req("OM-83")
def test_workers_refuse_to_start_and_leave_one_incident(policies: Path, state_dir: Path) -> None:
    settings = Settings(state_dir=state_dir, policies_dir=policies)
    for _ in range(2):
        with pytest.raises(TamperedPolicyError) as refused:
            open_parts(settings)
    (incident,) = incidents(state_dir)
    assert (incident["code"], incident["detail"]) == (FAULT, str(refused.value))


@pytest.mark.req("OM-83")
def test_the_process_of_a_worker_ends_with_one_sentence(
    policies: Path, state_dir: Path, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POINTWORK_POLICIES_DIR", str(policies))
    monkeypatch.setenv("POINTWORK_LOG_LEVEL", "ERROR")
    done = subprocess.run(
        [sys.executable, "-m", "workers", "check", "--state-dir", str(state_dir)],
        cwd=repository,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout) == (ExitCode.BAD_POLICY, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: {policies / 'omega' / '1.0.yaml'}: version 1.0 has hash")
    assert line.endswith("run `pointwork policy seal omega --author NAME`")


@pytest.mark.req("OM-83")
def test_up_refuses_to_start_and_leaves_an_incident(
    policies: Path, tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "workers").mkdir()
    (tmp_path / "workers" / "__main__.py").touch()
    monkeypatch.chdir(tmp_path)
    called = call("up", "--state-dir", tmp_path / "new")
    assert called.code == ExitCode.BAD_POLICY
    (line,) = called.error_lines
    assert "version 1.0 has hash" in line
    (incident,) = incidents(tmp_path / "new")
    assert f"error: {incident['detail']}" == line


@pytest.mark.parametrize("arguments", [("policy", "list"), ("policy", "show", "omega")])
def test_a_command_that_reads_the_policy_tells_it_in_one_sentence(
    policies: Path, call: Call, arguments: tuple[str, ...]
) -> None:
    called = call(*arguments, "--policies-dir", policies)
    assert (called.code, called.out) == (ExitCode.BAD_POLICY, "")
    (line,) = called.err.splitlines()
    assert "restore the document, or save the change as a new version" in line


def test_validate_still_checks_the_document_alone(policies: Path, call: Call) -> None:
    document = policies / "omega" / "1.0.yaml"
    called = call("policy", "validate", document, "--policies-dir", policies)
    assert called.code == ExitCode.OK
