"""Addresses the ledger refuses, each with a remedy and never with a password."""

import pytest

from pointwork.ledger.engine import LedgerUrlError, open_engine


@pytest.mark.parametrize(
    ("url", "remedy"),
    [
        ("ledger.db", "give sqlite:///path or postgresql://host/name"),
        ("mysql://root:hunter2@db/x", "give sqlite:///path or postgresql://host/name"),
        ("sqlite://", "give sqlite:///path"),
        ("sqlite:///:memory:", "give sqlite:///path"),
        ("sqlite:////no/such/folder/ledger.db", "create it or give another path"),
    ],
)
def test_an_unusable_address_is_refused_with_a_remedy(url: str, remedy: str) -> None:
    with pytest.raises(LedgerUrlError, match=remedy) as refused:
        open_engine(url)
    assert "hunter2" not in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1
