"""The keys by which the console signs: made from the master key, registered, revocable."""

from datetime import UTC, datetime
from uuid import uuid4

import pytest

from pointwork.ledger.console_keys import ConsoleKeys, NoConsoleKeyError
from pointwork.ledger.identities import Identities
from pointwork.ledger.master_keys import KEY_BYTES, MasterKeys
from tests.integration.gateway.house import House


def made(house: House) -> ConsoleKeys:
    return ConsoleKeys(house.gateway.approvals, Identities(house.gateway.engine))


def keys(active: str, **given: int) -> MasterKeys:
    return MasterKeys(active, {name: bytes([fill]) * KEY_BYTES for name, fill in given.items()})


def test_two_replicas_have_the_same_key_and_two_persons_have_not(house: House) -> None:
    held, now = keys("a", a=1), datetime.now(UTC)
    ada, ben = house.person().name, house.person().name
    for name in (ada, ben):
        made(house).ensure(name, held, now)
    assert made(house).of(ada, held)[0] == made(house).of(ada, held)[0]
    assert made(house).of(ada, held)[0] != made(house).of(ben, held)[0]


def test_a_rotation_leaves_the_registered_key_while_its_master_key_is_held(house: House) -> None:
    now, name = datetime.now(UTC), house.person().name
    made(house).ensure(name, keys("a", a=1), now)
    before, _ = made(house).of(name, keys("a", a=1))
    made(house).ensure(name, keys("b", a=1, b=2), now)
    assert made(house).of(name, keys("b", a=1, b=2))[0] == before
    made(house).ensure(name, keys("b", b=2), now)
    assert made(house).of(name, keys("b", b=2))[0] != before


def test_a_revoked_key_signs_no_more_until_its_person_signs_in_anew(house: House) -> None:
    held, now, name = keys("a", a=1), datetime.now(UTC), f"person-{uuid4().hex[:8]}"
    console = made(house)
    console.ensure(name, held, now)
    first, _ = console.of(name, held)
    house.gateway.approvals.revoke_key(first, now)
    console.register_all(held, now)
    with pytest.raises(NoConsoleKeyError, match="sign out and in again"):
        console.of(name, held)
    console.ensure(name, held, now)
    assert console.of(name, held)[0] != first
