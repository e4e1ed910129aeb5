"""Erasing what a caller asked and was told: nothing can be read or proved again (case 94)."""

import hashlib
import hmac
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pointwork.contract.canonical import canonical_json
from pointwork.contract.failures import TaskNotFoundError
from pointwork.contract.prompt import MEDIA_TYPE_PROMPT, Prompt
from pointwork.contract.task import ContentRef
from pointwork.ledger.comparisons import ComparisonLog
from pointwork.ledger.content import SealedContent
from pointwork.ledger.engine import read
from pointwork.ledger.erasure import Eraser, TaskRunningError
from pointwork.ledger.response_cache import ResponseCache
from pointwork.ledger.vault import ContentUnavailableError, TaskDraft
from tests.integration.ledger.conftest import MASTER_KEYS, Ledger
from tests.integration.ledger.records import NOW, answer, invoke, outcome, reserve, window
from tests.integration.ledger.stores import KINDS, new_store, objects
from tests.integration.ledger.test_choices import DIFFER
from tests.integration.ledger.test_response_cache import subject

ASKED = "the purple canary sings at 4711 Elm Street"
REDACTED = "the purple canary sings at <ADDRESS_1>"
MAPPING = b'{"<ADDRESS_1>":"4711 Elm Street"}'
ANSWERED = b'{"text":"its password is correct-horse-battery-staple"}'
PASSAGES = '[{"text":"a passage about canaries"}]'
CANARIES = (b"purple canary", b"4711 Elm", b"correct-horse", b"about canaries")
WHY = "The person asked for it."
AGREE = {"agree": True, "differences": (), "differences_count": 0}


@pytest.fixture(params=KINDS)
def ledger(ledger: Ledger, request: pytest.FixtureRequest, tmp_path: Path) -> Ledger:
    ledger.keep_in(new_store(request.param, ledger.engine, tmp_path, request))
    return ledger


@dataclass
class Life:
    """What one task left in the vault, by name, and the key of its entry in the cache."""

    task_id: str
    refs: dict[str, ContentRef] = field(default_factory=dict)


def lived(ledger: Ledger, task_id: str, caller: str, *, has_ended: bool = True) -> Life:
    """A task with everything that can be derived from a prompt and an answer."""
    content, life = SealedContent(ledger.vault), Life(task_id)
    draft = TaskDraft(task_id=task_id, caller=caller, pack="omega", declarations={"n": task_id})
    prompt = canonical_json(Prompt.from_text(f"{ASKED}, {task_id}"))
    life.refs |= ledger.vault.accept(
        draft,
        [("prompt", prompt, MEDIA_TYPE_PROMPT), ("schema", b'{"type":"object"}', "text/json")],
        NOW,
    ).refs
    redacted = content.seal_prompt(task_id, Prompt.from_text(REDACTED))
    placeholders = content.seal_placeholders(task_id, MAPPING)
    assert redacted is not None
    assert placeholders is not None
    life.refs |= {"redacted": redacted, "placeholders": placeholders}
    data, media_type = content.encode_answer(PASSAGES)
    life.refs["passages"] = ledger.vault.seal(task_id, data, media_type, NOW)
    reserve(ledger.budgets, task_id, windows=[window("day", 10**9)])
    ledger.attempts.begin(invoke(task_id), f"{task_id}/1", NOW)
    done = ledger.attempts.finish(f"{task_id}/1", **answer(text=ANSWERED))
    life.refs["answer"] = done.answer
    comparison = DIFFER.model_copy(update={"comparison_id": f"{task_id}/comparison", **AGREE})
    ComparisonLog(ledger.engine).record(comparison, task_id, f"{task_id}#1", NOW)
    if has_ended:
        ledger.outcomes.log(outcome(task_id, answer=done.answer, caller=caller), None, NOW)
    return life


def cached(ledger: Ledger, life: Life) -> None:
    """The answer as it serves equal calls; only what stands in the table ever does."""
    cache = ResponseCache(ledger.engine, ledger.vault)
    key = cache.key(subject(prompt=life.task_id.encode()))
    assert key is not None
    cache.keep(
        key,
        task_id=life.task_id,
        answer=life.refs["answer"],
        model="m",
        served_as="m",
        ttl_seconds=60,
        max_bytes=1000,
        now=NOW,
    )


def everything(ledger: Ledger, folder: Path) -> Iterator[bytes]:
    """Every value of every column, every file of the database, every object of the store."""
    with read(ledger.engine) as connection:
        tables = connection.exec_driver_sql(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
            if ledger.engine.dialect.name == "postgresql"
            else "SELECT name FROM sqlite_master WHERE type = 'table'"
        )
        for table in tables.scalars().all():
            for row in connection.exec_driver_sql(f"SELECT * FROM {table}"):
                yield from (
                    value if isinstance(value, bytes) else str(value).encode() for value in row
                )
    for path in folder.glob("ledger.db*"):
        yield path.read_bytes()
    for each in objects(ledger.store):
        yield ledger.store.get(each.name) or b""


def secrets(ledger: Ledger, task_id: str) -> list[bytes]:
    """The task's wrapped key and every sealed content, as they lie there."""
    (key,) = ledger.rows(f"SELECT wrapped FROM vault_key WHERE task_id = '{task_id}'")
    rows = ledger.rows(f"SELECT * FROM vault_content WHERE task_id = '{task_id}'")
    sealed = [
        ledger.store.get(row["object_name"]) if row["object_name"] else row["sealed"]
        for row in rows
    ]
    return [bytes(each) for each in (key["wrapped"], *sealed)]


@pytest.fixture
def eraser(ledger: Ledger) -> Eraser:
    return Eraser(ledger.engine, ledger.store)


@pytest.mark.req("SP-45")
def test_erasing_a_caller_leaves_nothing_of_theirs_to_read_and_everybody_else_untouched(
    ledger: Ledger, eraser: Eraser, tmp_path: Path
) -> None:
    theirs = [lived(ledger, f"ada-{number}", "ada") for number in range(3)]
    others = [lived(ledger, f"bob-{number}", "bob") for number in range(2)]
    for life in (*theirs, *others):
        cached(ledger, life)
    gone = [each for life in theirs for each in secrets(ledger, life.task_id)]
    kept = [each for life in others for each in secrets(ledger, life.task_id)]
    records = ledger.rows("SELECT * FROM outcome ORDER BY task_id")
    warm = ledger.another_vault()
    assert all(warm.open(life.task_id, ref) for life in theirs for ref in life.refs.values())

    found = eraser.of_caller("ada")
    assert [each.task_id for each in found] == [each.task_id for each in theirs]
    erased = eraser.erase([each.task_id for each in found], NOW, by="owner", reason=WHY)

    assert [each.contents for each in erased.tasks] == [len(theirs[0].refs)] * 3
    assert erased.are_objects_deleted
    assert erased.are_pages_forgotten
    left = list(everything(ledger, tmp_path))
    for canary in CANARIES:
        assert not any(canary in each for each in left)
    if ledger.engine.dialect.name == "sqlite":
        assert not any(secret in each for secret in gone for each in left)
    assert all(any(secret in each for each in left) for secret in kept)
    for life in theirs:
        for ref in life.refs.values():
            for vault in (ledger.vault, warm, ledger.another_vault()):
                with pytest.raises(ContentUnavailableError, match="was erased"):
                    vault.open(life.task_id, ref)
    for life in others:
        for ref in life.refs.values():
            assert ledger.another_vault().open(life.task_id, ref)

    assert ledger.rows("SELECT * FROM outcome ORDER BY task_id") == records
    assert ledger.chain.verify().holds
    told = [each for each in ledger.chain.records(1000) if each.kind == "erasure"]
    assert [each.task_id for each in told] == [each.task_id for each in theirs]
    assert {each.body["by"] for each in told} == {"owner"}
    assert {each.body["reason"] for each in told} == {WHY}
    cache = ledger.rows("SELECT task_id FROM response_cache")
    assert {row["task_id"] for row in cache} <= {"bob-0", "bob-1"}


def test_a_prompts_digest_proves_the_prompt_until_the_key_is_gone(
    ledger: Ledger, eraser: Eraser
) -> None:
    """With every key that is left in hand, the one who knows the prompt cannot show that it was."""
    life = lived(ledger, "t-1", "ada")
    prompt = canonical_json(Prompt.from_text(f"{ASKED}, t-1"))
    assert proves(ledger, "t-1", prompt, life.refs["prompt"].digest)
    eraser.erase(["t-1"], NOW, by="owner", reason=WHY)
    assert not proves(ledger, "t-1", prompt, life.refs["prompt"].digest)
    (row,) = ledger.rows("SELECT record FROM audit WHERE kind = 'outcome'")
    assert "t-1" in row["record"]


def proves(ledger: Ledger, task_id: str, prompt: bytes, digest: str) -> bool:
    """Whether the digest can be recomputed from the prompt and what is in ledger and key file."""
    (key,) = ledger.rows(f"SELECT * FROM vault_key WHERE task_id = '{task_id}'")
    secrets = list(MASTER_KEYS.keys.values())
    if key["wrapped"] is not None:
        opened = MASTER_KEYS.unwrap(bytes(key["wrapped"]), task_id, key["master_key_id"])
        secrets += [opened] if opened else []
    derived = [hmac.digest(each, b"pointwork digest", "sha256") for each in secrets]
    shown = {hmac.digest(each, prompt, "sha256").hex() for each in secrets + derived}
    return digest in shown | {hashlib.sha256(prompt).hexdigest()}


def test_a_task_that_may_run_is_left_alone_unless_it_is_forced(
    ledger: Ledger, eraser: Eraser
) -> None:
    life = lived(ledger, "t-1", "ada", has_ended=False)
    with pytest.raises(TaskRunningError, match="t-1 has no outcome, so it may still run"):
        eraser.erase(["t-1"], NOW, by="owner", reason=WHY)
    assert ledger.vault.open("t-1", life.refs["prompt"])
    (erased,) = eraser.erase(["t-1"], NOW, by="owner", reason=WHY, even_if_running=True).tasks
    assert not erased.was_erased
    with pytest.raises(ContentUnavailableError, match="was erased"):
        ledger.vault.seal("t-1", b"more", "text/plain", NOW)


def test_content_on_its_way_while_its_task_is_erased_is_gone_too(
    ledger: Ledger, eraser: Eraser
) -> None:
    lived(ledger, "t-1", "ada")
    with ThreadPoolExecutor(1) as pool:
        with ledger.engine.begin() as connection:
            ledger.vault.seal_within(connection, "t-1", b"late", "text/plain", NOW)
            erasing = pool.submit(eraser.erase, ["t-1"], NOW, by="owner", reason=WHY)
            if connection.dialect.name == "postgresql":
                while not _is_waiting(ledger):
                    assert not erasing.done()
        assert erasing.result(60).tasks[0].contents == 7
    assert ledger.rows("SELECT * FROM vault_content") == []


def _is_waiting(ledger: Ledger) -> bool:
    """Whether a transaction on this database waits for another's lock."""
    asked = (
        "SELECT count(*) FROM pg_stat_activity "
        "WHERE wait_event_type = 'Lock' AND datname = current_database()"
    )
    with read(ledger.engine) as connection:
        return bool(connection.exec_driver_sql(asked).scalar_one())


def test_erasing_again_changes_nothing_and_leaves_no_second_record(
    ledger: Ledger, eraser: Eraser
) -> None:
    lived(ledger, "t-1", "ada")
    eraser.erase(["t-1"], NOW, by="owner", reason=WHY)
    before = ledger.rows("SELECT * FROM vault_key")
    (again,) = eraser.erase(["t-1"], NOW, by="owner", reason=WHY).tasks
    assert again.was_erased
    assert ledger.rows("SELECT * FROM vault_key") == before
    assert [each.kind for each in ledger.chain.records(100)].count("erasure") == 1


def test_a_task_the_vault_does_not_know_is_named(ledger: Ledger, eraser: Eraser) -> None:
    with pytest.raises(TaskNotFoundError, match="nobody is not in the vault"):
        eraser.erase(["nobody"], NOW, by="owner", reason=WHY)


def test_the_standing_of_many_tasks_is_found_by_id(ledger: Ledger, eraser: Eraser) -> None:
    lived(ledger, "ended", "ada")
    lived(ledger, "running", "ada", has_ended=False)
    eraser.erase(["ended"], NOW, by="owner", reason=WHY)
    asked = [*(f"nobody-{number}" for number in range(1200)), "running", "ended"]
    found: list[Any] = [
        (each.task_id, each.has_ended, each.is_erased) for each in eraser.standing(asked)
    ]
    assert found == [("ended", True, True), ("running", False, False)]
