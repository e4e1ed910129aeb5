"""The packs of this deployment: those on disk, and every bundle that its ledger keeps."""

from datetime import UTC, datetime

from sqlalchemy import Engine

from pointwork.contract.canonical import canonical_json
from pointwork.ledger.incidents import record_policy_incident
from pointwork.ledger.policies import RevisionStore
from pointwork.policy.bundle import PolicyBundle, PolicyLibrary
from pointwork.policy.documents.load import load_library
from pointwork.policy.documents.release import read_release_keys
from pointwork.policy.documents.revisions import TamperedPolicyError
from workers.settings import Settings


def checked_library(engine: Engine, settings: Settings) -> PolicyLibrary:
    """The packs on disk. One that was changed past the record is an incident (OM-83)."""
    keys = read_release_keys(settings.release_keys) if settings.release_keys else None
    try:
        return load_library(
            settings.policies_dir, settings.host, profile=settings.profile, release_keys=keys
        )
    except TamperedPolicyError as error:
        now = datetime.now(UTC)
        record_policy_incident(engine, error.pack, error.version, error.fault, str(error), now)
        raise


def with_stored_revisions(engine: Engine, library: PolicyLibrary) -> PolicyLibrary:
    """Write the bundles at hand into the ledger, and add those the ledger knows from before.

    A task pins its bundle by hash; it must find it after the policy files have moved on.
    """
    revisions = RevisionStore(engine)
    now = datetime.now(UTC)
    for bundle in library.all():
        text = canonical_json(bundle).decode()
        ref = bundle.ref
        revisions.remember(ref.bundle_sha256, ref.pack, ref.version, ref.pack_sha256, text, now)
    at_hand = {bundle.sha256 for bundle in library.all()}
    stored = (revisions.find(sha256) for sha256 in revisions.hashes() if sha256 not in at_hand)
    older = [PolicyBundle.model_validate_json(text) for text in stored if text is not None]
    active = [library.active(pack) for pack in library.packs]
    return PolicyLibrary(
        active,
        library.all(),
        stored=older,
        unreleased=library.unreleased,
        # A policy that is written while this process runs decides from then on (JG-48).
        look_up=revisions.find,
    )
