"""An equal request may be served from an earlier answer, never with anything sensitive (JG-56)."""

from datetime import timedelta
from typing import Any

import pytest

from pointwork.contract.task import ContentRef, DataClass, PrivacyTier, Sensitivity
from pointwork.ledger.master_keys import MasterKeys
from pointwork.ledger.response_cache import CacheSubject, ResponseCache, cacheable
from pointwork.ledger.vault import ContentUnavailableError, Vault
from tests.integration.ledger.conftest import MASTER_KEYS, Ledger
from tests.integration.ledger.records import NOW, POLICY, accept, candidate

MEDIA_TYPE = "application/json"
ANSWER = b'{"text":"four"}'


def subject(**changed: Any) -> CacheSubject:
    given: dict[str, Any] = {
        "prompt": b"two and two",
        "candidate": candidate(),
        "temperature": 0.2,
        "seed": None,
        "policy": POLICY,
        "privacy_tier": PrivacyTier.ANY,
        "sensitivity": Sensitivity.PUBLIC,
        **changed,
    }
    return CacheSubject(**given)


@pytest.fixture
def cache(ledger: Ledger) -> ResponseCache:
    return ResponseCache(ledger.engine, ledger.vault, MASTER_KEYS)


def key_of(cache: ResponseCache, **changed: Any) -> str:
    key = cache.key(subject(**changed))
    assert key is not None
    return key


def answered(ledger: Ledger, task_id: str = "first", text: bytes = ANSWER) -> ContentRef:
    accept(ledger.vault, task_id)
    return ledger.vault.seal(task_id, text, MEDIA_TYPE, NOW)


def keep(cache: ResponseCache, key: str, ref: ContentRef, **changed: Any) -> bool:
    given: dict[str, Any] = {
        "task_id": "first",
        "answer": ref,
        "model": "small-local",
        "served_as": "small-local-q4",
        "ttl_seconds": 60,
        "max_bytes": 1000,
        "now": NOW,
        **changed,
    }
    return cache.keep(key, **given)


def test_an_equal_request_gets_the_answer_sealed_under_its_own_key(
    ledger: Ledger, cache: ResponseCache
) -> None:
    key, ref = key_of(cache), answered(ledger)
    assert cache.find(key, "first", NOW) is None
    assert keep(cache, key, ref)
    accept(ledger.vault, "second")
    hit = cache.find(key_of(cache), "second", NOW)
    assert hit is not None
    assert (hit.model, hit.served_as, hit.source_task_id) == (
        "small-local",
        "small-local-q4",
        "first",
    )
    assert hit.answer.digest != ref.digest
    assert ledger.vault.open("second", hit.answer) == ANSWER
    assert [each["hits"] for each in ledger.rows("SELECT hits FROM response_cache")] == [1]


def test_the_copy_outlives_the_original_and_the_original_the_copy(
    ledger: Ledger, cache: ResponseCache
) -> None:
    key, ref = key_of(cache), answered(ledger)
    keep(cache, key, ref)
    accept(ledger.vault, "second")
    hit = cache.find(key, "second", NOW)
    assert hit is not None
    ledger.vault.destroy_key("first", NOW)
    assert ledger.vault.open("second", hit.answer) == ANSWER
    with pytest.raises(ContentUnavailableError):
        ledger.vault.open("first", ref)


@pytest.mark.parametrize(
    ("facts", "allowed"),
    [
        ({"sensitivity": Sensitivity.PUBLIC}, True),
        ({"sensitivity": Sensitivity.INTERNAL}, True),
        ({"sensitivity": None}, True),
        ({"sensitivity": Sensitivity.PROPRIETARY}, False),
        ({"sensitivity": Sensitivity.SENSITIVE}, False),
        ({"sensitivity": Sensitivity.RESTRICTED}, False),
        ({"sensitivity": None, "has_findings": True}, False),
        ({"sensitivity": Sensitivity.PUBLIC, "has_findings": True}, False),
        ({"sensitivity": Sensitivity.PUBLIC, "is_redacted": True}, False),
        *(({"data_classes": (each,)}, False) for each in DataClass),
    ],
)
def test_nothing_sensitive_or_doubtful_has_a_key(
    cache: ResponseCache, facts: dict[str, Any], allowed: bool
) -> None:
    assert cacheable(subject(**facts)) is allowed
    assert (cache.key(subject(**facts)) is not None) is allowed


@pytest.mark.parametrize(
    "changed",
    [
        {"prompt": b"two and two "},
        {"answer_schema": b"{}"},
        {"candidate": candidate("other")},
        {"candidate": candidate().model_copy(update={"served_as": "small-local-q8"})},
        {"candidate": candidate().model_copy(update={"endpoint": "elsewhere"})},
        {"candidate": candidate().model_copy(update={"max_output_tokens": 65})},
        {"temperature": 0.3},
        {"seed": 1},
        {"policy": POLICY.model_copy(update={"pack": "juggernaut"})},
        {"policy": POLICY.model_copy(update={"pack_sha256": "d" * 64})},
        {"privacy_tier": PrivacyTier.LOCAL_ONLY},
    ],
)
def test_whatever_could_change_the_answer_changes_the_key(
    cache: ResponseCache, changed: dict[str, Any]
) -> None:
    assert key_of(cache, **changed) != key_of(cache)


def test_who_declared_what_does_not_change_the_key(cache: ResponseCache) -> None:
    assert key_of(cache, sensitivity=Sensitivity.INTERNAL) == key_of(cache)


def test_the_key_says_nothing_without_the_master_key(ledger: Ledger) -> None:
    other = MasterKeys(active="test", keys={"test": b"o" * 32})
    vault = Vault(ledger.engine, other)
    first = ResponseCache(ledger.engine, ledger.vault, MASTER_KEYS).key(subject())
    assert first == ResponseCache(ledger.engine, ledger.vault, MASTER_KEYS).key(subject())
    assert first != ResponseCache(ledger.engine, vault, other).key(subject())


def test_no_row_and_no_repr_holds_the_text(ledger: Ledger, cache: ResponseCache) -> None:
    keep(cache, key_of(cache), answered(ledger))
    shown = repr(ledger.rows("SELECT * FROM response_cache")) + repr(subject())
    assert "two and two" not in shown
    assert "four" not in shown


@pytest.mark.parametrize(("seconds", "found"), [(59, True), (60, False)])
def test_an_answer_serves_until_its_time_is_over(
    ledger: Ledger, cache: ResponseCache, seconds: int, found: bool
) -> None:
    key = key_of(cache)
    keep(cache, key, answered(ledger))
    hit = cache.find(key, "first", NOW + timedelta(seconds=seconds))
    assert (hit is not None) is found


def test_what_has_expired_is_swept_when_the_next_is_kept(
    ledger: Ledger, cache: ResponseCache
) -> None:
    ref = answered(ledger)
    keep(cache, key_of(cache), ref)
    keep(cache, key_of(cache, seed=1), ref, now=NOW + timedelta(seconds=60))
    assert len(ledger.rows("SELECT * FROM response_cache")) == 1


def test_a_later_answer_replaces_the_earlier(ledger: Ledger, cache: ResponseCache) -> None:
    key = key_of(cache)
    keep(cache, key, answered(ledger))
    newer = answered(ledger, "later", b'{"text":"4"}')
    assert keep(cache, key, newer, task_id="later")
    hit = cache.find(key, "first", NOW)
    assert hit is not None
    assert ledger.vault.open("first", hit.answer) == b'{"text":"4"}'


@pytest.mark.parametrize(("max_bytes", "kept"), [(len(ANSWER), True), (len(ANSWER) - 1, False)])
def test_an_answer_over_the_packs_bound_is_not_kept(
    ledger: Ledger, cache: ResponseCache, max_bytes: int, kept: bool
) -> None:
    assert keep(cache, key_of(cache), answered(ledger), max_bytes=max_bytes) is kept


def test_erasing_the_task_takes_its_entry_along(ledger: Ledger, cache: ResponseCache) -> None:
    key = key_of(cache)
    keep(cache, key, answered(ledger))
    accept(ledger.vault, "second")
    ledger.vault.destroy_key("first", NOW)
    assert ledger.rows("SELECT * FROM response_cache") == []
    assert cache.find(key, "second", NOW) is None


def test_an_erased_answer_is_not_kept(ledger: Ledger, cache: ResponseCache) -> None:
    ref = answered(ledger)
    ledger.vault.destroy_key("first", NOW)
    assert not keep(cache, key_of(cache), ref)
    assert ledger.rows("SELECT * FROM response_cache") == []


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE vault_key SET wrapped = NULL WHERE task_id = 'first'",
        "UPDATE vault_content SET sealed = wrapped FROM vault_key "
        "WHERE vault_content.task_id = 'first' AND vault_key.task_id = 'first'",
    ],
    ids=["key destroyed", "bytes altered"],
)
def test_an_answer_that_cannot_be_opened_is_a_miss_and_its_entry_goes(
    ledger: Ledger, cache: ResponseCache, damage: str
) -> None:
    key = key_of(cache)
    keep(cache, key, answered(ledger))
    accept(ledger.vault, "second")
    ledger.rows(damage)
    assert cache.find(key, "second", NOW) is None
    assert ledger.rows("SELECT * FROM response_cache") == []


def test_an_erased_asker_gets_nothing_and_the_entry_stays(
    ledger: Ledger, cache: ResponseCache
) -> None:
    key = key_of(cache)
    keep(cache, key, answered(ledger))
    accept(ledger.vault, "second")
    ledger.vault.destroy_key("second", NOW)
    with pytest.raises(ContentUnavailableError, match="second was erased"):
        cache.find(key, "second", NOW)
    assert [each["hits"] for each in ledger.rows("SELECT hits FROM response_cache")] == [0]


def test_a_task_can_be_forgotten_without_being_erased(ledger: Ledger, cache: ResponseCache) -> None:
    ref = answered(ledger)
    for seed in (1, 2):
        keep(cache, key_of(cache, seed=seed), ref)
    assert cache.forget("first") == 2
    assert cache.forget("first") == 0
    assert cache.find(key_of(cache, seed=1), "first", NOW) is None
    assert ledger.vault.open("first", ref) == ANSWER
