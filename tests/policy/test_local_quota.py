"""No quota stands before a model of this house: none is stated, and none that runs out counts."""

from collections.abc import Iterator

import pytest

from pointwork.contract.decision import Site
from pointwork.contract.reasons import ReasonCode
from pointwork.contract.snapshot import QuotaSignal
from pointwork.contract.task import Sensitivity
from pointwork.policy.bundle import PolicyBundle
from pointwork.policy.decide import decide
from pointwork.policy.documents.load import load_library
from tests.fakes.policy_facts import POLICIES, Situation, chosen, reasons

HOSTS = sorted(each.stem for each in (POLICIES / "hosts").glob("*.yaml"))


def bundles(host: str) -> list[PolicyBundle]:
    """Of every pack that uses a model of the house."""
    library = load_library(POLICIES, host)
    found = [library.active(pack) for pack in library.packs]
    with_local = [each for each in found if local_models(each)]
    assert {each.pack.pack for each in with_local} >= {"omega", "codex", "socioprophet"}
    return with_local


def local_models(bundle: PolicyBundle) -> set[str]:
    return {name for name, each in bundle.models.items() if each.endpoint.site is Site.LOCAL}


def keys(stated: object) -> Iterator[str]:
    """Every key of a document, at any depth."""
    match stated:
        case dict():
            for name, value in stated.items():
                yield str(name)
                yield from keys(value)
        case list() | tuple():
            for each in stated:
                yield from keys(each)


@pytest.mark.req("CX-11")
@pytest.mark.parametrize("host", HOSTS)
def test_no_local_binding_and_no_host_profile_has_a_field_of_a_quota(host: str) -> None:
    for bundle in bundles(host):
        stated = {*keys(bundle.host.model_dump()), *type(bundle.host).model_fields}
        for name in local_models(bundle):
            binding = bundle.models[name]
            stated |= {*keys(binding.model_dump())}
            # Fields that a document may leave out count as well.
            stated |= {*type(binding.model).model_fields, *type(binding.endpoint).model_fields}
        assert {"served_as", "base_url", "local_models"} <= stated
        assert not {name for name in stated if "quota" in name}


@pytest.mark.req("CX-11")
@pytest.mark.parametrize("host", HOSTS)
def test_with_every_quota_used_up_the_local_models_serve_as_before(host: str) -> None:
    """Also one that somebody put on the local endpoint itself."""
    exhausted: set[str] = set()
    for bundle in bundles(host):
        local = local_models(bundle)
        endpoints = sorted({each.model.endpoint for each in bundle.models.values()})
        spent = tuple(QuotaSignal(endpoint=name, remaining_requests=0) for name in endpoints)
        for task_class in bundle.pack.classes:
            task = Situation(task_class=task_class, sensitivity=Sensitivity.PUBLIC)
            given = task.facts(bundle)
            out = given.snapshot.model_copy(update={"quotas": spent})
            before = decide(given, bundle)
            after = decide(given.model_copy(update={"snapshot": out}), bundle)
            assert [each for each in chosen(after) if each in local] == [
                each for each in chosen(before) if each in local
            ], (bundle.pack.pack, task_class)
            refused = {
                name
                for name, reason in reasons(after).items()
                if reason is ReasonCode.QUOTA_EXHAUSTED
            }
            assert not refused & local
            exhausted |= refused
    assert exhausted
