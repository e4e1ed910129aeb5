"""The log of activations: added by owners alone, one after the other, and told by the chain."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from pointwork.contract.activation import PolicyActivation
from pointwork.contract.canonical import sha256_hex
from pointwork.contract.identity import Role
from pointwork.contract.snapshot import PolicyRef
from pointwork.ledger.activations import (
    ActivationConflictError,
    ActivationLog,
    ActivationRefusedError,
)
from pointwork.ledger.identities import Identities, person_of, service_of
from pointwork.ledger.policies import RevisionStore
from tests.integration.ledger.conftest import Ledger
from tests.integration.ledger.records import NOW


def ref(version: str, pack: str = "omega") -> PolicyRef:
    sha256 = sha256_hex(text(version, pack).encode())
    return PolicyRef(pack=pack, version=version, pack_sha256=sha256, bundle_sha256=sha256)


def text(version: str, pack: str) -> str:
    return f'{{"{pack}":"{version}"}}'


def entry(
    number: int = 1, *, to: str = "1.0", by: str = "ada", pack: str = "omega"
) -> PolicyActivation:
    return PolicyActivation(
        number=number,
        policy=ref(to, pack),
        replaced=ref("1.1" if to == "1.0" else "1.0", pack),
        newest_version="1.1",
        activated_by=by,
        reason="It sends drafts to the wrong model.",
        activated_at=NOW + timedelta(minutes=number),
    )


@pytest.fixture
def log(ledger: Ledger) -> ActivationLog:
    """A ledger that keeps two versions of two packs and knows an owner, an approver, a service."""
    store, known = RevisionStore(ledger.engine), Identities(ledger.engine)
    for pack in ("omega", "codex"):
        for version in ("1.0", "1.1"):
            sha256 = ref(version, pack).bundle_sha256
            store.remember(sha256, pack, version, sha256, text(version, pack), NOW)
    known.add(person_of("ada", Role.OWNER, NOW), "ada")
    known.add(person_of("bob", Role.APPROVER, NOW), "ada")
    known.add(service_of("ci", NOW).model_copy(update={"roles": (Role.OWNER,)}), "ada")
    return ActivationLog(ledger.engine)


def kinds(ledger: Ledger) -> list[str]:
    found = ledger.chain.records(100)
    return [each.kind for each in found if each.kind.startswith("policy")]


def test_the_latest_entry_of_each_pack_is_the_one_that_counts(log: ActivationLog) -> None:
    assert log.latest() == {}
    back, forth = entry(1), entry(2, to="1.1")
    other = entry(1, pack="codex")
    for each in (back, forth, other):
        log.append(each)
    assert log.latest() == {"omega": forth, "codex": other}
    assert log.history("omega") == [forth, back]
    assert log.history("juggernaut") == []


@pytest.mark.req("OM-85")
def test_each_entry_is_in_the_audit_chain_with_all_that_it_says(
    ledger: Ledger, log: ActivationLog
) -> None:
    log.append(entry())
    (told,) = [each for each in ledger.chain.records(100) if each.kind == "policy_activated"]
    assert told.body == entry().model_dump(mode="json")


@pytest.mark.parametrize("by", ["bob", "ci", "loop", "optimizer"])
def test_nobody_but_a_person_who_is_an_owner_activates_a_version(
    ledger: Ledger, log: ActivationLog, by: str
) -> None:
    with pytest.raises(ActivationRefusedError, match="no person with the role owner"):
        log.append(entry(by=by))
    assert log.latest() == {}
    assert kinds(ledger) == ["policy_activation_refused"]


def test_an_owner_who_was_disabled_activates_nothing(ledger: Ledger, log: ActivationLog) -> None:
    known = Identities(ledger.engine)
    known.add(person_of("eve", Role.OWNER, NOW), "ada")
    known.disable("eve", "ada", NOW)
    with pytest.raises(ActivationRefusedError, match="'eve'"):
        log.append(entry(by="eve"))


def test_a_bundle_that_the_ledger_does_not_keep_is_never_active(log: ActivationLog) -> None:
    with pytest.raises(ActivationConflictError, match="keeps no bundle"):
        log.append(entry(to="0.9"))
    stolen = entry().model_copy(update={"policy": ref("1.0", "codex")})
    foreign = stolen.policy.model_copy(update={"pack": "omega"})
    with pytest.raises(ActivationConflictError, match="of pack 'omega'"):
        log.append(stolen.model_copy(update={"policy": foreign}))
    assert log.latest() == {}


@pytest.mark.parametrize("number", [1, 3])
def test_an_entry_that_does_not_follow_the_last_is_refused(
    ledger: Ledger, log: ActivationLog, number: int
) -> None:
    log.append(entry(1))
    with pytest.raises(ActivationConflictError, match="came first"):
        log.append(entry(number, to="1.1"))
    assert kinds(ledger) == ["policy_activated"]


def test_of_two_owners_at_once_one_is_told_that_the_other_came_first(
    ledger: Ledger, log: ActivationLog
) -> None:
    start = threading.Barrier(2)

    def append(to: str) -> str:
        start.wait()
        try:
            log.append(entry(1, to=to))
        except ActivationConflictError:
            return "conflict"
        return to

    with ThreadPoolExecutor(2) as pool:
        done = sorted(pool.map(append, ("1.0", "1.1")))
    winner = next(each for each in done if each != "conflict")
    assert len([each for each in done if each == "conflict"]) == 1
    assert [each.policy.version for each in log.history("omega")] == [winner]
    assert kinds(ledger) == ["policy_activated"]


@pytest.mark.req("OM-83")
@pytest.mark.parametrize(
    ("damage", "says"),
    [
        ("UPDATE policy_activation SET activated_by = 'bob'", "is not as the chain tells of it"),
        ("UPDATE policy_activation SET version = '1.1'", "is not as the chain tells of it"),
        ("UPDATE policy_activation SET number = 7", "activation 7 of pack omega is not as"),
        ("DELETE FROM policy_activation", "activation 1 of pack omega; that row is gone"),
    ],
)
def test_an_entry_that_was_changed_past_the_log_is_named(
    ledger: Ledger, log: ActivationLog, damage: str, says: str
) -> None:
    log.append(entry())
    ledger.broken_on_purpose = True
    ledger.rows(damage)
    assert any(says in each for each in ledger.violations())
