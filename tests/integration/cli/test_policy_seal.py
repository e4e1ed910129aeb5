"""`pointwork policy seal`: a version goes on record once, as it is (OM-82, OM-83)."""

import json
from pathlib import Path

import pytest

from pointwork.cli.errors import ExitCode
from pointwork.policy.documents.load import load_pack
from pointwork.policy.documents.revisions import (
    TamperedPolicyError,
    check_revisions,
    read_revisions,
)
from tests.fakes.sealed_policies import copy_pack, versions
from tests.integration.cli.conftest import Call, Called


@pytest.fixture
def policies(repository: Path, tmp_path: Path) -> Path:
    """The shipped policy with nothing of omega on record, and a second version of it."""
    folder = copy_pack(repository, tmp_path)
    pack = folder / "omega"
    for document in pack.glob("*.yaml"):
        if document.name != "1.0.yaml":
            document.unlink()
    text = (pack / "1.0.yaml").read_text()
    later = text.replace('version: "1.0"', 'version: "1.10"').replace(
        "supersedes: null", 'supersedes: "1.0"'
    )
    (pack / "1.10.yaml").write_text(later)
    return folder


@pytest.fixture
def seal(call: Call, policies: Path) -> Call:
    def run(*arguments: object) -> Called:
        return call("policy", "seal", "omega", *arguments, "--policies-dir", policies)

    return run


def hashes(policies: Path) -> dict[str, str]:
    found = versions(policies / "omega")
    bundles = [load_pack(each, policies, "embedded") for each in found]
    return {each.pack.version: each.pack_sha256 for each in bundles}


@pytest.mark.req("OM-82")
def test_every_version_goes_on_record_with_author_time_and_parent(
    seal: Call, policies: Path
) -> None:
    sealed = json.loads(seal("--author", "maria", "--json").out)["sealed"]
    assert [each["version"] for each in sealed] == ["1.0", "1.10"]
    first, second = read_revisions(policies / "omega").revisions
    assert (first.author, first.parent) == ("maria", None)
    assert second.parent == first.pack_sha256
    assert {each.version: each.pack_sha256 for each in (first, second)} == hashes(policies)
    check_revisions(policies / "omega", hashes(policies))


def test_a_second_seal_changes_nothing(seal: Call, policies: Path) -> None:
    seal("--author", "maria")
    before = (policies / "omega" / "revisions.yaml").read_bytes()
    again = seal("--author", "paul")
    assert again.code == ExitCode.OK
    assert "on record already" in again.err
    assert (policies / "omega" / "revisions.yaml").read_bytes() == before


@pytest.mark.req("OM-83")
def test_a_sealed_document_that_changed_is_refused_and_never_sealed_again(
    seal: Call, policies: Path
) -> None:
    seal("--author", "maria")
    record = (policies / "omega" / "revisions.yaml").read_bytes()
    document = policies / "omega" / "1.0.yaml"
    document.write_text(document.read_text().replace("hard_stop: true", "hard_stop: false"))
    done = seal("--author", "maria")
    assert done.code == ExitCode.BAD_POLICY
    (line,) = done.error_lines
    assert "version 1.0 is on record with hash" in line
    assert "as a new version" in line
    assert (policies / "omega" / "revisions.yaml").read_bytes() == record
    with pytest.raises(TamperedPolicyError, match=r"1\.0\.yaml: version 1\.0 has hash"):
        check_revisions(policies / "omega", hashes(policies))


def test_a_broken_document_seals_none(seal: Call, policies: Path) -> None:
    (policies / "omega" / "1.10.yaml").write_text("pack: omega\n")
    assert seal("--author", "maria").code == ExitCode.BAD_POLICY
    assert not (policies / "omega" / "revisions.yaml").exists()


@pytest.mark.parametrize(
    ("pack", "says"),
    [("alpha", "'alpha' is no folder"), ("../policies", "is no folder"), ("hosts", "no version")],
)
def test_a_pack_that_is_not_there_is_told_in_one_sentence(
    call: Call, policies: Path, pack: str, says: str
) -> None:
    done = call("policy", "seal", pack, "--author", "maria", "--policies-dir", policies)
    assert done.code == ExitCode.BAD_INPUT
    (line,) = done.error_lines
    assert says in line


def test_an_author_is_required_and_is_one_name(seal: Call, policies: Path) -> None:
    assert "--author" in seal().err
    assert seal("--author", "two words").code == ExitCode.BAD_POLICY
    assert not (policies / "omega" / "revisions.yaml").exists()
