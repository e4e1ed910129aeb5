"""The loader takes what stands on record, and in production what is released (OM-82, OM-83)."""

import base64
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pointwork.policy.documents.load import load_library, load_pack
from pointwork.policy.documents.release import (
    KnownReleaseKeys,
    ReleaseStatement,
    read_release_keys,
    release_path,
    sign_release,
)
from pointwork.policy.documents.revisions import PolicyFault, TamperedPolicyError, read_revisions
from pointwork.policy.documents.strict_yaml import PolicyError
from tests.fakes.sealed_policies import SEALED_AT, copy_pack, seal_all

AUTHORITY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC_KEY = AUTHORITY.public_key().public_bytes_raw()
KEYS = KnownReleaseKeys({"fabric-1": PUBLIC_KEY})


@pytest.fixture
def policies(repository: Path, tmp_path: Path) -> Path:
    """The shipped omega pack alone, on record."""
    folder = copy_pack(repository, tmp_path)
    seal_all(folder)
    return folder


def document(policies: Path) -> Path:
    return policies / "omega" / "1.0.yaml"


def edit(policies: Path, old: str, new: str) -> None:
    text = document(policies).read_text()
    assert old in text
    document(policies).write_text(text.replace(old, new, 1))


@pytest.mark.req("OM-82")
def test_each_active_hash_maps_to_a_revision_with_author_time_and_parent(policies: Path) -> None:
    text = document(policies).read_text()
    later = text.replace('version: "1.0"', 'version: "1.1"')
    (policies / "omega" / "1.1.yaml").write_text(later)
    seal_all(policies)
    active = load_library(policies, "embedded").active("omega")
    first, second = read_revisions(policies / "omega").revisions
    assert (second.version, second.pack_sha256) == ("1.1", active.pack_sha256)
    assert (second.author, second.at, second.parent) == ("test", SEALED_AT, first.pack_sha256)
    assert first.parent is None


@pytest.mark.req("OM-83")
def test_a_pack_edited_on_disk_without_a_revision_loads_nothing(policies: Path) -> None:
    edit(policies, "hard_stop: true", "hard_stop: false")
    with pytest.raises(TamperedPolicyError, match=r"1\.0\.yaml: version 1\.0 has hash") as refused:
        load_library(policies, "embedded")
    assert refused.value.fault is PolicyFault.DOCUMENT_ALTERED
    assert "pointwork policy seal omega --author NAME" in str(refused.value)


def test_a_comment_changes_no_rule_and_needs_no_revision(policies: Path) -> None:
    with document(policies).open("a") as pack:
        pack.write("# a remark\n")
    assert load_library(policies, "embedded").packs == ("omega",)


@pytest.mark.req("OM-83")
def test_a_version_slipped_in_beside_the_recorded_ones_loads_nothing(policies: Path) -> None:
    text = document(policies).read_text()
    (policies / "omega" / "1.1.yaml").write_text(text.replace('version: "1.0"', 'version: "1.1"'))
    with pytest.raises(TamperedPolicyError, match=r"version 1\.1 .* is not on record"):
        load_library(policies, "embedded")


def test_a_pack_in_writing_is_validated_before_anyone_seals_it(policies: Path) -> None:
    edit(policies, "hard_stop: true", "hard_stop: false")
    assert load_pack(document(policies), policies, "embedded").pack.hard_stop is False


@pytest.mark.req("OM-83")
def test_production_takes_no_pack_without_a_record(repository: Path, tmp_path: Path) -> None:
    folder = copy_pack(repository, tmp_path)
    with pytest.raises(TamperedPolicyError, match=r"revisions\.yaml: it does not exist; run"):
        load_library(folder, "embedded", profile="production")


@pytest.mark.req("OM-83")
def test_no_machine_takes_a_pack_without_a_record(repository: Path, tmp_path: Path) -> None:
    folder = copy_pack(repository, tmp_path)
    with pytest.raises(TamperedPolicyError, match=r"revisions\.yaml: it does not exist; run"):
        load_library(folder, "embedded")


@pytest.mark.req("OM-82")
def test_every_shipped_pack_is_on_record(repository: Path) -> None:
    library = load_library(repository / "policies", "embedded")
    for pack in library.packs:
        revisions = read_revisions(repository / "policies" / pack).revisions
        assert revisions[-1].pack_sha256 == library.active(pack).pack_sha256


def release(policies: Path, sha256: str) -> None:
    statement = ReleaseStatement(
        pack="omega",
        version="1.0",
        pack_sha256=sha256,
        released_by="policy-fabric",
        at=datetime(2026, 3, 1, tzinfo=UTC),
    )
    signed = sign_release(statement, AUTHORITY, "fabric-1")
    release_path(policies / "omega", "1.0").write_text(signed.model_dump_json())


@pytest.mark.req("SP-52")
def test_production_takes_a_pack_that_asks_for_a_release_only_with_one(policies: Path) -> None:
    with document(policies).open("a") as pack:
        pack.write("release_required: true\n")
    seal_all(policies)
    sha256 = load_library(policies, "embedded").active("omega").pack_sha256
    with pytest.raises(TamperedPolicyError, match=r"1\.0\.release\.json: is missing"):
        load_library(policies, "embedded", profile="production", release_keys=KEYS)
    release(policies, sha256)
    library = load_library(policies, "embedded", profile="production", release_keys=KEYS)
    assert library.active("omega").pack_sha256 == sha256
    with pytest.raises(TamperedPolicyError, match="may not release"):
        load_library(policies, "embedded", profile="production")


@pytest.mark.req("SP-52")
def test_production_tells_which_earlier_versions_are_not_released(policies: Path) -> None:
    with document(policies).open("a") as pack:
        pack.write("release_required: true\n")
    later = document(policies).read_text().replace('version: "1.0"', 'version: "1.1"')
    later = later.replace("release_required: true", "release_required: false")
    (policies / "omega" / "1.1.yaml").write_text(later)
    seal_all(policies)
    first = load_library(policies, "embedded").deployed("omega")[0].pack_sha256

    def unreleased() -> frozenset[str]:
        return load_library(
            policies, "embedded", profile="production", release_keys=KEYS
        ).unreleased

    assert unreleased() == {first}
    release(policies, first)
    assert unreleased() == set()


def test_the_keys_of_the_authority_are_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    path.write_text(json.dumps({"fabric-1": base64.b64encode(PUBLIC_KEY).decode()}))
    keys = read_release_keys(path)
    assert keys.public_key("fabric-1") == PUBLIC_KEY
    assert keys.public_key("fabric-2") is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is not JSON"),
        ("[]", "is not a JSON object"),
        ('{"fabric-1": 5}', "'fabric-1' is not base64"),
        ('{"fabric-1": "no base64!"}', "'fabric-1' is not base64"),
        ('{"fabric-1": "c2hvcnQ="}', "'fabric-1' has 5 bytes"),
        (" " * 100_001, "larger than 100000 bytes"),
    ],
)
def test_a_file_that_holds_no_keys_is_refused(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "keys.json"
    path.write_text(text)
    with pytest.raises(PolicyError, match=says):
        read_release_keys(path)


def test_a_file_of_keys_that_is_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="is missing; give"):
        read_release_keys(tmp_path / "keys.json")
