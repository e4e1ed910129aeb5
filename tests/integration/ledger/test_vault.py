"""Content sealed under a key of its task (design 3; SP-45; reliability cases 94 and 95)."""

import hashlib
import hmac
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.exc import IntegrityError

from pointwork.contract.failures import TaskIdReusedError, TaskNotFoundError
from pointwork.contract.task import CONTENT_BYTES_MAX, ContentRef
from pointwork.ledger.audit import AuditChain
from pointwork.ledger.master_keys import MasterKeys
from pointwork.ledger.vault import ContentTooLargeError, ContentUnavailableError, TaskDraft
from tests.integration.ledger.conftest import MASTER_KEYS, Ledger
from tests.integration.ledger.records import NOW, accept, answer, invoke, reserve
from tests.integration.ledger.stores import KINDS, new_store

IN_TABLE = pytest.mark.parametrize("ledger", ["table"], indirect=True)


@pytest.fixture(params=KINDS)
def ledger(ledger: Ledger, request: pytest.FixtureRequest, tmp_path: Path) -> Ledger:
    """A ledger whose sealed bytes lie in its table, in a folder, or on S3."""
    ledger.keep_in(new_store(request.param, ledger.engine, tmp_path, request))
    return ledger


def draft(task_id: str = "t-1") -> TaskDraft:
    return TaskDraft(task_id=task_id, caller="tester", pack="omega", declarations={})


def test_content_comes_back_as_it_was_sealed(ledger: Ledger) -> None:
    contents = [("prompt", b"\x00\xff hello", "text/plain"), ("schema", b"{}", "application/json")]
    accepted = ledger.vault.accept(draft(), contents, NOW)
    assert not accepted.existed
    for name, data, media_type in contents:
        ref = accepted.refs[name]
        assert (ref.bytes, ref.media_type) == (len(data), media_type)
        assert ledger.vault.open("t-1", ref) == data


def test_another_process_with_the_same_master_keys_opens_it(ledger: Ledger) -> None:
    ref = accept(ledger.vault, "t-1").refs["prompt"]
    assert ledger.another_vault().open("t-1", ref) == b"hello"


def test_an_old_master_key_still_opens_what_it_wrapped(ledger: Ledger) -> None:
    ref = accept(ledger.vault, "t-1").refs["prompt"]
    rotated = MasterKeys(active="new", keys={"new": b"n" * 32, **MASTER_KEYS.keys})
    vault = ledger.another_vault(rotated)
    assert vault.open("t-1", ref) == b"hello"
    newer = accept(vault, "t-2").refs["prompt"]
    with pytest.raises(ContentUnavailableError, match="master key new"):
        ledger.vault.open("t-2", newer)


def test_a_repeated_submission_returns_the_same_references_and_writes_nothing(
    ledger: Ledger,
) -> None:
    first = accept(ledger.vault, "t-1")
    again = accept(ledger.vault, "t-1")
    assert again.existed
    assert again.refs == first.refs
    assert len(ledger.rows("SELECT * FROM vault_content")) == 1


@pytest.mark.parametrize("change", [{"text": b"other"}, {"risk": "high"}, {"marks": ["x"]}])
def test_an_id_used_for_another_request_is_refused_with_the_remedy(
    ledger: Ledger, change: dict[str, object]
) -> None:
    accept(ledger.vault, "t-1")
    with pytest.raises(TaskIdReusedError, match=r"t-1 was used before.*under a new id"):
        accept(ledger.vault, "t-1", **change)  # type: ignore[arg-type]
    assert len(ledger.rows("SELECT * FROM vault_content")) == 1


def test_racing_submissions_of_one_id_accept_it_once(ledger: Ledger) -> None:
    with ThreadPoolExecutor(8) as pool:
        accepted = list(pool.map(lambda _: accept(ledger.vault, "t-1"), range(16)))
    assert sum(not each.existed for each in accepted) == 1
    assert all(each.refs == accepted[0].refs for each in accepted)


def test_racing_submissions_of_different_requests_leave_one_winner(ledger: Ledger) -> None:
    def submit(number: int) -> bool:
        try:
            accept(ledger.vault, "t-1", b"text %d" % number)
        except TaskIdReusedError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(submit, range(16)))
    assert sum(won) == 1
    assert len(ledger.rows("SELECT * FROM vault_content")) == 1


def test_content_over_the_cap_is_refused_with_both_figures(ledger: Ledger) -> None:
    contents = [("prompt", b"x" * (CONTENT_BYTES_MAX + 1), "text/plain")]
    with pytest.raises(ContentTooLargeError, match=f"{CONTENT_BYTES_MAX + 1}.*{CONTENT_BYTES_MAX}"):
        ledger.vault.accept(draft(), contents, NOW)
    assert ledger.rows("SELECT * FROM task") == []


def test_content_at_the_cap_is_sealed(ledger: Ledger) -> None:
    data = b"x" * CONTENT_BYTES_MAX
    ref = ledger.vault.accept(draft(), [("prompt", data, "text/plain")], NOW).refs["prompt"]
    assert ledger.vault.open("t-1", ref) == data


def test_two_contents_of_one_name_are_refused(ledger: Ledger) -> None:
    contents = [("prompt", b"a", "text/plain"), ("prompt", b"b", "text/plain")]
    with pytest.raises(ValueError, match="give each its own"):
        ledger.vault.accept(draft(), contents, NOW)


def test_nothing_is_half_written_when_a_content_cannot_be_stored(ledger: Ledger) -> None:
    if ledger.engine.dialect.name == "postgresql":
        ledger.rows("ALTER TABLE vault_content ADD CONSTRAINT disk_full CHECK (bytes_count < 4)")
    else:
        ledger.rows(
            "CREATE TRIGGER disk_full BEFORE INSERT ON vault_content WHEN NEW.bytes_count > 3 "
            "BEGIN SELECT RAISE(ABORT, 'full'); END"
        )
    contents = [("a", b"123", "text/plain"), ("b", b"12345", "text/plain")]
    with pytest.raises(IntegrityError):
        ledger.vault.accept(draft(), contents, NOW)
    for table in ("task", "vault_key", "vault_content"):
        assert ledger.rows(f"SELECT * FROM {table}") == []


def test_identical_bytes_sealed_twice_are_one_row_under_one_reference(ledger: Ledger) -> None:
    accept(ledger.vault, "t-1")
    first = ledger.vault.seal("t-1", b"same", "text/plain", NOW)
    assert ledger.vault.seal("t-1", b"same", "text/plain", NOW) == first
    assert len(ledger.rows("SELECT * FROM vault_content")) == 2


def test_identical_bytes_of_two_tasks_have_nothing_in_common(ledger: Ledger) -> None:
    one, two = (accept(ledger.vault, task_id).refs["prompt"] for task_id in ("t-1", "t-2"))
    assert one.digest != two.digest
    with pytest.raises(ContentUnavailableError, match="t-2 has no content"):
        ledger.vault.open("t-2", one)


def test_a_task_the_vault_does_not_know_cannot_seal(ledger: Ledger) -> None:
    with pytest.raises(TaskNotFoundError, match="submit it before"):
        ledger.vault.seal("nobody", b"x", "text/plain", NOW)


@IN_TABLE
@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE vault_content SET sealed = (SELECT sealed FROM vault_content WHERE task_id = 't-2')"
        " WHERE task_id = 't-1'",
        "UPDATE vault_content SET media_type = 'text/html' WHERE task_id = 't-1'",
        "UPDATE vault_key SET wrapped = (SELECT wrapped FROM vault_key WHERE task_id = 't-2')"
        " WHERE task_id = 't-1'",
        "UPDATE vault_key SET master_key_id = 'lost' WHERE task_id = 't-1'",
        "DELETE FROM vault_content WHERE task_id = 't-1'",
    ],
)
def test_altered_rows_are_found_out_when_they_are_opened(ledger: Ledger, damage: str) -> None:
    ref = accept(ledger.vault, "t-1").refs["prompt"]
    accept(ledger.vault, "t-2")
    ledger.rows(damage)
    fresh = ledger.another_vault()
    for media_type in ("text/plain", "text/html"):
        with pytest.raises(ContentUnavailableError) as refused:
            fresh.open("t-1", ref.model_copy(update={"media_type": media_type}))
        assert "hello" not in str(refused.value)


@IN_TABLE
@pytest.mark.parametrize("offset", [0, 11, 12, 16, -1])
def test_a_flipped_bit_anywhere_in_a_sealed_content_is_found(ledger: Ledger, offset: int) -> None:
    ref = accept(ledger.vault, "t-1").refs["prompt"]
    (row,) = ledger.rows("SELECT sealed FROM vault_content")
    sealed = bytearray(row["sealed"])
    sealed[offset] ^= 1
    as_hex = sealed.hex()
    blob = f"'\\x{as_hex}'" if ledger.engine.dialect.name == "postgresql" else f"x'{as_hex}'"
    ledger.rows(f"UPDATE vault_content SET sealed = {blob}")
    with pytest.raises(ContentUnavailableError, match="not what was sealed"):
        ledger.vault.open("t-1", ref)


def test_a_reference_that_lies_about_the_length_is_refused(ledger: Ledger) -> None:
    ref = accept(ledger.vault, "t-1").refs["prompt"]
    with pytest.raises(ContentUnavailableError, match="not what was sealed"):
        ledger.vault.open("t-1", ref.model_copy(update={"bytes": 4}))


@pytest.mark.req("SP-45")
def test_erasure_ends_reading_and_sealing_and_leaves_one_audit_record(ledger: Ledger) -> None:
    ref = accept(ledger.vault, "t-1").refs["prompt"]
    other = accept(ledger.vault, "t-2").refs["prompt"]
    warm = ledger.another_vault()
    assert warm.open("t-1", ref) == b"hello"
    ledger.vault.destroy_key("t-1", NOW)
    ledger.vault.destroy_key("t-1", NOW)
    for vault in (ledger.vault, warm):
        with pytest.raises(ContentUnavailableError):
            vault.open("t-1", ref)
        with pytest.raises(ContentUnavailableError, match="was erased"):
            vault.seal("t-1", b"more", "text/plain", NOW)
    assert ledger.vault.open("t-2", other) == b"hello"
    chain = AuditChain(ledger.engine)
    assert [(record.kind, record.task_id) for record in chain.records(10)] == [("erasure", "t-1")]
    assert chain.verify().holds


def test_the_id_of_an_erased_task_is_never_used_again(ledger: Ledger) -> None:
    accept(ledger.vault, "t-1")
    ledger.vault.destroy_key("t-1", NOW)
    with pytest.raises(TaskIdReusedError, match="under a new id"):
        accept(ledger.vault, "t-1")


def test_erasing_a_task_that_is_not_known_says_so(ledger: Ledger) -> None:
    with pytest.raises(TaskNotFoundError, match="nothing was erased"):
        ledger.vault.destroy_key("nobody", NOW)


@IN_TABLE
@pytest.mark.parametrize("ledger_url", ["sqlite"], indirect=True)
def test_no_copy_of_a_destroyed_key_is_left_in_any_file_of_the_database(
    ledger: Ledger, tmp_path: Path
) -> None:
    for number in range(9):
        accept(ledger.vault, f"t-{number}")
    (row,) = ledger.rows("SELECT wrapped FROM vault_key WHERE task_id = 't-4'")
    (content,) = ledger.rows("SELECT sealed FROM vault_content WHERE task_id = 't-4'")
    files = [tmp_path / name for name in ("ledger.db", "ledger.db-wal")]
    for secret in (row["wrapped"], content["sealed"]):
        assert any(secret in each.read_bytes() for each in files)
    ledger.vault.destroy_key("t-4", NOW)
    for secret in (row["wrapped"], content["sealed"]):
        assert not any(secret in each.read_bytes() for each in files)


def test_a_short_prompt_cannot_be_guessed_from_its_digest(ledger: Ledger) -> None:
    ref = accept(ledger.vault, "t-1", b"yes").refs["prompt"]
    columns = [
        value
        for table in ("task", "vault_key", "vault_content")
        for row in ledger.rows(f"SELECT * FROM {table}")
        for value in row.values()
    ]
    keys = [value for value in columns if isinstance(value, bytes)] + [b"", b"t-1"]
    guesses = {hashlib.sha256(b"yes").hexdigest()} | {
        hmac.digest(key, b"yes", "sha256").hex() for key in keys
    }
    assert ref.digest not in guesses
    assert not guesses & set(map(str, columns))


@IN_TABLE
def test_accepting_and_sealing_send_one_statement_a_row_and_no_more(ledger: Ledger) -> None:
    """They are on the way of every task: rotation, retention and stores cost them nothing."""
    sent: list[str] = []

    def watch(*arguments: Any) -> None:
        word = str(arguments[2]).split()[0]
        if word != "BEGIN":
            sent.append(word)

    event.listen(ledger.engine, "before_cursor_execute", watch)
    ref = accept(ledger.vault, "t-1").refs["prompt"]
    assert sent == ["INSERT", "INSERT", "INSERT"]
    sent.clear()
    ledger.vault.seal("t-1", b"answer", "text/plain", NOW)
    assert sent == ["SELECT", "INSERT"]
    sent.clear()
    ledger.vault.open("t-1", ref)
    assert sent == ["SELECT"]


def test_keys_beyond_the_cache_are_unwrapped_again(ledger: Ledger) -> None:
    vault = ledger.another_vault(data_keys_cached_max=2)
    refs = {f"t-{number}": accept(vault, f"t-{number}").refs["prompt"] for number in range(5)}
    for task_id, ref in refs.items():
        assert vault.open(task_id, ref) == b"hello"


def test_threads_seal_and_open_at_the_same_time(ledger: Ledger) -> None:
    accept(ledger.vault, "t-1")
    barrier = threading.Barrier(8)

    def work(number: int) -> bool:
        barrier.wait(30)
        data = b"answer %d" % (number % 3)
        ref: ContentRef = ledger.vault.seal("t-1", data, "text/plain", NOW)
        return ledger.vault.open("t-1", ref) == data

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(8)))


def test_an_answer_sealed_with_its_attempt_opens_like_any_other(ledger: Ledger) -> None:
    accept(ledger.vault, "t-1")
    reserve(ledger.budgets, "t-1")
    ledger.attempts.begin(invoke("t-1"), "t-1/1", NOW)
    done = ledger.attempts.finish("t-1/1", **answer(text=b"42"))
    assert ledger.vault.open("t-1", done.answer) == b"42"
