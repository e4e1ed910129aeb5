"""Changes to the file of the master keys, and processes that hold what it was before."""

import json
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pointwork.ledger.key_ring import KeyRing
from pointwork.ledger.master_key_file import activate_key, remove_key, stage_key
from pointwork.ledger.master_keys import MasterKeyError, MasterKeys


@pytest.fixture
def path(tmp_path: Path) -> Path:
    MasterKeys.load_or_create(tmp_path / "master.key")
    return tmp_path / "master.key"


def rotated(path: Path) -> MasterKeys:
    return activate_key(path, stage_key(path))


def test_a_staged_key_is_in_the_file_and_wraps_nothing_yet(path: Path) -> None:
    before = MasterKeys.load(path)
    key_id = stage_key(path)
    after = MasterKeys.load(path)
    assert after.active == before.active
    assert after.keys.keys() - before.keys.keys() == {key_id}
    assert {name: after.keys[name] for name in before.keys} == before.keys


def test_a_key_that_is_made_active_stays_beside_the_old_ones(path: Path) -> None:
    before = MasterKeys.load(path)
    after = rotated(path)
    assert after == MasterKeys.load(path)
    assert after.active not in before.keys
    assert before.keys.items() <= after.keys.items()


def test_the_file_stays_its_owners_alone_and_nothing_lies_beside_it(path: Path) -> None:
    rotated(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_rotation_by_root_leaves_the_file_with_the_user_who_reads_it(path: Path) -> None:
    os.chown(path, 4711, 4712)
    rotated(path)
    assert (path.stat().st_uid, path.stat().st_gid) == (4711, 4712)


def test_a_file_behind_a_link_is_changed_where_it_lies(path: Path, tmp_path: Path) -> None:
    link = tmp_path / "linked"
    link.mkdir()
    (link / "key").symlink_to(path)
    rotated(link / "key")
    assert (link / "key").is_symlink()
    assert len(MasterKeys.load(path).keys) == 2


def test_many_at_once_lose_no_key(path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        added = list(pool.map(lambda _: stage_key(path), range(24)))
    assert len(set(added)) == 24
    assert MasterKeys.load(path).keys.keys() >= set(added)


def test_a_key_the_file_lacks_is_refused_with_those_it_holds(path: Path) -> None:
    held = MasterKeys.load(path).active
    with pytest.raises(MasterKeyError, match=f"no key 'mk-0'; it holds {held}"):
        activate_key(path, "mk-0")


def test_a_removed_key_is_gone_and_removing_it_again_changes_nothing(path: Path) -> None:
    old = MasterKeys.load(path).active
    new = rotated(path).active
    remove_key(path, old)
    remove_key(path, old)
    assert set(MasterKeys.load(path).keys) == {new}


def test_the_active_key_is_never_removed(path: Path) -> None:
    active = MasterKeys.load(path).active
    with pytest.raises(MasterKeyError, match="rotate it before"):
        remove_key(path, active)
    assert MasterKeys.load(path).active == active


def test_a_damaged_file_is_left_as_it_is(path: Path) -> None:
    path.write_text("half a file")
    with pytest.raises(MasterKeyError):
        stage_key(path)
    assert path.read_text() == "half a file"


def test_no_error_and_no_repr_shows_a_key(path: Path) -> None:
    keys = rotated(path)
    texts = json.loads(path.read_text())["keys"].values()
    with pytest.raises(MasterKeyError) as refused:
        activate_key(path, "mk-0")
    for text in texts:
        assert text not in str(refused.value) + repr(keys) + repr(KeyRing(keys))


def test_a_process_with_the_old_keys_reads_the_file_again_at_an_id_it_does_not_know(
    path: Path,
) -> None:
    ring = KeyRing(MasterKeys.load(path))
    keys = rotated(path)
    wrapped = keys.wrap(b"d" * 32, "t-1")
    assert ring.unwrap(wrapped, "t-1", keys.active) == b"d" * 32
    assert ring.current.active == keys.active


def test_a_process_keeps_a_key_that_left_the_file_until_it_ends(path: Path) -> None:
    old = MasterKeys.load(path)
    ring = KeyRing(old)
    wrapped = old.wrap(b"d" * 32, "t-1")
    rotated(path)
    remove_key(path, old.active)
    assert old.active not in MasterKeys.load(path).keys
    ring.read_again()
    assert ring.unwrap(wrapped, "t-1", old.active) == b"d" * 32


@pytest.mark.parametrize("loss", ["gone", "damaged", "open to others"])
def test_a_file_that_cannot_be_read_again_leaves_the_keys_as_they_were(
    path: Path, loss: str
) -> None:
    ring = KeyRing(MasterKeys.load(path))
    before = ring.current
    match loss:
        case "gone":
            path.unlink()
        case "damaged":
            path.write_text("{}")
        case _:
            path.chmod(0o644)
    assert ring.unwrap(b"x" * 60, "t-1", "mk-unknown") is None
    assert ring.current == before


def test_keys_that_came_from_no_file_are_not_looked_for(path: Path) -> None:
    ring = KeyRing(MasterKeys(active="a", keys={"a": bytes(32)}))
    assert ring.unwrap(b"x" * 60, "t-1", MasterKeys.load(path).active) is None
