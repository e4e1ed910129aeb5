"""``doctor`` finds what is wrong, names the remedy, and ends with code 7."""

import json
from pathlib import Path

from sqlalchemy import Engine

from pointwork.cli.errors import ExitCode
from pointwork.ledger.migrate import downgrade
from tests.integration.cli.conftest import Call


def verdicts(call: Call, state_dir: Path) -> dict[str, tuple[str, str]]:
    document = json.loads(call("doctor", "--state-dir", state_dir, "--json").out)
    return {each["check"]: (each["verdict"], each["found"]) for each in document["checks"]}


def test_a_sound_state_directory_lacks_only_what_was_never_pulled_or_started(
    call: Call, state_dir: Path
) -> None:
    found = verdicts(call, state_dir)
    assert {name for name, (verdict, _) in found.items() if verdict == "fail"} == {"model"}
    assert found["temporal"] == ("warn", "not running")


def test_a_failure_ends_with_code_7_and_a_remedy(call: Call, state_dir: Path) -> None:
    called = call("doctor", "--state-dir", state_dir)
    assert called.code == ExitCode.UNHEALTHY
    assert "pointwork models pull smollm2-135m" in called.out


def test_a_master_key_that_others_may_read_is_a_failure(call: Call, state_dir: Path) -> None:
    (state_dir / "master.key").chmod(0o644)
    called = call("doctor", "--state-dir", state_dir)
    assert f"chmod 600 {state_dir / 'master.key'}" in called.out


def test_weights_with_another_hash_are_a_failure(call: Call, state_dir: Path) -> None:
    weights = state_dir / "models" / "smollm2-135m" / "SmolLM2-135M-Instruct.Q4_1.gguf"
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"GGUF")
    assert verdicts(call, state_dir)["model"] == ("fail", "smollm2-135m: weights are damaged")


def test_a_changed_record_is_a_failure_here_and_a_mismatch_in_audit_verify(
    call: Call, state_dir: Path, ledger: Engine
) -> None:
    assert call("audit", "verify", "--state-dir", state_dir).code == ExitCode.OK
    with ledger.begin() as connection:
        changed = "UPDATE audit SET record = replace(record, 'owner', 'guest') WHERE sequence = 1"
        assert connection.exec_driver_sql(changed).rowcount == 1

    assert verdicts(call, state_dir)["audit chain"][0] == "fail"
    verified = call("audit", "verify", "--state-dir", state_dir)
    assert verified.code == ExitCode.MISMATCH
    assert "record 1" in verified.err


def test_a_state_directory_that_is_not_there_is_a_failure(call: Call, tmp_path: Path) -> None:
    called = call("doctor", "--state-dir", tmp_path / "gone")
    assert called.code == ExitCode.UNHEALTHY
    assert "pointwork up" in called.out


def test_a_ledger_that_is_no_database_is_a_failure_and_no_traceback(
    call: Call, state_dir: Path
) -> None:
    for name in ("ledger.db", "ledger.db-wal", "ledger.db-shm"):
        (state_dir / name).unlink(missing_ok=True)
    (state_dir / "ledger.db").write_bytes(b"not a database at all, but long enough" * 100)
    assert verdicts(call, state_dir)["ledger"][0] == "fail"
    listed = call("list", "--state-dir", state_dir)
    assert listed.code == ExitCode.UNAVAILABLE
    assert "pointwork doctor" in listed.err


def test_a_ledger_of_another_version_is_named_and_nothing_else_is_said_of_it(
    call: Call, state_dir: Path, ledger: Engine
) -> None:
    downgrade(ledger, "0006")
    checks = json.loads(call("doctor", "--state-dir", state_dir, "--json").out)["checks"]
    (told,) = [each for each in checks if each["check"] == "ledger"]
    assert (told["verdict"], told["found"]) == ("fail", "its schema is another version's")
    assert not {each["check"] for each in checks} & {"integrity", "I1", "audit chain"}
    downgrade(ledger, "0003")
    refused = call("costs", "--state-dir", state_dir)
    assert refused.code == ExitCode.UNAVAILABLE
    assert "`pointwork doctor` tells whether it is damaged or another version's" in refused.err
