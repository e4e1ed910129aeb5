"""The keys of the payload codec: a file that a person makes, and that a process reads again."""

import stat
from pathlib import Path

import pytest

from pointwork.ledger.master_keys import MasterKeyError, MasterKeys
from pointwork.ledger.payload_keys import (
    PayloadKeys,
    create_payload_keys,
    rotate_payload_keys,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "payload.keys"
    create_payload_keys(path)
    return path


def test_a_new_file_is_closed_to_others_and_holds_one_key(path: Path) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    keys = PayloadKeys(path)
    assert keys.active.startswith("pk-")
    assert len(keys.find(keys.active) or b"") == 32


def test_a_file_that_exists_is_never_written_over(path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(MasterKeyError, match="pointwork codec rotate"):
        create_payload_keys(path)
    assert path.read_bytes() == before


def test_a_missing_file_is_an_error_and_stays_missing(tmp_path: Path) -> None:
    path = tmp_path / "payload.keys"
    with pytest.raises(MasterKeyError, match="there is no key file"):
        PayloadKeys(path)
    with pytest.raises(MasterKeyError, match="there is no key file"):
        rotate_payload_keys(path)
    assert not path.exists()


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MasterKeyError, match="the folder of"):
        create_payload_keys(tmp_path / "nowhere" / "payload.keys")


@pytest.mark.parametrize("use", [PayloadKeys, rotate_payload_keys])
def test_a_file_that_others_may_read_is_refused_with_the_command_that_mends_it(
    path: Path, use: type
) -> None:
    path.chmod(0o644)
    with pytest.raises(MasterKeyError, match="chmod 600"):
        use(path)


def test_a_rotation_adds_a_key_makes_it_active_and_keeps_the_old_ones(path: Path) -> None:
    first = PayloadKeys(path).active
    second, third = rotate_payload_keys(path), rotate_payload_keys(path)
    keys = MasterKeys.load(path)
    assert (keys.active, set(keys.keys)) == (third, {first, second, third})
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in path.parent.iterdir()] == ["payload.keys"]


def test_a_process_that_runs_finds_the_key_of_a_rotation_and_seals_with_it_from_then_on(
    path: Path,
) -> None:
    running = PayloadKeys(path)
    first, second = running.active, rotate_payload_keys(path)
    assert running.active == first
    assert running.find(second) is not None
    assert running.active == second
    assert running.find(first) is not None


def test_a_process_that_runs_keeps_its_keys_when_the_file_is_spoilt_or_gone(path: Path) -> None:
    running = PayloadKeys(path)
    first = running.active
    path.write_text("{")
    assert running.find("pk-unknown") is None
    path.unlink()
    assert running.find("pk-unknown") is None
    assert running.find(first) is not None


def test_a_rotation_through_a_link_changes_the_file_and_leaves_the_link(path: Path) -> None:
    link = path.with_name("link.keys")
    link.symlink_to(path)
    key_id = rotate_payload_keys(link)
    assert link.is_symlink()
    assert PayloadKeys(path).active == key_id
