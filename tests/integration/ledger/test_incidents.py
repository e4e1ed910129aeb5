"""A policy document that was tampered with is an incident (OM-83)."""

from pathlib import Path

import pytest

from pointwork.ledger.incidents import policy_incident_id, record_policy_incident
from pointwork.policy.documents.revisions import TamperedPolicyError, check_revisions
from pointwork.policy.documents.sealing import seal
from tests.integration.ledger.conftest import Ledger
from tests.integration.ledger.records import NOW


@pytest.mark.req("OM-83")
def test_a_document_changed_on_disk_is_refused_and_raises_one_incident(
    ledger: Ledger, tmp_path: Path
) -> None:
    folder = tmp_path / "policies" / "omega"
    folder.mkdir(parents=True)
    seal(folder, "1.0", "a" * 64, "owner", NOW)
    recorded = []
    for _ in range(2):
        with pytest.raises(TamperedPolicyError) as refused:
            check_revisions(folder, {"1.0": "b" * 64})
        error = refused.value
        recorded.append(
            record_policy_incident(
                ledger.engine, error.pack, error.version, error.fault, str(error), NOW
            )
        )
    assert recorded == [True, False]
    (incident,) = ledger.rows("SELECT task_id, code, detail FROM incident")
    assert incident == {
        "task_id": policy_incident_id("omega", "1.0", str(error)),
        "code": "policy_document_altered",
        "detail": str(error),
    }
    (record,) = [each for each in ledger.chain.records(10) if each.kind == "policy_incident"]
    assert record.body == {
        "pack": "omega",
        "version": "1.0",
        "code": "policy_document_altered",
        "detail": str(error),
    }
    assert record.task_id is None


def test_another_change_of_the_same_document_is_another_incident(ledger: Ledger) -> None:
    for detail in ("hash b", "hash c"):
        assert record_policy_incident(ledger.engine, "omega", "1.0", "altered", detail, NOW)
    assert len(ledger.rows("SELECT * FROM incident")) == 2
