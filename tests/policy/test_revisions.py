"""What stands on record is what is loaded, or nothing is (OM-82, OM-83)."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pointwork.policy.documents.revisions import (
    PolicyFault,
    TamperedPolicyError,
    check_revisions,
    read_revisions,
)
from pointwork.policy.documents.sealing import SealRefusedError, seal
from pointwork.policy.documents.strict_yaml import PolicyError

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
SHA = {version: f"{number:064x}" for number, version in enumerate(["1.0", "1.1", "2.0", "10.0"], 1)}
THREE = {version: SHA[version] for version in ("1.0", "1.1", "2.0")}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A pack with three versions on record."""
    folder = tmp_path / "omega"
    folder.mkdir()
    for number, (version, sha256) in enumerate(THREE.items()):
        assert seal(folder, version, sha256, f"author-{number}", NOW + timedelta(days=number))
    return folder


def record(folder: Path) -> Path:
    return folder / "revisions.yaml"


@pytest.mark.req("OM-82")
def test_each_version_has_an_author_a_time_and_the_one_before_it(folder: Path) -> None:
    revisions = read_revisions(folder).revisions
    assert [each.version for each in revisions] == ["1.0", "1.1", "2.0"]
    assert [each.author for each in revisions] == ["author-0", "author-1", "author-2"]
    assert [each.at for each in revisions] == [NOW + timedelta(days=each) for each in range(3)]
    assert [each.parent for each in revisions] == [None, SHA["1.0"], SHA["1.1"]]
    check_revisions(folder, THREE)


@pytest.mark.req("OM-83")
def test_a_document_changed_on_disk_is_refused_with_both_hashes_and_the_remedy(
    folder: Path,
) -> None:
    changed = {**THREE, "1.1": "f" * 64}
    with pytest.raises(TamperedPolicyError) as refused:
        check_revisions(folder, changed)
    message = str(refused.value)
    assert str(folder / "1.1.yaml") in message
    assert f"{record(folder)}: line " in message
    assert "f" * 64 in message
    assert SHA["1.1"] in message
    assert "`pointwork policy seal omega --author NAME`" in message
    assert (refused.value.pack, refused.value.version) == ("omega", "1.1")
    assert refused.value.fault is PolicyFault.DOCUMENT_ALTERED


@pytest.mark.req("OM-83")
@pytest.mark.parametrize("version", ["2.1", "10.0"])
def test_a_version_nobody_put_on_record_is_refused(folder: Path, version: str) -> None:
    with pytest.raises(TamperedPolicyError, match=f"version {version} .* is not on record") as it:
        check_revisions(folder, {**THREE, version: "e" * 64})
    assert it.value.fault is PolicyFault.REVISION_MISSING
    assert it.value.version == version


def test_a_document_that_is_gone_is_missed(folder: Path) -> None:
    kept = {version: sha for version, sha in THREE.items() if version != "1.0"}
    with pytest.raises(TamperedPolicyError, match=r"1\.0\.yaml is missing; restore") as it:
        check_revisions(folder, kept)
    assert it.value.fault is PolicyFault.DOCUMENT_MISSING


def test_a_pack_without_a_record_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TamperedPolicyError, match=r"revisions\.yaml: it does not exist") as it:
        check_revisions(tmp_path, THREE)
    assert (it.value.fault, it.value.version) == (PolicyFault.REVISION_MISSING, "2.0")


@pytest.mark.req("OM-82")
@pytest.mark.parametrize(
    ("old", "new"),
    [
        (f'parent: "{SHA["1.0"]}"', f'parent: "{"d" * 64}"'),
        (f'parent: "{SHA["1.0"]}"', "parent: null"),
        ("parent: null", f'parent: "{SHA["2.0"]}"'),
    ],
)
def test_a_gap_in_the_chain_is_refused(folder: Path, old: str, new: str) -> None:
    text = record(folder).read_text()
    assert old in text
    record(folder).write_text(text.replace(old, new, 1))
    with pytest.raises(TamperedPolicyError, match="as its parent") as it:
        check_revisions(folder, THREE)
    assert it.value.fault is PolicyFault.CHAIN_BROKEN
    with pytest.raises(TamperedPolicyError, match="as its parent"):
        seal(folder, "10.0", SHA["10.0"], "owner", NOW + timedelta(days=9))


@pytest.mark.req("OM-82")
def test_a_revision_cut_out_of_the_middle_is_missed(folder: Path) -> None:
    text = record(folder).read_text()
    begin, end = text.index('  - version: "1.1"'), text.index('  - version: "2.0"')
    record(folder).write_text(text[:begin] + text[end:])
    without = {version: sha for version, sha in THREE.items() if version != "1.1"}
    with pytest.raises(TamperedPolicyError, match="as its parent"):
        check_revisions(folder, without)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("pack: omega", "pack: codex", "not the folder's name"),
        ("Z", "+02:00", "not in UTC"),
        ("Z", "", "timezone"),
        ('"1.1"', '"1.0"', "list each version once"),
        ('author: "author-0"', "author: null", "author"),
        ('author: "author-0"', 'author: "author-0"\n    note: x', "unknown key"),
        (SHA["1.0"], "abc", "pack_sha256"),
        ("2026-03-01T", "2027-03-01T", "is older than"),
        ("revisions:\n", "revisions: []\nx:\n", "revisions"),
    ],
)
def test_a_record_that_makes_no_sense_is_refused(
    folder: Path, old: str, new: str, says: str
) -> None:
    text = record(folder).read_text()
    assert old in text
    record(folder).write_text(text.replace(old, new, 1))
    with pytest.raises(PolicyError, match=says):
        check_revisions(folder, THREE)


def test_sealing_the_same_again_changes_nothing(folder: Path) -> None:
    before = record(folder).read_bytes()
    assert not seal(folder, "1.1", SHA["1.1"], "somebody-else", NOW + timedelta(days=9))
    assert record(folder).read_bytes() == before


@pytest.mark.req("OM-83")
def test_other_content_is_never_put_on_record_under_a_version_that_is(folder: Path) -> None:
    before = record(folder).read_bytes()
    with pytest.raises(SealRefusedError, match=r"1\.1 is on record with hash.*as a new version"):
        seal(folder, "1.1", "f" * 64, "owner", NOW + timedelta(days=9))
    assert record(folder).read_bytes() == before


def test_an_earlier_version_never_follows_a_later_one(folder: Path) -> None:
    with pytest.raises(SealRefusedError, match=r"1\.9 comes before 2\.0"):
        seal(folder, "1.9", "f" * 64, "owner", NOW + timedelta(days=9))
    assert seal(folder, "10.0", SHA["10.0"], "owner", NOW + timedelta(days=9))
    check_revisions(folder, SHA)


@pytest.mark.parametrize(
    ("author", "sha256", "days", "says"),
    [
        ("two words", "f" * 64, 9, "author"),
        ('x"\n', "f" * 64, 9, "author"),
        ("owner", "short", 9, "pack_sha256"),
        ("owner", "f" * 64, -9, "is older than"),
    ],
)
def test_what_the_record_does_not_take_is_not_written(
    folder: Path, author: str, sha256: str, days: int, says: str
) -> None:
    before = record(folder).read_bytes()
    with pytest.raises(SealRefusedError, match=says):
        seal(folder, "10.0", sha256, author, NOW + timedelta(days=days))
    assert record(folder).read_bytes() == before
    assert [each.name for each in folder.iterdir()] == ["revisions.yaml"]
