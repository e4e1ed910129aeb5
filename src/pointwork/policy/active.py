"""What decides new tasks now: the newest deployed version, unless an owner went back (OM-85)."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Protocol

from pointwork.contract.activation import PolicyActivation
from pointwork.contract.canonical import canonical_json
from pointwork.contract.snapshot import PolicyRef
from pointwork.policy.bundle import PolicyBundle, PolicyLibrary, UnknownBundleError
from pointwork.policy.documents.revisions import number_of


class Activations(Protocol):
    def latest(self) -> Mapping[str, PolicyActivation]:
        """The last entry of each pack that has one."""
        ...


class StoredBundles(Protocol):
    def find(self, bundle_sha256: str) -> str | None:
        """A bundle's canonical JSON; None where it was never stored."""
        ...

    def remember(
        self,
        bundle_sha256: str,
        pack: str,
        version: str,
        pack_sha256: str,
        canonical_json: str,
        now: datetime,
    ) -> None:
        """Store a bundle once."""
        ...


class Policies(Protocol):
    """Whoever knows what is active. Ask it once for each task or request, and keep its answer."""

    def now(self) -> PolicyLibrary: ...


class ActivePolicies:
    """The deployed bundles, and the log of activations that is read at every ``now``. Thread-safe.

    No process remembers what is active, so a rollback takes effect in every one at once.
    """

    def __init__(
        self, deployed: PolicyLibrary, activations: Activations, stored: StoredBundles
    ) -> None:
        self._deployed = deployed
        self._activations = activations
        self._stored = stored
        self._last: tuple[Mapping[str, PolicyActivation], PolicyLibrary] = ({}, deployed)

    def now(self) -> PolicyLibrary:
        """The library as it stands at this moment.

        Raises:
            UnknownBundleError: an activation names rules that neither process nor ledger holds.
        """
        latest = self._activations.latest()
        read, library = self._last
        if latest != read:
            library = self._deployed.with_active(self._chosen(latest))
            self._last = (latest, library)
        return library

    def standing(self) -> dict[str, PolicyActivation]:
        """The activations that say what is active.

        Left out are those since which a newer version was deployed, and those of a version that
        is not released where that is asked for (SP-52).
        """
        latest = self._activations.latest()
        return {pack: each for pack, each in latest.items() if self._stands(each)}

    def _chosen(self, latest: Mapping[str, PolicyActivation]) -> Iterator[PolicyBundle]:
        for entry in latest.values():
            if self._stands(entry):
                yield self._bundle(entry.policy)

    def _stands(self, entry: PolicyActivation) -> bool:
        deployed = self._deployed.deployed(entry.policy.pack)
        if not deployed or entry.policy.pack_sha256 in self._deployed.unreleased:
            return False
        return number_of(deployed[-1].pack.version) <= number_of(entry.newest_version)

    def _bundle(self, policy: PolicyRef) -> PolicyBundle:
        """The version with this host's models and today's prices, whoever wrote it and when.

        One that names models which are no longer deployed is as it was stored.
        """
        for each in self._deployed.deployed(policy.pack):
            if each.pack_sha256 == policy.pack_sha256:
                return each
        stored = self._as_stored(policy)
        newest = self._deployed.deployed(policy.pack)[-1]
        if not stored.models.keys() <= newest.models.keys():
            return stored
        models = {name: newest.models[name] for name in stored.models}
        today = PolicyBundle(pack=stored.pack, models=models, host=newest.host)
        if today.sha256 != stored.sha256:
            # Tasks pin it by hash, and other processes look that up.
            text, ref = canonical_json(today).decode(), today.ref
            now = datetime.now(UTC)
            self._stored.remember(
                ref.bundle_sha256, ref.pack, ref.version, ref.pack_sha256, text, now
            )
        return today

    def _as_stored(self, policy: PolicyRef) -> PolicyBundle:
        try:
            return self._deployed.by_hash(policy.bundle_sha256)
        except UnknownBundleError:
            text = self._stored.find(policy.bundle_sha256)
            if text is None:
                raise
            found = PolicyBundle.model_validate_json(text)
            if found.sha256 != policy.bundle_sha256:
                raise
            return found
