"""`pointwork vault`: rotate and retire master keys, and see what the vault holds."""

import json
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from pointwork.cli.errors import ExitCode
from pointwork.contract.task import ContentRef
from pointwork.ledger.audit import AuditChain
from pointwork.ledger.master_key_file import activate_key, stage_key
from pointwork.ledger.master_keys import MasterKeys
from pointwork.ledger.outcomes import OutcomeLog
from pointwork.ledger.vault import Vault
from tests.integration.cli.conftest import Call, Called
from tests.integration.ledger.records import NOW, accept, outcome
from tests.integration.ledger.stores import BUCKET, S3Server, running_s3


@pytest.fixture
def vault(call: Call, state_dir: Path) -> Call:
    def call_vault(*arguments: object) -> Called:
        return call("vault", *arguments, "--state-dir", state_dir)

    return call_vault


@pytest.fixture
def refs(ledger: Engine, state_dir: Path) -> dict[str, ContentRef]:
    """Three tasks with a prompt each, the last of them ended."""
    sealed = Vault(ledger, MasterKeys.load(state_dir / "master.key"))
    made = {f"t-{number}": accept(sealed, f"t-{number}").refs["prompt"] for number in range(3)}
    OutcomeLog(ledger).log(outcome("t-2"), None, NOW)
    return made


def status(vault: Call, *arguments: object) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(vault("status", "--json", *arguments).out)
    return document


def keys(vault: Call) -> dict[str, tuple[str, int]]:
    return {
        each["state"]: (each["key_id"], each["data_keys"]) for each in status(vault)["master_keys"]
    }


def told(ledger: Engine) -> list[tuple[str, str | None]]:
    records = AuditChain(ledger).records(100)
    return [(each.kind, each.body.get("by")) for each in records if "key" in each.kind][1:]


def opens(ledger: Engine, state_dir: Path, refs: dict[str, ContentRef]) -> bool:
    fresh = Vault(ledger, MasterKeys.load(state_dir / "master.key"))
    return all(fresh.open(task_id, ref) == b"hello" for task_id, ref in refs.items())


def test_rotate_wraps_everything_anew_and_retire_lets_the_old_key_go(
    vault: Call, ledger: Engine, state_dir: Path, refs: dict[str, ContentRef]
) -> None:
    path = state_dir / "master.key"
    old = MasterKeys.load(path).active
    rotated = vault("rotate")
    assert rotated.code == ExitCode.OK
    new = MasterKeys.load(path).active
    assert rotated.out.startswith(f"{new} wraps from now on; 3 data keys wrapped anew.")
    assert "Back up" in rotated.err
    assert keys(vault) == {"active": (new, 3), "old": (old, 0)}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert opens(ledger, state_dir, refs)

    assert vault("retire", old).out.startswith(f"{old} is retired by owner.")
    assert set(MasterKeys.load(path).keys) == {new}
    assert keys(vault) == {"active": (new, 3)}
    assert opens(ledger, state_dir, refs)
    assert told(ledger) == [
        ("master_key_activated", "owner"),
        ("data_keys_rewrapped", "owner"),
        ("master_key_retired", "owner"),
    ]


def test_a_key_is_staged_first_where_other_hosts_need_the_file(
    vault: Call, ledger: Engine, state_dir: Path, refs: dict[str, ContentRef]
) -> None:
    staged = json.loads(vault("rotate", "--stage", "--json").out)["staged"]
    assert keys(vault)["staged"] == (staged, 0)
    done = json.loads(vault("rotate", "--to", staged, "--json").out)
    assert (done["active"], done["rewrapped"], done["unopened"]) == (staged, 3, 0)
    again = json.loads(vault("rotate", "--to", staged, "--json").out)
    assert again["rewrapped"] == 0
    assert opens(ledger, state_dir, refs)


def test_a_key_that_still_wraps_is_not_retired(
    vault: Call, state_dir: Path, refs: dict[str, ContentRef]
) -> None:
    path = state_dir / "master.key"
    old = MasterKeys.load(path).active
    activate_key(path, stage_key(path))
    refused = vault("retire", old)
    assert refused.code != ExitCode.OK
    assert f"{old} still wraps {len(refs)} data keys; run `pointwork vault rotate`" in refused.err
    assert old in MasterKeys.load(path).keys


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("retire", "ACTIVE"), "is the active master key; `pointwork vault rotate`"),
        (("retire", "mk-0"), "holds no key 'mk-0'; it holds mk-"),
        (("rotate", "--to", "mk-0"), "holds no key 'mk-0'; it holds mk-"),
        (("rotate", "--to", "ACTIVE", "--stage"), "give one of the two"),
        (("rotate", "--as", "mallory"), "mallory has no key on this machine"),
        (("retire", "mk-0", "--as", "mallory"), "mallory has no key on this machine"),
        (("status", "--retention-days", '{"publc": 1}'), "'publc' is no sensitivity; give public"),
        (("status", "--retention-days", "x"), "POINTWORK_CONTENT_RETENTION_DAYS is no JSON object"),
    ],
    ids=str,
)
def test_what_cannot_be_meant_is_refused_with_a_remedy_and_changes_nothing(
    vault: Call, state_dir: Path, refs: dict[str, ContentRef], arguments: tuple[str, ...], says: str
) -> None:
    path = state_dir / "master.key"
    before, active = path.read_bytes(), MasterKeys.load(path).active
    refused = vault(*(active if each == "ACTIVE" else each for each in arguments))
    assert refused.code == ExitCode.BAD_INPUT or "holds no key" in says
    assert len(refused.error_lines) == 1
    assert says in refused.err
    assert path.read_bytes() == before
    assert keys(vault) == {"active": (active, len(refs))}


def test_another_ledgers_key_file_is_refused_before_anything_is_written(
    vault: Call,
    refs: dict[str, ContentRef],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other = tmp_path / "other.key"
    MasterKeys.load_or_create(other)
    before = other.read_bytes()
    monkeypatch.setenv("POINTWORK_MASTER_KEY_FILE", str(other))
    refused = vault("rotate")
    assert refused.code == ExitCode.UNAVAILABLE
    assert f"{other} holds none of the master keys of this ledger" in refused.err
    assert other.read_bytes() == before
    assert refs


def test_a_missing_key_file_is_never_made_anew(vault: Call, state_dir: Path) -> None:
    (state_dir / "master.key").unlink()
    refused = vault("rotate")
    assert refused.code == ExitCode.UNAVAILABLE
    assert "restore it from your backup" in refused.err
    assert not (state_dir / "master.key").exists()


def test_status_shows_keys_contents_and_what_retention_takes_next(
    vault: Call, refs: dict[str, ContentRef]
) -> None:
    document = status(vault)
    assert document["tasks"] == {"readable": len(refs), "erased": 0}
    assert sum(each["contents"] for each in document["contents"]) == 3
    assert sum(each["bytes"] for each in document["contents"]) == 15
    assert document["retention_days"]["restricted"] == 30
    assert document["retention_takes"]["without_an_outcome"] == 2
    assert document["retention_takes"]["now"] == 1
    kept = status(vault, "--retention-days", '{"restricted": null}')
    assert kept["retention_takes"]["now"] == 0
    assert kept["retention_takes"]["later_or_never"] == 1
    shown = vault("status", "--retention-days", '{"restricted": null}').out
    assert "the ledger's table" in shown
    assert "restricted for ever; undeclared as restricted" in shown
    assert "0 now" in shown


def test_a_key_that_is_in_no_file_is_shown_and_fails_the_doctor(
    vault: Call, call: Call, ledger: Engine, state_dir: Path, refs: dict[str, ContentRef]
) -> None:
    with ledger.begin() as connection:
        lose = "UPDATE vault_key SET master_key_id = 'mk-lost' WHERE task_id = 't-1'"
        connection.exec_driver_sql(lose)
    assert keys(vault)["not in the file"] == ("mk-lost", 1)
    assert "restore it from a backup" in vault("status").err
    rotated = vault("rotate")
    assert "1 data keys open with no key of" in rotated.out
    document = json.loads(call("doctor", "--state-dir", state_dir, "--json").out)
    (check,) = [each for each in document["checks"] if each["check"] == "vault keys"]
    assert check["verdict"] == "fail"
    assert "lacks mk-lost, which wraps 1 tasks" in check["found"]
    assert len(refs) == 3


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with running_s3() as server:
        yield server


@pytest.fixture
def in_s3(s3: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """The variables of a deployment whose sealed contents all lie on S3."""
    url = f"s3://{BUCKET}/{tmp_path.name}"
    monkeypatch.setenv("POINTWORK_VAULT_URL", url)
    monkeypatch.setenv("POINTWORK_VAULT_OPTIONS", json.dumps(s3.options))
    monkeypatch.setenv("POINTWORK_VAULT_INLINE_BYTES", "0")
    return url


def test_commands_use_the_store_that_the_variables_name(
    vault: Call, call: Call, state_dir: Path, in_s3: str
) -> None:
    assert status(vault)["store"] == in_s3
    document = json.loads(call("doctor", "--state-dir", state_dir, "--json").out)
    (check,) = [each for each in document["checks"] if each["check"] == "vault store"]
    assert (check["verdict"], check["found"]) == ("ok", f"{in_s3} takes, gives and deletes")


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("POINTWORK_VAULT_URL", "ftp://hunter2/x", "is no address of a store"),
        ("POINTWORK_VAULT_OPTIONS", "hunter2", "is no JSON object of texts"),
        ("POINTWORK_VAULT_OPTIONS", '{"secret_access_key": 7}', "is no JSON object of texts"),
        ("POINTWORK_VAULT_OPTIONS", '{"hunter2": "x"}', "holds a name that is no option"),
        ("POINTWORK_VAULT_INLINE_BYTES", "-1", "inline_bytes_max is -1"),
    ],
)
def test_a_store_that_cannot_be_meant_is_refused_without_quoting_it(
    vault: Call, in_s3: str, monkeypatch: pytest.MonkeyPatch, name: str, value: str, says: str
) -> None:
    monkeypatch.setenv(name, value)
    refused = vault("status")
    assert refused.code == ExitCode.BAD_INPUT
    assert says in refused.err
    assert "hunter2" not in refused.err
    assert in_s3


def test_a_store_that_does_not_answer_fails_the_doctor(
    call: Call, state_dir: Path, in_s3: str, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POINTWORK_VAULT_URL", "s3://no-such-bucket/x")
    document = json.loads(call("doctor", "--state-dir", state_dir, "--json").out)
    (check,) = [each for each in document["checks"] if each["check"] == "vault store"]
    assert check["verdict"] == "fail"
    assert "s3://no-such-bucket/x did not take an object" in check["found"]
    assert "that the bucket exists" in check["remedy"]
    assert s3.endpoint not in str(check)
    assert in_s3
