"""The audit chain finds whatever was done to it (design 9; reliability cases 88, 90, 91)."""

import hashlib
import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from pointwork.ledger import audit
from pointwork.ledger.engine import transact
from tests.integration.ledger.conftest import Ledger
from tests.integration.ledger.records import NOW, outcome

RECORDS = 40


@pytest.fixture
def chain(ledger: Ledger) -> Ledger:
    """A ledger with ``RECORDS`` audit records, about to be damaged."""

    def write(connection: Connection) -> None:
        for number in range(RECORDS):
            body = {"outcome": {"status": "succeeded", "cost_nano_usd": number}}
            audit.append(connection, "test", body, NOW, task_id=f"t-{number}")

    transact(ledger.engine, write)
    ledger.broken_on_purpose = True
    return ledger


def broken_at(ledger: Ledger) -> int | None:
    return ledger.chain.verify().first_broken_sequence


def test_an_untouched_chain_holds_and_names_its_head(chain: Ledger) -> None:
    report = chain.chain.verify()
    assert (report.holds, report.count, report.reason) == (True, RECORDS, "")
    assert report.head_hash == chain.chain.records(1, RECORDS - 1)[0].hash


def test_an_empty_chain_holds(ledger: Ledger) -> None:
    report = ledger.chain.verify()
    assert (report.holds, report.count, report.head_hash) == (True, 0, "00" * 32)


def test_the_hashes_are_what_the_documentation_says(chain: Ledger) -> None:
    """Recomputed here from the rows alone, as an outside verifier would."""
    before = bytes(32)
    for row in chain.rows("SELECT * FROM audit ORDER BY sequence"):
        before = hashlib.sha256(b"\x00" + before + row["record"].encode()).digest()
        assert row["hash"] == before.hex()


@pytest.mark.parametrize("sequence", [1, 2, RECORDS // 2, RECORDS])
@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE audit SET record = replace(record, 'succeeded', 'denied000') WHERE sequence = {n}",
        "UPDATE audit SET record = replace(record, 't-', 'T-') WHERE sequence = {n}",
        "UPDATE audit SET hash = replace(hash, substr(hash, 1, 1), 'x') WHERE sequence = {n}",
        "UPDATE audit SET kind = 'erasure' WHERE sequence = {n}",
        "UPDATE audit SET task_id = 'other' WHERE sequence = {n}",
        "UPDATE audit SET task_id = NULL WHERE sequence = {n}",
    ],
)
def test_any_edit_is_found_where_it_was_made(chain: Ledger, damage: str, sequence: int) -> None:
    chain.rows(damage.format(n=sequence))
    assert broken_at(chain) == sequence


def test_an_edited_time_is_found(chain: Ledger) -> None:
    chain.rows("UPDATE audit SET occurred_at = '2020-01-01 00:00:00.000000' WHERE sequence = 7")
    assert broken_at(chain) == 7


@pytest.mark.parametrize("sequence", [1, 2, RECORDS // 2, RECORDS - 1])
def test_a_deleted_record_is_found(chain: Ledger, sequence: int) -> None:
    chain.rows(f"DELETE FROM audit WHERE sequence = {sequence}")
    report = chain.chain.verify()
    assert report.first_broken_sequence == sequence
    assert "is missing" in report.reason


def test_records_closed_up_over_a_deleted_one_are_found(chain: Ledger) -> None:
    chain.rows("DELETE FROM audit WHERE sequence = 10")
    for sequence in range(11, RECORDS + 1):
        chain.rows(f"UPDATE audit SET sequence = {sequence - 1} WHERE sequence = {sequence}")
    assert broken_at(chain) == 10


def test_an_inserted_record_is_found(chain: Ledger) -> None:
    for sequence in range(RECORDS, 9, -1):
        chain.rows(f"UPDATE audit SET sequence = {sequence + 1} WHERE sequence = {sequence}")
    chain.rows("INSERT INTO audit SELECT 10, kind, task_id, occurred_at, record, hash FROM audit "
               "WHERE sequence = 9")  # fmt: skip
    assert broken_at(chain) == 10


def test_two_swapped_records_are_found(chain: Ledger) -> None:
    for old, new in ((5, 0), (20, 5), (0, 20)):
        chain.rows(f"UPDATE audit SET sequence = {new} WHERE sequence = {old}")
    assert broken_at(chain) == 5


def test_a_record_rewritten_with_its_own_hash_breaks_at_the_next_one(chain: Ledger) -> None:
    (forged,) = chain.rows("SELECT * FROM audit WHERE sequence = 12")
    (before,) = chain.rows("SELECT hash FROM audit WHERE sequence = 11")
    record = json.loads(forged["record"])
    record["body"]["outcome"]["cost_nano_usd"] = 7
    text = json.dumps(record, sort_keys=True, separators=(",", ":"))
    link = hashlib.sha256(b"\x00" + bytes.fromhex(before["hash"]) + text.encode()).hexdigest()
    quoted = text.replace("'", "''")
    chain.rows(f"UPDATE audit SET record = '{quoted}', hash = '{link}' WHERE sequence = 12")
    assert broken_at(chain) == 13


def test_records_cut_off_the_end_show_against_an_earlier_head(chain: Ledger) -> None:
    """The chain alone cannot tell; the count and the head it had can."""
    known = chain.chain.verify()
    chain.rows(f"DELETE FROM audit WHERE sequence > {RECORDS - 3}")
    cut = chain.chain.verify()
    assert cut.holds
    assert (cut.count, cut.head_hash) != (known.count, known.head_hash)


def test_every_one_of_many_random_flips_in_a_record_is_found(chain: Ledger) -> None:
    """Each flip is undone, so that each is the only one."""
    generator = random.Random(7)
    found = 0
    for _ in range(50):
        sequence = generator.randint(1, RECORDS)
        (row,) = chain.rows(f"SELECT record FROM audit WHERE sequence = {sequence}")
        place = generator.randrange(len(row["record"]))
        other = "x" if row["record"][place] != "x" else "y"
        flipped = row["record"][:place] + other + row["record"][place + 1 :]
        statement = "UPDATE audit SET record = '{}' WHERE sequence = {}"
        chain.rows(statement.format(flipped.replace("'", "''"), sequence))
        found += broken_at(chain) == sequence
        chain.rows(statement.format(row["record"].replace("'", "''"), sequence))
    assert found == 50
    assert chain.chain.verify().holds


def test_records_are_read_on_from_where_a_reader_stopped(ledger: Ledger) -> None:
    for number in range(7):
        ledger.outcomes.log(outcome(f"t-{number}"), None, NOW)
    assert [each.sequence for each in ledger.chain.records(3)] == [1, 2, 3]
    assert [each.sequence for each in ledger.chain.records(3, 3)] == [4, 5, 6]
    assert [each.sequence for each in ledger.chain.records(3, 6)] == [7]


@pytest.mark.parametrize("count", [1, 5, RECORDS, RECORDS + 10])
def test_the_last_records_are_verified_alone_and_say_which_they_are(
    chain: Ledger, count: int
) -> None:
    report = chain.chain.verify_last(count)
    first = max(1, RECORDS - count + 1)
    assert (report.holds, report.first_sequence, report.last_sequence) == (True, first, RECORDS)
    chain.rows("UPDATE audit SET kind = 'other' WHERE sequence = 20")
    is_within = count > RECORDS - 20
    assert chain.chain.verify_last(count).first_broken_sequence == (20 if is_within else None)


@pytest.mark.parametrize("gone", [20, 21, 22])
def test_a_record_missing_within_the_range_or_right_before_it_is_named(
    chain: Ledger, gone: int
) -> None:
    chain.rows(f"DELETE FROM audit WHERE sequence = {gone}")
    report = chain.chain.verify_last(RECORDS - 20)
    assert (report.first_broken_sequence, report.first_sequence) == (gone, 21)
    assert f"record {gone} is missing" in report.reason


def test_records_are_listed_latest_first_by_kind_and_by_task(ledger: Ledger) -> None:
    def write(connection: Connection) -> None:
        for number in range(6):
            kind, task_id = ("odd", "even")[number % 2 == 0], f"t-{number // 2}"
            audit.append(connection, kind, {}, NOW, task_id=task_id)

    transact(ledger.engine, write)
    chain = ledger.chain

    def listed(limit: int = 10, **wanted: Any) -> list[int]:
        return [each.sequence for each in chain.latest(limit, **wanted)]

    assert chain.kinds() == ["even", "odd"]
    assert (listed(), listed(2), listed(2, before=3)) == ([6, 5, 4, 3, 2, 1], [6, 5], [2, 1])
    assert (listed(kind="odd"), listed(task_id="t-1")) == ([6, 4, 2], [4, 3])
    assert listed(kind="odd", task_id="t-1") == [4]
    found = chain.find(3)
    assert found is not None
    assert (found.sequence, found.kind, found.task_id) == (3, "even", "t-1")
    assert chain.find(7) is None


def test_a_record_that_is_rolled_back_leaves_no_gap(ledger: Ledger) -> None:
    def write(connection: Connection) -> None:
        audit.append(connection, "test", {}, NOW)
        raise KeyError

    with pytest.raises(KeyError):
        transact(ledger.engine, write)
    ledger.outcomes.log(outcome("t-1"), None, NOW)
    assert [each.sequence for each in ledger.chain.records(10)] == [1]


APPEND_UNTIL_KILLED = """
import sys
from pointwork.ledger.engine import open_engine
from pointwork.ledger.outcomes import OutcomeLog
from tests.integration.ledger.records import NOW, outcome
outcomes = OutcomeLog(open_engine(sys.argv[1]))
number = 0
while True:
    outcomes.log(outcome(f"{sys.argv[2]}-{number}"), None, NOW)
    sys.stdout.write("logged\\n")
    sys.stdout.flush()
    number += 1
"""


def test_writers_killed_while_they_append_leave_no_gap_and_no_fork(
    ledger: Ledger, repository: Path
) -> None:
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", APPEND_UNTIL_KILLED, ledger.url, f"w{number}"],
            cwd=repository,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(3)
    ]
    acknowledged = 0
    for patience, writer in enumerate(writers, start=5):
        assert writer.stdout is not None
        acknowledged += sum(1 for _ in zip(range(patience), writer.stdout, strict=False))
        writer.kill()
        acknowledged += len(writer.stdout.read().splitlines())
        writer.wait(60)
        writer.stdout.close()
    report = ledger.chain.verify()
    assert report.holds
    assert acknowledged <= report.count <= acknowledged + len(writers)
