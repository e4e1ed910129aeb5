"""The file with the master keys: made once, closed to others, never quoted in an error."""

import json
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pointwork.ledger.master_keys import MasterKeyError, MasterKeys


def test_a_new_file_holds_one_random_key_and_is_closed_to_others(tmp_path: Path) -> None:
    path = tmp_path / "master-keys.json"
    keys = MasterKeys.load_or_create(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [len(key) for key in keys.keys.values()] == [32]
    assert list(tmp_path.iterdir()) == [path]


def test_a_second_start_reads_the_same_keys(tmp_path: Path) -> None:
    path = tmp_path / "master-keys.json"
    assert MasterKeys.load_or_create(path) == MasterKeys.load_or_create(path)


def test_processes_that_start_together_agree_on_one_key(tmp_path: Path) -> None:
    path = tmp_path / "master-keys.json"
    with ThreadPoolExecutor(8) as pool:
        loaded = list(pool.map(lambda _: MasterKeys.load_or_create(path), range(8)))
    assert all(each == loaded[0] for each in loaded)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_file_that_others_may_read_is_refused_with_the_command_that_mends_it(
    tmp_path: Path, mode: int
) -> None:
    path = tmp_path / "master-keys.json"
    MasterKeys.load_or_create(path)
    path.chmod(mode)
    with pytest.raises(PermissionError, match=f"chmod 600 {path}"):
        MasterKeys.load_or_create(path)


@pytest.mark.parametrize(
    "document",
    [
        "",
        "[]",
        "{}",
        '{"active": "a", "keys": []}',
        '{"active": "a", "keys": {"a": "c2VjcmV0"}}',
        '{"active": "b", "keys": {"a": "c2VjcmV0"}}',
        '{"active": "a", "keys": {"a": "not base64 c2VjcmV0"}}',
        '{"active": "a", "keys": {"a": 5}}',
    ],
)
def test_a_damaged_file_is_refused_without_quoting_it(tmp_path: Path, document: str) -> None:
    path = tmp_path / "master-keys.json"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    os.write(descriptor, document.encode())
    os.close(descriptor)
    with pytest.raises(MasterKeyError) as refused:
        MasterKeys.load_or_create(path)
    assert str(path) in str(refused.value)
    assert "c2VjcmV0" not in str(refused.value)


def test_a_missing_folder_is_refused_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(MasterKeyError, match="create it or give another path"):
        MasterKeys.load_or_create(tmp_path / "nowhere" / "master-keys.json")


def test_a_key_never_shows_in_a_repr(tmp_path: Path) -> None:
    path = tmp_path / "master-keys.json"
    keys = MasterKeys.load_or_create(path)
    for key_id, text in json.loads(path.read_text())["keys"].items():
        assert text not in repr(keys)
        assert repr(keys.keys[key_id])[2:-1] not in repr(keys)


def test_a_wrapped_key_opens_for_its_own_task_and_master_key_only() -> None:
    keys = MasterKeys(active="a", keys={"a": bytes(32), "b": bytes(32)})
    wrapped = keys.wrap(b"d" * 32, "task-1")
    assert keys.unwrap(wrapped, "task-1", "a") == b"d" * 32
    assert keys.unwrap(wrapped, "task-2", "a") is None
    assert keys.unwrap(wrapped, "task-1", "b") is None
    assert keys.unwrap(wrapped, "task-1", "c") is None
