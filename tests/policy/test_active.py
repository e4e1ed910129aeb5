"""What decides new tasks: the newest deployed version, unless an owner went back (OM-85)."""

from datetime import datetime, timedelta

import pytest

from pointwork.contract.activation import PolicyActivation
from pointwork.contract.canonical import canonical_json
from pointwork.policy.active import ActivePolicies
from pointwork.policy.bundle import PolicyBundle, PolicyLibrary, UnknownBundleError
from tests.fakes.policy_facts import NOW, changed, shipped

OLD = shipped()
NEW = changed(OLD, pack={"version": "1.1", "supersedes": "1.0", "deadline_seconds": 1_800})
NEWER = changed(OLD, pack={"version": "1.2", "supersedes": "1.1", "deadline_seconds": 900})
CODEX = shipped("codex")


class Ledger:
    """Activations and bundles, as a ledger would give them."""

    def __init__(self) -> None:
        self.entries: dict[str, PolicyActivation] = {}
        self.bundles: dict[str, PolicyBundle] = {}

    def latest(self) -> dict[str, PolicyActivation]:
        return dict(self.entries)

    def find(self, bundle_sha256: str) -> str | None:
        found = self.bundles.get(bundle_sha256)
        return canonical_json(found).decode() if found else None

    def remember(
        self,
        bundle_sha256: str,
        pack: str,
        version: str,
        pack_sha256: str,
        canonical_json: str,
        now: datetime,
    ) -> None:
        found = PolicyBundle.model_validate_json(canonical_json)
        assert (found.ref.pack, found.ref.version) == (pack, version)
        assert found.ref.pack_sha256 == pack_sha256
        self.bundles[bundle_sha256] = found

    def activate(self, bundle: PolicyBundle, *, instead_of: PolicyBundle, newest: str) -> None:
        number = len(self.entries) + 1
        self.entries["omega"] = PolicyActivation(
            number=number,
            policy=bundle.ref,
            replaced=instead_of.ref,
            newest_version=newest,
            activated_by="ada",
            reason="Drafts went to the wrong model.",
            activated_at=NOW + timedelta(minutes=number),
        )


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


def policies(ledger: Ledger, *deployed: PolicyBundle) -> ActivePolicies:
    library = PolicyLibrary([deployed[-1], CODEX], deployed[:-1])
    return ActivePolicies(library, ledger, ledger)


def test_without_an_entry_the_newest_version_decides(ledger: Ledger) -> None:
    active = policies(ledger, OLD, NEW)
    assert active.now().active("omega") is NEW
    assert active.standing() == {}


def test_an_entry_takes_effect_at_the_next_look_and_for_its_pack_alone(ledger: Ledger) -> None:
    active = policies(ledger, OLD, NEW)
    before = active.now()
    ledger.activate(OLD, instead_of=NEW, newest="1.1")
    assert active.now().active("omega") is OLD
    assert active.now().active("codex") is CODEX
    assert before.active("omega") is NEW
    assert active.now().by_hash(NEW.sha256) is NEW


def test_a_newer_version_that_is_deployed_later_takes_over(ledger: Ledger) -> None:
    ledger.activate(OLD, instead_of=NEW, newest="1.1")
    active = policies(ledger, OLD, NEW, NEWER)
    assert active.now().active("omega") is NEWER
    assert active.standing() == {}


def test_an_entry_that_saw_a_newer_version_binds_a_process_that_lags_behind(
    ledger: Ledger,
) -> None:
    ledger.activate(OLD, instead_of=NEWER, newest="1.2")
    assert policies(ledger, OLD, NEW).now().active("omega") is OLD


def test_a_rollback_outlives_a_change_of_prices_and_takes_them_over(ledger: Ledger) -> None:
    ledger.activate(OLD, instead_of=NEW, newest="1.1")
    name = next(iter(OLD.models))
    dearer = [changed(each, models={name: {"price_version": "later"}}) for each in (OLD, NEW)]
    active = policies(ledger, *dearer).now().active("omega")
    assert (active.pack.version, active.sha256) == ("1.0", dearer[0].sha256)
    assert active.sha256 != OLD.sha256


def test_rules_that_only_the_ledger_has_are_read_from_it(ledger: Ledger) -> None:
    ledger.activate(NEW, instead_of=OLD, newest="1.1")
    ledger.bundles[NEW.sha256] = NEW
    now = policies(ledger, OLD).now()
    assert now.active("omega").ref == NEW.ref
    assert now.by_hash(NEW.sha256).ref == NEW.ref


def test_rules_that_nobody_has_are_an_error_and_not_the_newest_version(ledger: Ledger) -> None:
    ledger.activate(NEW, instead_of=OLD, newest="1.1")
    with pytest.raises(UnknownBundleError, match=NEW.sha256):
        policies(ledger, OLD).now()


@pytest.mark.req("SP-52")
def test_a_version_that_is_not_released_here_is_not_gone_back_to(ledger: Ledger) -> None:
    ledger.activate(OLD, instead_of=NEW, newest="1.1")
    library = PolicyLibrary([NEW], [OLD], unreleased=[OLD.pack_sha256])
    active = ActivePolicies(library, ledger, ledger)
    assert active.now().active("omega") is NEW
    assert active.standing() == {}


def test_a_version_that_only_the_ledger_has_decides_by_todays_prices(ledger: Ledger) -> None:
    """Written while prices were lower: a hold by them would not cover the call."""
    written = changed(OLD, pack={"version": "1.0.1", "supersedes": "1.0"})
    ledger.bundles[written.sha256] = written
    ledger.activate(written, instead_of=OLD, newest="1.0")
    tier = OLD.models["gpt-5.1"].tiers[0]
    dearer = tier.model_copy(update={"input_per_mtok": tier.input_per_mtok * 10})
    today = changed(OLD, models={"gpt-5.1": {"tiers": (dearer,)}})
    active = policies(ledger, today).now().active("omega")

    assert active.pack == written.pack
    assert active.models["gpt-5.1"].tiers == (dearer,)
    # Whoever meets its hash in a task finds it.
    assert ledger.bundles[active.sha256] == active


def test_a_stored_bundle_that_is_not_the_one_of_its_hash_decides_nothing(ledger: Ledger) -> None:
    written = changed(OLD, pack={"version": "1.0.1", "supersedes": "1.0"})
    ledger.bundles[written.sha256] = changed(written, pack={"deadline_seconds": 60})
    ledger.activate(written, instead_of=OLD, newest="1.0")
    with pytest.raises(UnknownBundleError):
        policies(ledger, OLD).now()
    library = PolicyLibrary([OLD], look_up=ledger.find)
    with pytest.raises(UnknownBundleError, match="another one"):
        library.by_hash(written.sha256)
