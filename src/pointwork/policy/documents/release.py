"""Released packs: a signed statement that one version may be used in production (SP-52).

The packaging authority signs ``policies/<pack>/<version>.release.json``; this end only checks it.
"""

import base64
import binascii
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import AwareDatetime, Field, ValidationError

from pointwork.contract.canonical import canonical_json
from pointwork.contract.task import Name
from pointwork.policy.documents.document import Document
from pointwork.policy.documents.revisions import PolicyFault, Sha256, TamperedPolicyError
from pointwork.policy.documents.strict_yaml import PolicyError

RELEASE_BYTES_MAX = 10_000
KEY_FILE_BYTES_MAX = 100_000
PUBLIC_KEY_BYTES = 32
Profile = Literal["development", "production"]


class ReleaseKeys(Protocol):
    """Who may release policies: the authority's public keys. A revoked key is not known."""

    def public_key(self, key_id: str) -> bytes | None:
        """The 32 raw bytes of an Ed25519 public key; None where the id is not known."""
        ...


class KnownReleaseKeys:
    """The keys of a file, by id."""

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        self._keys = dict(keys)

    def public_key(self, key_id: str) -> bytes | None:
        return self._keys.get(key_id)


def read_release_keys(path: Path) -> KnownReleaseKeys:
    """The authority's public keys: one JSON object of ``key id: base64 of its 32 bytes``.

    Raises:
        PolicyError: the file is missing, or holds something else.
    """
    form = "give a JSON object of key id and base64 of the 32 bytes of an Ed25519 public key"
    if not path.is_file():
        raise PolicyError(f"{path}: is missing; {form}")
    if path.stat().st_size > KEY_FILE_BYTES_MAX:
        raise PolicyError(f"{path}: is larger than {KEY_FILE_BYTES_MAX} bytes; {form}")
    try:
        document = json.loads(path.read_bytes())
    except ValueError:
        raise PolicyError(f"{path}: is not JSON; {form}") from None
    if not isinstance(document, dict):
        raise PolicyError(f"{path}: is not a JSON object; {form}")
    keys: dict[str, bytes] = {}
    for key_id, text in document.items():
        try:
            keys[key_id] = base64.b64decode(text, validate=True)
        except (TypeError, ValueError):
            raise PolicyError(f"{path}: {key_id!r:.60} is not base64; {form}") from None
        if len(keys[key_id]) != PUBLIC_KEY_BYTES:
            found = len(keys[key_id])
            raise PolicyError(f"{path}: {key_id!r:.60} has {found} bytes; {form}")
    return KnownReleaseKeys(keys)


class ReleaseStatement(Document):
    """What the authority states."""

    pack: Name
    version: str
    pack_sha256: Sha256
    released_by: Name
    at: AwareDatetime


class Release(ReleaseStatement):
    """A statement with an Ed25519 signature over its canonical JSON."""

    key_id: Name
    signature: Annotated[str, Field(max_length=100)]
    """Base64, 64 bytes decoded."""

    @property
    def statement(self) -> ReleaseStatement:
        return ReleaseStatement(**{name: getattr(self, name) for name in _STATED})


_STATED = tuple(ReleaseStatement.model_fields)


def release_path(folder: Path, version: str) -> Path:
    return folder / f"{version}.release.json"


def sign_release(statement: ReleaseStatement, key: Ed25519PrivateKey, key_id: str) -> Release:
    signature = base64.b64encode(key.sign(canonical_json(statement))).decode()
    return Release(**statement.model_dump(), key_id=key_id, signature=signature)


def check_release(
    path: Path, *, pack: str, version: str, sha256: str, keys: ReleaseKeys
) -> Release:
    """The release in the file, proved to be the authority's word for exactly this pack.

    Raises:
        TamperedPolicyError: there is none, it is for something else, or nobody known signed it.
    """
    invalid, missing = PolicyFault.RELEASE_INVALID, PolicyFault.RELEASE_MISSING
    if path.is_symlink() or not path.is_file():
        problem = f"is missing, so version {version} is not released"
        raise _refused(path, pack, version, missing, problem)
    if path.stat().st_size > RELEASE_BYTES_MAX:
        problem = f"is larger than {RELEASE_BYTES_MAX} bytes"
        raise _refused(path, pack, version, invalid, problem)
    try:
        release = Release.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(map(str, first["loc"])) or "the file"
        raise _refused(path, pack, version, invalid, f"{field}: {first['msg']}") from None
    stated = (release.pack, release.version, release.pack_sha256)
    for field, value, wanted in zip(_STATED, stated, (pack, version, sha256), strict=False):
        if value != wanted:
            problem = f"{field} is {value} and the document's is {wanted}"
            raise _refused(path, pack, version, invalid, problem)
    public = keys.public_key(release.key_id)
    if public is None:
        problem = f"key {release.key_id!r} may not release policies"
        raise _refused(path, pack, version, invalid, problem)
    if not _is_signed(release, public):
        problem = f"the signature is not the one of key {release.key_id!r}"
        raise _refused(path, pack, version, invalid, problem)
    return release


def require_release(
    folder: Path,
    *,
    pack: str,
    version: str,
    sha256: str,
    release_required: bool,
    profile: Profile,
    keys: ReleaseKeys | None,
) -> Release | None:
    """The release of a version, where the pack asks for one and this is no development machine.

    Args:
        folder: ``policies/<pack>``.
        pack: the pack's name.
        version: the version about to be used.
        sha256: ``PolicyBundle.pack_sha256`` of its document.
        release_required: the pack document's own field.
        profile: what the process runs as; anything but ``development`` asks for the release.
        keys: who may release; None is nobody.

    Returns:
        The release, or None where none is asked for.

    Raises:
        TamperedPolicyError: it is asked for and not there, or does not hold.
    """
    if not release_required or profile == "development":
        return None
    path = release_path(folder, version)
    return check_release(path, pack=pack, version=version, sha256=sha256, keys=keys or _NOBODY)


class _NoKeys:
    def public_key(self, key_id: str) -> bytes | None:
        return None


_NOBODY = _NoKeys()


def _is_signed(release: Release, public: bytes) -> bool:
    try:
        signature = base64.b64decode(release.signature, validate=True)
        Ed25519PublicKey.from_public_bytes(public).verify(
            signature, canonical_json(release.statement)
        )
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return True


def _refused(
    path: Path, pack: str, version: str, fault: PolicyFault, problem: str
) -> TamperedPolicyError:
    return TamperedPolicyError(
        f"{path}: {problem}; ask the releasing authority for a release of {pack} {version}",
        pack=pack,
        version=version,
        fault=fault,
    )
