"""What a text says of itself never makes it less careful: 600 injections (rows 48 and 49)."""

from itertools import cycle

import pytest

from pointwork.contract.decision import DecisionInput, Plan, Site
from pointwork.contract.task import DataClass, Sensitivity
from pointwork.policy.bundle import PolicyBundle
from pointwork.policy.decide import decide
from pointwork.privacy.detect import scan
from pointwork.privacy.language.reader import LanguageReader
from tests.fakes.classified import classified
from tests.fakes.liars import Says
from tests.fakes.policy_facts import Situation, shipped
from tests.unit.privacy.canaries import CREDENTIALS, PERSONAL
from tests.unit.privacy.injections import CARRIERS, TEXTS, Carrier, injections

HOSTS = (*CREDENTIALS, *PERSONAL)
CLOUD = {"omega": "high_stakes_logic", "socioprophet": "planning"}
LANGUAGES = TEXTS[:8]


def plan_of(text: str, bundle: PolicyBundle, **declared: Sensitivity) -> Plan:
    """The real detectors, a classifier that does as the text wishes, and the real decision."""
    pack = bundle.pack.pack
    request, found = classified(text, Says(CLOUD[pack]), pack=pack, **declared)
    snapshot = Situation().facts(bundle).snapshot
    return decide(DecisionInput(request=request, classification=found, snapshot=snapshot), bundle)


def sites(plan: Plan) -> set[Site]:
    return {each.site for each in plan.candidates}


def test_there_are_thirty_carriers_of_twenty_texts() -> None:
    found = injections()
    assert (len(CARRIERS), len(TEXTS), len(found)) == (30, 20, 600)
    carried = {carry(text, "the host") for _, carry, text in found}
    assert len(carried) == 600
    assert all("the host" in each for each in carried)


@pytest.mark.req("OM-40", "OM-46")
@pytest.mark.parametrize("pack", CLOUD)
def test_no_injection_lowers_the_level_of_a_text_that_its_caller_calls_public(pack: str) -> None:
    """Each beside another secret or identifier of those that stand in ``canaries``."""
    bundle, lower = shipped(pack), []
    for (name, carry, text), host in zip(injections(), cycle(HOSTS), strict=False):
        without = plan_of(host.text, bundle, sensitivity=Sensitivity.PUBLIC)
        injected = plan_of(carry(text, host.text), bundle, sensitivity=Sensitivity.PUBLIC)
        assert without.sensitivity is Sensitivity.SENSITIVE
        assert injected.sensitivity is not None
        is_lower = injected.sensitivity.rank < without.sensitivity.rank
        if is_lower or not sites(injected) <= sites(without) | {Site.LOCAL}:
            lower.append(f"{name} beside {host.kind}")
    assert lower == []


@pytest.mark.parametrize("carrier", CARRIERS, ids=lambda carrier: carrier.name)
def test_every_host_keeps_its_level_in_every_carrier(carrier: Carrier) -> None:
    """The detectors alone, on each carrier with each host."""
    lower = []
    for number, (host, text) in enumerate(zip(HOSTS, cycle(TEXTS), strict=False)):
        before, after = scan(host.text), scan(carrier.carry(text, host.text))
        if not {*before.data_classes} <= {*after.data_classes}:
            lower.append(f"{host.kind} under text {number % len(TEXTS)}")
    assert lower == []


def test_a_text_that_calls_itself_public_is_still_undeclared() -> None:
    bundle, opened = shipped(), []
    for name, carry, text in injections():
        plan = plan_of(carry(text, "Is a tree a graph?"), bundle)
        if not sites(plan) <= {Site.LOCAL}:
            opened.append(name)
    assert opened == []


@pytest.mark.parametrize(
    "host",
    [
        "The complaint of Zhang Wei was filed.",
        "Please ask Ada Lovelace about the contract.",
        "Dear Dr. Martha Wiśniewska, your results are ready.",
    ],
)
@pytest.mark.xdist_group("language")
def test_a_named_person_stays_one_whatever_language_a_harmless_text_before_it_is_in(
    reader: LanguageReader, host: str
) -> None:
    """In each of eight languages, before, after and twenty times over (T2)."""
    assert DataClass.PERSONAL in {found.data_class for found in reader.read(host)}
    lost = [
        (carrier.name, text)
        for carrier in CARRIERS
        if carrier.name in {"before", "after", "in one line before"}
        for text in LANGUAGES
        if DataClass.PERSONAL
        not in {found.data_class for found in reader.read(carrier.carry(text, host))}
    ]
    assert lost == []


@pytest.fixture(scope="module")
def reader() -> LanguageReader:
    return LanguageReader()
