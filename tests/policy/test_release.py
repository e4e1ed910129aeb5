"""In production only a released pack is used, where the pack asks for it (SP-52)."""

import base64
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pointwork.policy.documents.release import (
    Profile,
    Release,
    ReleaseStatement,
    check_release,
    release_path,
    require_release,
    sign_release,
)
from pointwork.policy.documents.revisions import PolicyFault, TamperedPolicyError

AUTHORITY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
STRANGER = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
SHA = "a" * 64
PACK: dict[str, Any] = {"pack": "socioprophet", "version": "1.0", "sha256": SHA}
STATEMENT = ReleaseStatement(
    pack="socioprophet",
    version="1.0",
    pack_sha256=SHA,
    released_by="policy-fabric",
    at=datetime(2026, 3, 1, tzinfo=UTC),
)


@dataclass
class KnownKeys:
    """The authority's keys, as a deployment hands them to the loader."""

    keys: dict[str, bytes] = field(default_factory=dict)

    def public_key(self, key_id: str) -> bytes | None:
        return self.keys.get(key_id)


KEYS = KnownKeys({"fabric-1": AUTHORITY.public_key().public_bytes_raw()})


def release(folder: Path, signed: Release | None = None) -> Path:
    path = release_path(folder, "1.0")
    path.write_text((signed or sign_release(STATEMENT, AUTHORITY, "fabric-1")).model_dump_json())
    return path


def demand(folder: Path, profile: Profile = "production", **changed: Any) -> Release | None:
    given: dict[str, Any] = {"release_required": True, "keys": KEYS, **PACK, **changed}
    return require_release(folder, profile=profile, **given)


@pytest.mark.req("SP-52")
def test_a_released_pack_is_taken_in_production(tmp_path: Path) -> None:
    release(tmp_path)
    taken = demand(tmp_path)
    assert taken is not None
    assert taken.released_by == "policy-fabric"


@pytest.mark.req("SP-52")
def test_an_unreleased_pack_is_refused_in_production(tmp_path: Path) -> None:
    with pytest.raises(TamperedPolicyError, match=r"1\.0\.release\.json: is missing.*ask") as it:
        demand(tmp_path)
    assert it.value.fault is PolicyFault.RELEASE_MISSING


def test_without_that_demand_no_release_is_asked_for(tmp_path: Path) -> None:
    assert demand(tmp_path, "development") is None
    assert demand(tmp_path, release_required=False) is None


def test_without_keys_nobody_can_have_released_it(tmp_path: Path) -> None:
    release(tmp_path)
    for keys in (None, KnownKeys()):
        with pytest.raises(TamperedPolicyError, match="'fabric-1' may not release"):
            demand(tmp_path, keys=keys)


Forge = Callable[[Release], Release]


def of(**changed: Any) -> Forge:
    """Signed by the authority, for something else."""
    return lambda _: sign_release(STATEMENT.model_copy(update=changed), AUTHORITY, "fabric-1")


def edited(**changed: Any) -> Forge:
    """Changed after it was signed."""
    return lambda good: good.model_copy(update=changed)


@pytest.mark.req("SP-52")
@pytest.mark.parametrize(
    ("forge", "says"),
    [
        pytest.param(of(pack="omega"), "pack is omega", id="another pack's"),
        pytest.param(of(version="0.9"), "version is 0.9", id="another version's"),
        pytest.param(of(pack_sha256="b" * 64), "pack_sha256 is b", id="another content's"),
        pytest.param(edited(released_by="mallory"), "the signature", id="edited name"),
        pytest.param(
            edited(at=datetime(2027, 1, 1, tzinfo=UTC)), "the signature", id="edited time"
        ),
        pytest.param(edited(key_id="fabric-2"), "'fabric-2' may not", id="unknown key"),
        pytest.param(edited(signature="no base64!"), "the signature", id="no base64"),
        pytest.param(edited(signature=""), "the signature", id="no signature"),
        pytest.param(
            edited(signature=base64.b64encode(bytes(64)).decode()), "the signature", id="zeros"
        ),
        pytest.param(
            lambda _: sign_release(STATEMENT, STRANGER, "fabric-1"), "the signature", id="stranger"
        ),
    ],
)
def test_a_release_that_does_not_hold_is_refused(tmp_path: Path, forge: Forge, says: str) -> None:
    path = release(tmp_path, forge(sign_release(STATEMENT, AUTHORITY, "fabric-1")))
    with pytest.raises(TamperedPolicyError, match=says) as it:
        check_release(path, **PACK, keys=KEYS)
    assert it.value.fault is PolicyFault.RELEASE_INVALID
    assert (it.value.pack, it.value.version) == ("socioprophet", "1.0")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "the file"),
        ("[]", "the file"),
        ("{}", "pack"),
        ('{"pack": 1, "pack": 2}', "pack"),
        (" " * 10_001, "larger than 10000 bytes"),
    ],
)
def test_a_file_that_is_no_release_is_refused(tmp_path: Path, text: str, says: str) -> None:
    path = release_path(tmp_path, "1.0")
    path.write_text(text)
    with pytest.raises(TamperedPolicyError, match=says):
        check_release(path, **PACK, keys=KEYS)


def test_a_key_that_is_no_key_verifies_nothing(tmp_path: Path) -> None:
    path = release(tmp_path)
    with pytest.raises(TamperedPolicyError, match="the signature"):
        check_release(path, **PACK, keys=KnownKeys({"fabric-1": b"short"}))


def test_a_link_to_a_release_is_no_release(tmp_path: Path) -> None:
    path = release(tmp_path)
    link = tmp_path / "2.0.release.json"
    link.symlink_to(path)
    with pytest.raises(TamperedPolicyError, match="is missing"):
        check_release(link, **PACK, keys=KEYS)
