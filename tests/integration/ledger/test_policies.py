"""Policy revisions are kept for ever and never change."""

import pytest

from pointwork.contract.canonical import sha256_hex
from pointwork.ledger.policies import RevisionConflictError, RevisionStore
from tests.integration.ledger.conftest import Ledger
from tests.integration.ledger.records import NOW

A1, A2 = sha256_hex(b'{"a":1}'), sha256_hex(b'{"a":2}')


def test_a_bundle_is_found_by_its_hash_and_listed(ledger: Ledger) -> None:
    store = RevisionStore(ledger.engine)
    store.remember(A1, "omega", "1.0", "p1", '{"a":1}', NOW)
    store.remember(A2, "omega", "1.1", "p2", '{"a":2}', NOW)
    assert store.find(A1) == '{"a":1}'
    assert store.find("b3") is None
    assert store.hashes() == sorted([A1, A2])
    assert [(ref.pack, ref.version) for ref in store.list()] == [("omega", "1.0"), ("omega", "1.1")]


def test_remembering_the_same_bundle_again_changes_nothing(ledger: Ledger) -> None:
    store = RevisionStore(ledger.engine)
    for _ in range(3):
        store.remember(A1, "omega", "1.0", "p1", '{"a":1}', NOW)
    assert store.hashes() == [A1]


@pytest.mark.parametrize(
    ("pack", "version", "pack_sha256", "text"),
    [
        ("codex", "1.0", "p1", '{"a":1}'),
        ("omega", "1.1", "p1", '{"a":1}'),
        ("omega", "1.0", "p2", '{"a":1}'),
        ("omega", "1.0", "p1", '{"a":2}'),
    ],
)
def test_another_text_under_a_stored_hash_is_refused(
    ledger: Ledger, pack: str, version: str, pack_sha256: str, text: str
) -> None:
    store = RevisionStore(ledger.engine)
    store.remember(A1, "omega", "1.0", "p1", '{"a":1}', NOW)
    with pytest.raises(RevisionConflictError, match="give the changed pack a new version"):
        store.remember(A1, pack, version, pack_sha256, text, NOW)
    assert store.find(A1) == '{"a":1}'
