"""Who guesses short prompts finds none by the digests that are stored (reliability case 95)."""

import hashlib
import hmac
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import inspect

from pointwork.contract.canonical import canonical_json
from pointwork.contract.prompt import MEDIA_TYPE_PROMPT, Prompt
from pointwork.ledger.content import SealedContent
from pointwork.ledger.data_keys import DataKey
from pointwork.ledger.master_keys import MasterKeys
from pointwork.ledger.response_cache import ResponseCache
from pointwork.ledger.vault import TaskDraft
from tests.integration.ledger.conftest import MASTER_KEYS, Ledger
from tests.integration.ledger.records import NOW, answer, decision, invoke, outcome, reserve, window
from tests.integration.ledger.stores import new_store, objects
from tests.integration.ledger.test_response_cache import subject

SAID = ("yes", "no", "4711", "+49 170 0000042")
GUESSES = ["yes", "no", *(str(number) for number in range(4998))]
GUESSES += [f"+49 170 {number:07d}" for number in range(5000)]
_DIGEST = re.compile(r"(?<![0-9a-f])(?:[0-9a-f]{64}|[0-9a-f]{40}|[0-9a-f]{32})(?![0-9a-f])")


def sealed_form(text: str) -> bytes:
    return canonical_json(Prompt.from_text(text))


def answer_form(text: str) -> bytes:
    return SealedContent.encode_answer(None, text)[0]  # type: ignore[arg-type]


@pytest.fixture
def ledger(ledger: Ledger, request: pytest.FixtureRequest, tmp_path: Path) -> Ledger:
    """Tasks whose prompt and answer is one of ``SAID``, with everything a task leaves behind."""
    ledger.keep_in(new_store("folder", ledger.engine, tmp_path, request))
    cache = ResponseCache(ledger.engine, ledger.vault)
    for number, text in enumerate(SAID):
        task_id = f"t-{number}"
        draft = TaskDraft(task_id=task_id, caller="tester", pack="omega", declarations={})
        prompt = sealed_form(text)
        contents = [("prompt", prompt, MEDIA_TYPE_PROMPT), ("raw", text.encode(), "text/plain")]
        ref = ledger.vault.accept(draft, contents, NOW).refs["prompt"]
        reserve(ledger.budgets, task_id, windows=[window("day", 10**9)])
        ledger.attempts.begin(invoke(task_id), f"{task_id}/1", NOW)
        done = ledger.attempts.finish(f"{task_id}/1", **answer(text=answer_form(text)))
        record = decision(task_id, number=2)
        request_made = record.input.request.model_copy(update={"content": ref})
        given = record.input.model_copy(update={"request": request_made})
        record = record.model_copy(update={"input": given})
        ledger.outcomes.log(outcome(task_id, answer=done.answer), record, NOW)
        key = cache.key(subject(prompt=prompt))
        assert key is not None
        ledger.rows(
            "INSERT INTO response_cache SELECT :k, task_id, digest, bytes_count, media_type, 'm', "
            "'m', created_at, created_at, 0 FROM vault_content WHERE task_id = :t "
            "AND media_type = 'text/plain' LIMIT 1",
            k=key,
            t=task_id,
        )
    return ledger


def stored_values(ledger: Ledger) -> list[object]:
    found: list[object] = [
        value
        for table in inspect(ledger.engine).get_table_names()
        for row in ledger.rows(f"SELECT * FROM {table}")
        for value in row.values()
    ]
    return found + [each.name for each in objects(ledger.store)]


def digests(values: list[object]) -> set[str]:
    """Every hexadecimal digest in any column, in any record's JSON, in any object's name."""
    return {each for value in values for each in _DIGEST.findall(str(value))}


def keys_within_reach(values: list[object]) -> set[bytes]:
    """What somebody with the database may try as a key: every short value that stands in it."""
    stored = {bytes(value) for value in values if isinstance(value, bytes | memoryview)}
    words = {str(value).encode() for value in values if len(str(value)) <= 64}
    names = {b"", b"pointwork digest", b"pointwork seal", b"pointwork response cache"}
    parts = {each[at : at + 32] for each in stored for at in (0, 12)}
    return {each for each in stored | words | names | parts if len(each) <= 128}


def attacks(keys: set[bytes]) -> Iterator[Callable[[bytes], str]]:
    for name in ("md5", "sha1", "sha256", "sha3_256", "blake2s"):
        yield lambda data, name=name: hashlib.new(name, data).hexdigest()  # type: ignore[misc]
    for key in keys:
        yield lambda data, key=key: hmac.digest(key, data, "sha256").hex()  # type: ignore[misc]


def recovered(guesses: list[str], stored: set[str], keys: set[bytes]) -> set[str]:
    forms: list[tuple[str, bytes]] = [
        (guess, form)
        for guess in guesses
        for form in (guess.encode(), sealed_form(guess), answer_form(guess))
    ]
    return {guess for attack in attacks(keys) for guess, form in forms if attack(form) in stored}


@pytest.mark.parametrize("ledger_url", ["sqlite"], indirect=True)
def test_ten_thousand_guesses_at_short_prompts_recover_none_from_any_stored_digest(
    ledger: Ledger,
) -> None:
    assert len(set(GUESSES)) == 10_000
    assert set(SAID) < set(GUESSES)
    values = stored_values(ledger)
    stored = digests(values)
    columns = ("request_digest", "answer_digest", "digest", "key")
    assert len(stored) > 8 * len(SAID), columns
    # Every key of the database on some guesses, the likely ones on all of them.
    assert recovered([*SAID, *GUESSES[:50]], stored, keys_within_reach(values)) == set()
    assert recovered(GUESSES, stored, {b"", b"tester", b"pointwork digest", b"t-0"}) == set()


@pytest.mark.parametrize("ledger_url", ["sqlite"], indirect=True)
def test_the_keys_of_the_response_cache_cannot_be_guessed_without_the_master_key(
    ledger: Ledger,
) -> None:
    """The guesser knows the code and everything of a call but its prompt."""
    guessed = MasterKeys(active="test", keys={"test": bytes(32)})
    guesser = ResponseCache(ledger.engine, ledger.another_vault(guessed))
    owner = ResponseCache(ledger.engine, ledger.vault)
    rows = {row["key"] for row in ledger.rows("SELECT key FROM response_cache")}
    assert len(rows) == len(SAID)
    assert not any(guesser.key(subject(prompt=sealed_form(each))) in rows for each in GUESSES)
    assert {owner.key(subject(prompt=sealed_form(each))) for each in SAID} == rows


@pytest.mark.parametrize("ledger_url", ["sqlite"], indirect=True)
def test_the_same_guesses_find_them_all_with_the_keys(ledger: Ledger) -> None:
    """So the guesses above are the right ones, and it is the key that holds them off."""
    stored = digests(stored_values(ledger))
    secrets = [
        MASTER_KEYS.unwrap(bytes(row["wrapped"]), row["task_id"], row["master_key_id"])
        for row in ledger.rows("SELECT * FROM vault_key")
    ]
    keys = {DataKey.derive(each).digesting for each in secrets if each is not None}
    assert recovered(list(SAID), stored, keys) == set(SAID)
