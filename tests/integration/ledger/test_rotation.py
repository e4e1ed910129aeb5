"""The master key is rotated under a running ledger, and nothing is lost by anybody."""

import base64
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest

from pointwork.contract.task import ContentRef
from pointwork.ledger.engine import read
from pointwork.ledger.master_key_file import activate_key, remove_key, stage_key
from pointwork.ledger.master_keys import MasterKeyError, MasterKeys
from pointwork.ledger.response_cache import ResponseCache
from pointwork.ledger.rotation import Rotation
from pointwork.ledger.vault import ContentUnavailableError, Vault
from tests.integration.ledger.conftest import Ledger
from tests.integration.ledger.records import NOW, accept
from tests.integration.ledger.test_response_cache import subject

LATER = NOW + timedelta(hours=1)


@dataclass
class Rotated:
    """A ledger with tasks sealed under the first key of a file, and a process that knows it."""

    ledger: Ledger
    path: Path
    refs: dict[str, ContentRef]
    old: MasterKeys

    def __post_init__(self) -> None:
        self.rotation = Rotation(self.ledger.engine, batch=4)
        self.running = Vault(self.ledger.engine, self.old)

    def rotate(self) -> MasterKeys:
        keys = activate_key(self.path, stage_key(self.path))
        self.rotation.activated(keys, "ada", LATER)
        list(self.rotation.rewrap(keys, "ada", LATER))
        return keys

    def told(self) -> list[str]:
        return [each.kind for each in self.ledger.chain.records(1000)]


@pytest.fixture
def rotated(ledger: Ledger, tmp_path: Path) -> Rotated:
    path = tmp_path / "keys" / "master.key"
    path.parent.mkdir()
    keys = MasterKeys.load_or_create(path)
    vault = Vault(ledger.engine, keys)
    refs = {
        f"t-{number}": accept(vault, f"t-{number}", b"text %d" % number).refs["prompt"]
        for number in range(10)
    }
    return Rotated(ledger, path, refs, keys)


def test_every_content_opens_under_the_new_key_and_the_old_one_wraps_nothing(
    rotated: Rotated,
) -> None:
    sealed = rotated.ledger.rows("SELECT * FROM vault_content ORDER BY task_id")
    keys = rotated.rotate()
    only_new = MasterKeys(active=keys.active, keys={keys.active: keys.keys[keys.active]})
    vault = Vault(rotated.ledger.engine, only_new)
    for number, (task_id, ref) in enumerate(rotated.refs.items()):
        assert vault.open(task_id, ref) == b"text %d" % number
    assert rotated.rotation.wrapped() == {keys.active: 10}
    assert rotated.ledger.rows("SELECT * FROM vault_content ORDER BY task_id") == sealed
    assert rotated.told() == ["master_key_activated", "data_keys_rewrapped"]


def test_a_process_that_runs_on_reads_and_writes_through_the_rotation(rotated: Rotated) -> None:
    keys = rotated.rotate()
    for task_id, ref in rotated.refs.items():
        assert rotated.running.open(task_id, ref).startswith(b"text")
    accept(rotated.running, "later", b"hello")
    assert rotated.rotation.wrapped() == {keys.active: 11}


def test_a_process_that_only_writes_learns_of_the_rotation_from_the_ledger(
    rotated: Rotated,
) -> None:
    """It has met no key it does not know, so nothing has made it read the file again."""
    keys = rotated.rotate()
    ref = accept(rotated.running, "later", b"hello").refs["prompt"]
    (row,) = rotated.ledger.rows("SELECT master_key_id FROM vault_key WHERE task_id = 'later'")
    assert row["master_key_id"] == keys.active
    assert rotated.running.open("later", ref) == b"hello"


def test_a_process_without_the_new_file_says_so_and_writes_nothing(rotated: Rotated) -> None:
    rotated.rotate()
    elsewhere = Vault(rotated.ledger.engine, replace(rotated.old, file=None))
    with pytest.raises(MasterKeyError, match=r"was superseded.*the key file as it is after"):
        accept(elsewhere, "later")
    with pytest.raises(ContentUnavailableError, match="start with the master key file"):
        elsewhere.open("t-1", rotated.refs["t-1"])
    assert rotated.ledger.rows("SELECT * FROM task WHERE task_id = 'later'") == []


def test_a_rotation_cut_short_goes_on_where_it_stopped(rotated: Rotated) -> None:
    keys = activate_key(rotated.path, stage_key(rotated.path))
    rotated.rotation.activated(keys, "ada", LATER)
    first = next(rotated.rotation.rewrap(keys, "ada", LATER))
    assert first.rewrapped == 4
    assert rotated.rotation.wrapped() == {keys.active: 4, rotated.old.active: 6}
    assert rotated.rotation.activated(keys, "ada", LATER) == []
    rest = list(rotated.rotation.rewrap(keys, "ada", LATER))
    assert sum(each.rewrapped for each in rest) == 6
    assert list(rotated.rotation.rewrap(keys, "ada", LATER)) == []
    assert rotated.told() == ["master_key_activated", "data_keys_rewrapped"]
    for task_id, ref in rotated.refs.items():
        assert rotated.running.open(task_id, ref).startswith(b"text")


@dataclass(frozen=True)
class ErasesWhileItWraps(MasterKeys):
    """Keys in whose hands one task is erased, between its being read and its being written."""

    vault: Vault | None = None

    def wrap(self, data_key: bytes, task_id: str) -> bytes:
        if task_id == "t-3" and self.vault is not None:
            self.vault.destroy_key(task_id, LATER)
        return super().wrap(data_key, task_id)


def test_an_erasure_in_the_middle_of_a_rotation_is_not_undone(rotated: Rotated) -> None:
    keys = activate_key(rotated.path, stage_key(rotated.path))
    treacherous = ErasesWhileItWraps(
        active=keys.active, keys=keys.keys, file=keys.file, vault=rotated.running
    )
    done = list(rotated.rotation.rewrap(treacherous, "ada", LATER))
    assert sum(each.rewrapped for each in done) == 9
    (row,) = rotated.ledger.rows("SELECT wrapped FROM vault_key WHERE task_id = 't-3'")
    assert row["wrapped"] is None


def test_data_keys_that_do_not_open_are_counted_and_left_as_they_are(rotated: Rotated) -> None:
    rotated.ledger.rows("UPDATE vault_key SET master_key_id = 'lost' WHERE task_id = 't-3'")
    keys = activate_key(rotated.path, stage_key(rotated.path))
    done = list(rotated.rotation.rewrap(keys, "ada", LATER))
    assert (sum(x.rewrapped for x in done), sum(x.unopened for x in done)) == (9, 1)
    assert rotated.rotation.wrapped() == {keys.active: 9, "lost": 1}


def test_a_key_that_still_wraps_is_not_retired(rotated: Rotated) -> None:
    activate_key(rotated.path, stage_key(rotated.path))
    with pytest.raises(MasterKeyError, match=f"{rotated.old.active} still wraps 10 data keys"):
        rotated.rotation.retire(rotated.old.active, "ada", LATER)
    assert rotated.told() == []
    accept(rotated.running, "later")


def test_a_retired_key_wraps_nothing_more_whoever_still_has_it(rotated: Rotated) -> None:
    keys = rotated.rotate()
    for _ in range(2):
        rotated.rotation.retire(rotated.old.active, "ada", LATER)
        remove_key(rotated.path, rotated.old.active)
    accept(rotated.running, "later")
    assert rotated.rotation.wrapped() == {keys.active: 11}
    assert rotated.told()[2:] == ["master_key_retired"]
    assert rotated.rotation.superseded() == {rotated.old.active: LATER}


def test_a_staged_key_wraps_nothing_until_it_is_made_active_and_can_be_let_go(
    rotated: Rotated,
) -> None:
    key_id = stage_key(rotated.path)
    rotated.rotation.staged(key_id, "ada", LATER)
    accept(rotated.running, "later")
    assert rotated.rotation.wrapped() == {rotated.old.active: 11}
    rotated.rotation.retire(key_id, "ada", LATER)
    assert rotated.told() == ["master_key_staged", "master_key_retired"]


def test_an_old_key_can_be_made_the_active_one_again(rotated: Rotated) -> None:
    keys = rotated.rotate()
    back = activate_key(rotated.path, rotated.old.active)
    assert rotated.rotation.activated(back, "ada", LATER) == [keys.active]
    list(rotated.rotation.rewrap(back, "ada", LATER))
    accept(rotated.running, "later")
    assert rotated.rotation.wrapped() == {rotated.old.active: 11}


@pytest.mark.parametrize("ledger_url", ["postgres"], indirect=True)
def test_a_data_key_on_its_way_holds_up_the_retirement_of_its_master_key(
    rotated: Rotated,
) -> None:
    """On SQLite one transaction waits for the other anyway."""
    keys = rotated.rotate()
    engine, refused = rotated.ledger.engine, threading.Event()

    def retire() -> None:
        with pytest.raises(MasterKeyError, match="still wraps 1 data keys"):
            rotated.rotation.retire(keys.active, "ada", LATER)
        refused.set()

    rotated.ledger.rows("UPDATE vault_key SET master_key_id = 'other'")
    with engine.begin() as writer, ThreadPoolExecutor(1) as pool:
        writer.exec_driver_sql(
            "UPDATE vault_key SET master_key_id = %(key)s WHERE task_id = 't-1'",
            {"key": keys.active},
        )
        done = pool.submit(retire)
        waits = "SELECT count(*) FROM pg_locks WHERE NOT granted"
        while not _scalar(rotated.ledger, waits):
            assert not refused.is_set()
        writer.commit()
        done.result(60)


def _scalar(ledger: Ledger, statement: str) -> int:
    with read(ledger.engine) as connection:
        return int(connection.exec_driver_sql(statement).scalar_one())


def test_work_goes_on_while_keys_rotate_and_everything_opens_after(rotated: Rotated) -> None:
    stop = threading.Event()

    def work(worker: int) -> list[tuple[str, ContentRef]]:
        done: list[tuple[str, ContentRef]] = []
        while not stop.is_set() or len(done) < 5:
            task_id = f"w-{worker}-{len(done)}"
            accept(rotated.running, task_id, b"prompt")
            done.append((task_id, rotated.running.seal(task_id, b"answer", "text/plain", NOW)))
            assert rotated.running.open(*done[-1]) == b"answer"
        return done

    with ThreadPoolExecutor(3) as pool:
        working = [pool.submit(work, number) for number in range(3)]
        for _ in range(3):
            keys = rotated.rotate()
        stop.set()
        sealed = [each for future in working for each in future.result(60)]
    # What was on its way when the last batch was read.
    list(rotated.rotation.rewrap(keys, "ada", LATER))
    fresh = Vault(rotated.ledger.engine, MasterKeys.load(rotated.path))
    for task_id, ref in sealed:
        assert fresh.open(task_id, ref) == b"answer"
    assert set(rotated.rotation.wrapped()) == {keys.active}


def test_after_a_rotation_the_response_cache_misses_and_never_hits_another_call(
    rotated: Rotated,
) -> None:
    engine = rotated.ledger.engine
    cache = ResponseCache(engine, rotated.running)
    before = cache.key(subject())
    answer = rotated.running.seal("t-1", b'{"text":"four"}', "application/json", NOW)
    kept = {"model": "m", "served_as": "m", "ttl_seconds": 60, "max_bytes": 100, "now": NOW}
    assert before is not None
    assert cache.keep(before, task_id="t-1", answer=answer, **kept)  # type: ignore[arg-type]
    rotated.rotate()
    assert rotated.running.open("t-1", answer)
    for process in (cache, ResponseCache(engine, Vault(engine, MasterKeys.load(rotated.path)))):
        after = process.key(subject())
        assert after is not None
        assert after != before
        assert process.find(after, "t-2", NOW) is None
        assert process.key(subject(seed=1)) not in (before, after)
    hit = cache.find(before, "t-2", NOW)
    assert hit is not None
    assert rotated.running.open("t-2", hit.answer) == b'{"text":"four"}'


def test_the_chain_tells_who_rotated_and_holds_no_byte_of_a_key(rotated: Rotated) -> None:
    keys = rotated.rotate()
    rotated.rotation.retire(rotated.old.active, "ada", LATER)
    records = rotated.ledger.rows("SELECT record FROM audit ORDER BY sequence")
    assert {json.loads(each["record"])["body"]["by"] for each in records} == {"ada"}
    text = "".join(each["record"] for each in records)
    for key in (*keys.keys.values(), *rotated.old.keys.values()):
        for form in (key.hex(), base64.b64encode(key).decode(), repr(key)):
            assert form not in text
    assert rotated.ledger.chain.verify().holds
