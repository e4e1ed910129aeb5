"""Sealed bytes outside the ledger: on S3 over its real protocol, and in a folder."""

import json
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError

from pointwork.contract.failures import TaskIdReusedError
from pointwork.contract.outcome import AttemptState
from pointwork.contract.task import CONTENT_BYTES_MAX
from pointwork.ledger.erasure import Eraser
from pointwork.ledger.object_store import open_object_store
from pointwork.ledger.orphans import remove_orphans, shard_at
from pointwork.ledger.response_cache import ResponseCache
from pointwork.ledger.sealed_bytes import (
    SHARDS,
    InTable,
    SealedBytes,
    SealedStoreError,
    VaultUrlError,
    task_of,
)
from pointwork.ledger.vault import ContentUnavailableError, Vault
from tests.integration.ledger.conftest import MASTER_KEYS, Ledger
from tests.integration.ledger.records import NOW, accept, answer, invoke, outcome, reserve
from tests.integration.ledger.stores import (
    OUTSIDE,
    S3Server,
    new_store,
    objects,
    of_another_ledger,
    replace,
    shards_in_use,
)
from tests.integration.ledger.test_response_cache import subject

SOON = timedelta(seconds=0)


@pytest.fixture(params=OUTSIDE)
def ledger(ledger: Ledger, request: pytest.FixtureRequest, tmp_path: Path) -> Ledger:
    ledger.keep_in(new_store(request.param, ledger.engine, tmp_path, request))
    return ledger


@pytest.fixture
def store(ledger: Ledger) -> SealedBytes:
    return ledger.store


def later() -> datetime:
    return datetime.now(UTC) + timedelta(minutes=1)


def swept(ledger: Ledger, **given: Any) -> int:
    """A whole round of the sweep over the store."""
    moment = given.pop("now", later())
    return sum(
        remove_orphans(ledger.engine, ledger.store, moment, shard=shard, **given)
        for shard in shards_in_use(ledger.store)
    )


def test_a_store_gives_back_what_it_took_and_knows_no_more(store: SealedBytes) -> None:
    one, two = store.put("t-1", b"sealed"), store.put("t-1", b"sealed")
    assert one != two
    assert task_of(one) == "t-1"
    assert store.get(one) == b"sealed"
    store.delete([one, one, two.replace("t-1", "t-2")])
    assert store.get(one) is None
    assert [each.name for each in objects(store)] == [two]
    assert [each.bytes_count for each in objects(store)] == [6]
    store.delete([])
    store.check()
    assert len(objects(store)) == 1


def test_only_the_row_is_in_the_ledger_and_only_ciphertext_in_the_store(ledger: Ledger) -> None:
    text = b"a canary that sings " * 50
    ref = accept(ledger.vault, "t-1", text).refs["prompt"]
    (row,) = ledger.rows("SELECT * FROM vault_content")
    assert bytes(row["sealed"]) == b""
    (stored,) = objects(ledger.store)
    assert stored.name == row["object_name"]
    assert stored.bytes_count == len(text) + 28
    assert b"canary" not in (ledger.store.get(stored.name) or b"")
    assert ref.digest not in stored.name
    assert ledger.another_vault().open("t-1", ref) == text


def test_small_contents_stay_in_the_table(
    ledger: Ledger, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    ledger.keep_in(new_store("folder", ledger.engine, tmp_path, request, inline_bytes_max=100))
    small = accept(ledger.vault, "small", b"x" * 100).refs["prompt"]
    large = accept(ledger.vault, "large", b"x" * 101).refs["prompt"]
    rows = ledger.rows("SELECT task_id, object_name FROM vault_content")
    assert {row["task_id"]: row["object_name"] is None for row in rows} == {
        "small": True,
        "large": False,
    }
    assert ledger.vault.open("small", small) == b"x" * 100
    assert ledger.vault.open("large", large) == b"x" * 101


def test_content_of_before_there_was_a_store_is_still_read_from_the_table(ledger: Ledger) -> None:
    ref = accept(Vault(ledger.engine, MASTER_KEYS), "old").refs["prompt"]
    assert ledger.vault.open("old", ref) == b"hello"


def test_a_process_that_knows_no_store_names_the_setting(ledger: Ledger) -> None:
    ref = accept(ledger.vault, "t-1").refs["prompt"]
    with pytest.raises(SealedStoreError, match="set POINTWORK_VAULT_URL"):
        Vault(ledger.engine, MASTER_KEYS).open("t-1", ref)


def test_a_missing_object_names_itself_and_the_remedy(ledger: Ledger) -> None:
    ref = accept(ledger.vault, "t-1").refs["prompt"]
    (stored,) = objects(ledger.store)
    ledger.store.delete([stored.name])
    with pytest.raises(ContentUnavailableError, match="restore the object") as missing:
        ledger.vault.open("t-1", ref)
    assert stored.name in str(missing.value)
    assert ledger.store.place in str(missing.value)


@pytest.mark.parametrize("damage", ["another's", "flipped", "empty", "short"])
def test_an_object_that_was_altered_is_found_out(ledger: Ledger, damage: str) -> None:
    ref = accept(ledger.vault, "t-1").refs["prompt"]
    accept(ledger.vault, "t-2")
    names = {row["task_id"]: row["object_name"] for row in ledger.rows(_NAMES)}
    sealed = bytearray(ledger.store.get(names["t-1"]) or b"")
    sealed[-1] ^= 1
    other = ledger.store.get(names["t-2"]) or b""
    data = {"another's": other, "flipped": bytes(sealed), "empty": b"", "short": b"x" * 5}[damage]
    replace(ledger.store, names["t-1"], data)
    with pytest.raises(ContentUnavailableError, match="not what was sealed"):
        ledger.vault.open("t-1", ref)


def test_erasure_takes_the_objects_along_and_leaves_another_tasks(ledger: Ledger) -> None:
    accept(ledger.vault, "t-1")
    ledger.vault.seal("t-1", b"answer", "text/plain", NOW)
    kept = accept(ledger.vault, "t-2").refs["prompt"]
    erased = Eraser(ledger.engine, ledger.store).erase(
        ["t-1"], NOW, by="owner", reason="asked for", even_if_running=True
    )
    assert erased.are_objects_deleted
    assert {task_of(each.name) for each in objects(ledger.store)} == {"t-2"}
    assert ledger.vault.open("t-2", kept) == b"hello"


def test_an_erasure_without_the_store_leaves_ciphertext_that_the_sweep_takes_away(
    ledger: Ledger,
) -> None:
    accept(ledger.vault, "t-1")
    erased = Eraser(ledger.engine, InTable()).erase(
        ["t-1"], NOW, by="owner", reason="asked for", even_if_running=True
    )
    assert not erased.are_objects_deleted
    assert len(objects(ledger.store)) == 1
    assert swept(ledger, grace=SOON) == 1
    assert objects(ledger.store) == []


def test_the_sweep_takes_objects_that_no_row_names_once_they_are_old(ledger: Ledger) -> None:
    ref = accept(ledger.vault, "t-1").refs["prompt"]
    ledger.store.put("t-1", b"left by a crash")
    ledger.store.put("t-9", b"of a task that never was")
    assert swept(ledger) == 0
    assert swept(ledger, grace=timedelta(hours=1), now=later() + timedelta(hours=1)) == 2
    assert len(objects(ledger.store)) == 1
    assert ledger.vault.open("t-1", ref) == b"hello"


def test_an_object_about_to_get_its_row_is_left_alone(ledger: Ledger) -> None:
    accept(ledger.vault, "t-1")
    outside = ledger.vault.put_outside("t-1", b"answer", "text/plain")
    assert outside is not None
    assert swept(ledger) == 0
    with ledger.engine.begin() as connection:
        ref = ledger.vault.seal_within(connection, "t-1", b"answer", "text/plain", NOW, outside)
    assert ledger.vault.open("t-1", ref) == b"answer"


def test_ledgers_that_share_a_store_leave_each_others_objects_alone(ledger: Ledger) -> None:
    ref = accept(ledger.vault, "t-1").refs["prompt"]
    own, other = ledger.store, of_another_ledger(ledger.store)
    ledger.keep_in(other)
    assert swept(ledger, grace=SOON) == 0
    other.put("t-1", b"theirs")
    assert len(objects(other)) == 1
    ledger.keep_in(own)
    assert swept(ledger, grace=SOON) == 0
    assert len(objects(other)) == 1
    assert ledger.vault.open("t-1", ref) == b"hello"


def test_every_shard_has_its_turn_within_its_number_of_minutes() -> None:
    turns = {shard_at(NOW + timedelta(minutes=number)) for number in range(SHARDS)}
    assert turns == set(range(SHARDS))


def test_a_repeated_submission_leaves_no_second_object(ledger: Ledger) -> None:
    accept(ledger.vault, "t-1")
    accept(ledger.vault, "t-1")
    with pytest.raises(TaskIdReusedError):
        accept(ledger.vault, "t-1", b"other")
    assert len(objects(ledger.store)) == 1


def test_what_a_failed_transaction_left_is_nobodys_and_swept(ledger: Ledger) -> None:
    """Whether such a transaction was committed is not always known, so nothing is taken back."""
    if ledger.engine.dialect.name == "postgresql":
        ledger.rows("ALTER TABLE vault_content ADD CONSTRAINT disk_full CHECK (bytes_count < 1)")
    else:
        ledger.rows(
            "CREATE TRIGGER disk_full BEFORE INSERT ON vault_content "
            "BEGIN SELECT RAISE(ABORT, 'full'); END"
        )
    with pytest.raises(IntegrityError):
        accept(ledger.vault, "t-1")
    assert len(objects(ledger.store)) == 1
    assert swept(ledger, grace=SOON) == 1


def test_a_large_answer_goes_into_the_store_before_it_is_recorded(ledger: Ledger) -> None:
    accept(ledger.vault, "t-1")
    reserve(ledger.budgets, "t-1")
    ledger.attempts.begin(invoke("t-1"), "t-1/1", NOW)
    done = ledger.attempts.finish("t-1/1", **answer(text=b"42"))
    rows = ledger.rows("SELECT object_name FROM vault_content")
    assert all(row["object_name"] for row in rows)
    assert ledger.vault.open("t-1", done.answer) == b"42"


class Down:
    """A store that takes everything and does nothing."""

    place = "s3://down"

    def takes(self, bytes_count: int) -> bool:
        return True

    def __getattr__(self, name: str) -> Any:
        raise SealedStoreError("the vault's store s3://down did not answer; check it")


def test_an_answer_that_was_paid_for_is_kept_in_the_table_while_the_store_is_down(
    ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    accept(ledger.vault, "t-1")
    reserve(ledger.budgets, "t-1")
    ledger.attempts.begin(invoke("t-1"), "t-1/1", NOW)
    ledger.keep_in(Down())
    done = ledger.attempts.finish("t-1/1", **answer(text=b"42"))
    assert "s3://down" in caplog.text
    assert ledger.vault.open("t-1", done.answer) == b"42"
    (row,) = ledger.rows("SELECT state FROM attempt")
    assert row["state"] == AttemptState.DONE


def test_a_prompt_is_refused_while_the_store_is_down_and_nothing_is_written(
    ledger: Ledger,
) -> None:
    ledger.keep_in(Down())
    with pytest.raises(SealedStoreError):
        accept(ledger.vault, "t-1")
    assert ledger.rows("SELECT * FROM task") == []


def test_an_answer_of_an_erased_task_is_recorded_as_paid_and_not_kept(ledger: Ledger) -> None:
    accept(ledger.vault, "t-1")
    reserve(ledger.budgets, "t-1")
    ledger.attempts.begin(invoke("t-1"), "t-1/1", NOW)
    ledger.vault.destroy_key("t-1", NOW)
    with pytest.raises(ContentUnavailableError, match="was erased"):
        ledger.attempts.finish("t-1/1", **answer(cost=60))
    (row,) = ledger.rows("SELECT state, cost_nano_usd FROM attempt")
    assert (row["state"], row["cost_nano_usd"]) == (AttemptState.DONE, 60)
    assert objects(ledger.store) == []


def test_what_lies_in_the_store_is_not_kept_for_equal_calls(ledger: Ledger) -> None:
    """A hit would hold the ledger's transaction for a download."""
    accept(ledger.vault, "t-1")
    ref = ledger.vault.seal("t-1", b"four", "text/plain", NOW)
    cache = ResponseCache(ledger.engine, ledger.vault)
    key = cache.key(subject())
    assert key is not None
    given = {"model": "m", "served_as": "m", "ttl_seconds": 60, "max_bytes": 100, "now": NOW}
    assert not cache.keep(key, task_id="t-1", answer=ref, **given)  # type: ignore[arg-type]


def test_the_largest_content_comes_back_whole(ledger: Ledger) -> None:
    data = b"x" * CONTENT_BYTES_MAX
    ref = accept(ledger.vault, "t-1", data).refs["prompt"]
    assert ledger.vault.open("t-1", ref) == data


def test_a_whole_life_leaves_a_sound_ledger(ledger: Ledger) -> None:
    accept(ledger.vault, "t-1")
    reserve(ledger.budgets, "t-1")
    ledger.attempts.begin(invoke("t-1"), "t-1/1", NOW)
    done = ledger.attempts.finish("t-1/1", **answer())
    ledger.outcomes.log(outcome("t-1", answer=done.answer), None, NOW)
    assert ledger.violations() == []


_NAMES = "SELECT task_id, object_name FROM vault_content"
_LEDGER = "a" * 32


@pytest.mark.parametrize(
    ("url", "options", "says"),
    [
        ("", {}, "no address of a store; give s3://"),
        ("bucket", {}, "no address of a store"),
        ("ftp://host/x", {}, "no address of a store"),
        ("s3://", {}, "no address of a store"),
        ("https://user:hunter2@host/x", {}, "no address of a store"),
        ("s3://bucket", {"bogus": "hunter2"}, "no option of a store on s3"),
        ("az://container", {}, "cannot be opened"),
        ("file:///tmp/pointwork-x", {"endpoint": "hunter2"}, "a folder has no options"),
    ],
)
def test_an_address_or_option_that_cannot_be_used_is_refused_without_quoting_it(
    url: str, options: dict[str, str], says: str
) -> None:
    with pytest.raises(VaultUrlError, match=says) as refused:
        open_object_store(url, options, ledger_id=_LEDGER)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("inline", [-1, CONTENT_BYTES_MAX + 1])
def test_a_bound_for_the_table_beyond_any_content_is_refused(inline: int) -> None:
    with pytest.raises(VaultUrlError, match="give 0 to 1500000"):
        open_object_store("s3://bucket", ledger_id=_LEDGER, inline_bytes_max=inline)


@pytest.mark.parametrize(
    ("url", "options", "place"),
    [
        ("s3://bucket/a/b", {"region": "eu-west-1"}, "s3://bucket/a/b"),
        ("gs://bucket", {"skip_signature": "true"}, "gs://bucket"),
        ("az://box/x", {"account_name": "us", "account_key": "aGVsbG8="}, "az://box/x"),
    ],
)
def test_every_kind_of_cloud_store_opens_without_being_asked_anything(
    url: str, options: dict[str, str], place: str
) -> None:
    store = open_object_store(url, options, ledger_id=_LEDGER)
    assert store.place == place
    assert store.takes(64 * 1024 + 1)
    assert not store.takes(64 * 1024)


def test_a_store_that_cannot_be_reached_says_where_and_what_to_check_and_no_secret() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        options = {
            "endpoint": f"http://127.0.0.1:{port}",
            "region": "x",
            "access_key_id": "me",
            "secret_access_key": "hunter2",
            "allow_http": "true",
        }
        store = open_object_store("s3://bucket/folder", options, ledger_id=_LEDGER)
        with pytest.raises(SealedStoreError, match="s3://bucket/folder did not take") as refused:
            store.put("t-1", b"sealed")
    assert "credentials" in str(refused.value)
    assert "hunter2" not in json.dumps(str(refused.value))


def test_a_bucket_that_is_not_there_is_told_when_the_store_is_checked(
    s3_server: S3Server,
) -> None:
    store = open_object_store("s3://no-such-bucket", s3_server.options, ledger_id=_LEDGER)
    with pytest.raises(SealedStoreError, match="that the bucket exists"):
        store.check()
