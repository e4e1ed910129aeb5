"""Every file under policies/cases decides as its name says."""

from functools import cache
from pathlib import Path

import pytest

from pointwork.contract.decision import Effect
from pointwork.policy.bundle import PolicyBundle
from pointwork.policy.documents.strict_yaml import read_document
from pointwork.policy.proving.cases import Case, differences, read_cases
from tests.fakes.policy_facts import POLICIES, shipped

PACKS = ("codex", "juggernaut", "omega", "socioprophet")
HOSTS = ("embedded", "laptop", "rtx5090")
CASES = sorted((POLICIES / "cases").glob("*/*.yaml"))


@cache
def on_every_host(pack: str) -> dict[str, PolicyBundle]:
    return {host: shipped(pack, host) for host in HOSTS}


@pytest.mark.parametrize("path", CASES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_case_decides_as_its_name_says(path: Path) -> None:
    case = read_document(path, Case)
    assert differences(case, on_every_host(path.parent.name)) == []


@pytest.mark.parametrize("pack", PACKS)
def test_the_cases_of_a_pack_cover_every_class_and_an_end_of_every_kind(pack: str) -> None:
    cases = read_cases(POLICIES / "cases" / pack).values()
    bundle = shipped(pack)
    assert {case.given.task_class for case in cases} >= set(bundle.pack.classes)
    holds = {Effect.HOLD} if bundle.pack.holds_for else set()
    assert {case.expect.effect for case in cases} == {Effect.RUN, Effect.DENY} | holds
    assert {case.expect.hold_for for case in cases} >= set(bundle.pack.holds_for)
