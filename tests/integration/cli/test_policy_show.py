"""`pointwork policy show`: every pack, and the lists an auditor asks of any version held."""

import json
from pathlib import Path

import pytest
from sqlalchemy import Engine

from pointwork.cli.errors import ExitCode
from pointwork.contract.decision import Site
from pointwork.contract.task import DataClass, Sensitivity
from pointwork.ledger.outcomes import OutcomeLog
from pointwork.policy.decide import decide
from tests.fakes.policy_facts import Situation, approved_private, changed, chosen, reasons, shipped
from tests.integration.cli.conftest import Call
from tests.integration.cli.decided import log, record, remember

PACKS = ("omega", "codex", "juggernaut", "socioprophet")
OMEGA = Path("policies") / "omega" / "1.0.yaml"
APPROVED = """\
  approved_private_models:
    - {model: gpt-5.1, approver: ada, approved_on: 2026-03-01}
"""


@pytest.mark.parametrize("pack", PACKS)
def test_every_pack_shows_each_class_with_its_families_and_ceilings(call: Call, pack: str) -> None:
    done = call("policy", "show", pack)
    assert done.code == ExitCode.OK
    bundle = shipped(pack)
    for name, row in bundle.pack.classes.items():
        assert f"{name} " in done.out
        assert all(family in done.out for family in row.families)
    assert bundle.pack_sha256 in done.out


@pytest.mark.parametrize("pack", PACKS)
def test_every_ceiling_of_a_pack_is_in_its_table(call: Call, pack: str) -> None:
    listed = json.loads(call("policy", "show", pack, "--ceilings", "--json").out)["ceilings"]
    cells = {(each["class"], each["family"]): each["ceiling_nano_usd"] for each in listed}
    for name, row in shipped(pack).pack.classes.items():
        for family in row.families:
            most = cells.get((name, family), cells.get((name, "any family")))
            assert most is not None, (name, family)
    assert set(cells.values()) <= {
        *(amount for row in shipped(pack).pack.ceilings.values() for amount in row.values()),
        *(row.ceiling for row in shipped(pack).pack.classes.values()),
    }


@pytest.mark.req("DC-14")
def test_all_documents_are_valid_and_listed(call: Call) -> None:
    assert call("policy", "validate", "--all").code == ExitCode.OK
    listed = json.loads(call("policy", "list", "--json").out)
    assert {each["pack"] for each in listed} == set(PACKS)


@pytest.mark.req("OM-30")
def test_a_past_version_s_ceiling_table_is_what_its_records_were_held_against(
    call: Call, ledger: Engine, state_dir: Path
) -> None:
    """No document of 0.9 is left; the ledger still has the rules and the row they bounded."""
    ceilings = shipped().pack.model_dump()["ceilings"]
    ceilings["high_stakes_logic"]["gpt_class"] = 450_000_000
    past = changed(shipped(), pack={"version": "0.9", "ceilings": ceilings})
    remember(ledger, past)
    situation = Situation(task_class="high_stakes_logic", sensitivity=Sensitivity.PUBLIC)
    log(ledger, record("task-1", situation, past))

    (stored,) = OutcomeLog(ledger).decisions("task-1")
    first, policy = stored.plan.candidates[0], stored.plan.policy
    shown = call(
        *("policy", "show", f"{policy.pack}@{policy.version}", "--ceilings"),
        *("--state-dir", state_dir, "--json"),
    )
    table = json.loads(shown.out)
    assert table["policy"]["pack_sha256"] == policy.pack_sha256
    (cell,) = (
        each
        for each in table["ceilings"]
        if (each["class"], each["family"]) == (stored.plan.task_class, first.family)
    )
    assert cell["ceiling_nano_usd"] == first.ceiling_nano_usd == 450_000_000
    for_people = call("policy", "show", "omega@0.9", "--ceilings", "--state-dir", state_dir).out
    assert any(
        line.split() == ["high_stakes_logic", "gpt_class", "$0.4500"]
        for line in for_people.splitlines()
    )


@pytest.mark.req("OM-43")
def test_the_approved_private_models_are_listed_with_approver_and_date(
    call: Call, repository: Path, tmp_path: Path
) -> None:
    path = tmp_path / "omega.yaml"
    text = (repository / OMEGA).read_text()
    path.write_text(text.replace("privacy:\n", f"privacy:\n{APPROVED}", 1))
    done = call("policy", "show", path, "--approved")
    rows = [line.split() for line in done.out.splitlines()]
    assert rows[1] == ["gpt-5.1", "ada", "2026-03-01", "public", "api"]
    document = json.loads(call("policy", "show", path, "--approved", "--json").out)
    assert document["approved"] == [
        {"model": "gpt-5.1", "approver": "ada", "approved_on": "2026-03-01"}
    ]
    none = call("policy", "show", "omega", "--approved")
    assert "omega 1.0 approves no private model." in none.err


@pytest.mark.req("OM-43")
@pytest.mark.parametrize("data_class", list(DataClass))
def test_a_binding_that_is_not_on_the_list_is_never_chosen_for_sensitive_data(
    data_class: DataClass,
) -> None:
    """Served privately all the same: only the list decides."""
    outside = [n for n, e in shipped().models.items() if e.endpoint.site is not Site.LOCAL]
    private = changed(shipped(), models={name: {"site": Site.PRIVATE} for name in outside})
    for task_class in private.pack.classes:
        situation = Situation(
            task_class=task_class, data_classes=(data_class,), image=False, risk="high"
        )
        plan = decide(situation.facts(private), private)
        assert not set(chosen(plan)) & set(outside)
        assert not set(outside) - reasons(plan).keys()


@pytest.mark.req("OM-43")
def test_a_binding_on_the_list_may_serve_sensitive_data_and_no_other_may() -> None:
    private = {n for n, e in shipped().models.items() if e.endpoint.site is not Site.LOCAL}
    listed = approved_private(shipped(), "gpt-5.1")
    situation = Situation(
        task_class="high_stakes_logic", sensitivity=Sensitivity.SENSITIVE, down=("local-gpu",)
    )
    plan = decide(situation.facts(listed), listed)
    assert set(chosen(plan)) & private <= {"gpt-5.1"}
    unlisted = approved_private(shipped(), "gpt-5.1", approved=False)
    assert not set(chosen(decide(situation.facts(unlisted), unlisted))) & private


@pytest.mark.parametrize("flag", ["--approved", "--ceilings"])
def test_a_list_of_a_pack_that_is_not_there_is_told_in_one_sentence(call: Call, flag: str) -> None:
    done = call("policy", "show", "omega@7.0", flag)
    assert done.code == ExitCode.BAD_INPUT
    (line,) = done.error_lines
    assert "PACK 'omega@7.0' names no rules that are held here" in line
