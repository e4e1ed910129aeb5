"""Pack, priced catalogue and host profile as one value with one hash: all that ``decide`` reads."""

from collections.abc import Callable, Iterable, Mapping
from copy import copy
from functools import cached_property
from typing import Any, Self

from pydantic import BaseModel, ConfigDict

from pointwork.contract.canonical import canonical_json, sha256_hex
from pointwork.contract.snapshot import PolicyRef
from pointwork.policy.documents.catalogue import HostProfile, PricedModel
from pointwork.policy.documents.pack import Pack
from pointwork.policy.documents.revisions import number_of
from pointwork.policy.engine.index import PackIndex, build_index


class PolicyBundle(BaseModel):
    """Immutable and content-addressed: the same rules always have the same ``sha256``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pack: Pack
    models: dict[str, PricedModel]
    host: HostProfile

    @cached_property
    def sha256(self) -> str:
        return sha256_hex(canonical_json(self))

    @cached_property
    def pack_sha256(self) -> str:
        return sha256_hex(canonical_json(self.pack))

    @cached_property
    def index(self) -> PackIndex:
        """The models as decisions read them."""
        return build_index(self.pack, self.models, self.host)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A changed copy has another hash: what was worked out for this one is not carried over."""
        copied = super().model_copy(update=update, deep=deep)
        for name in ("sha256", "pack_sha256", "index", "ref"):
            copied.__dict__.pop(name, None)
        return copied

    @cached_property
    def ref(self) -> PolicyRef:
        return PolicyRef(
            pack=self.pack.pack,
            version=self.pack.version,
            pack_sha256=self.pack_sha256,
            bundle_sha256=self.sha256,
        )


LookUp = Callable[[str], str | None]


class UnknownPackError(LookupError):
    """No active pack has this name."""


class UnknownBundleError(LookupError):
    """No bundle with this hash is at hand; a worker that has it must run the task."""


class PolicyLibrary:
    """The active bundle of each pack, and every bundle by hash, to remake old decisions."""

    def __init__(
        self,
        active: Iterable[PolicyBundle],
        retired: Iterable[PolicyBundle] = (),
        *,
        stored: Iterable[PolicyBundle] = (),
        unreleased: Iterable[str] = (),
        look_up: LookUp | None = None,
    ) -> None:
        """Hold the bundles.

        Args:
            active: what decides new tasks, one of each pack.
            retired: the other versions that are deployed, with the models and prices of today.
            stored: bundles that only a ledger still has, which decided with models of their time.
            unreleased: ``pack_sha256`` of deployed versions that may not decide here for want of a
                release (SP-52).
            look_up: finds the canonical JSON of a bundle that came about since, by its hash.
        """
        self._look_up = look_up
        self.unreleased = frozenset(unreleased)
        self._active = {bundle.pack.pack: bundle for bundle in active}
        deployed = [*retired, *self._active.values()]
        self._deployed = {(each.pack.pack, each.pack.version): each for each in deployed}
        now = {each.sha256: each for each in self._active.values()}
        others = [each for each in (*stored, *deployed) if each.sha256 not in now]
        self._by_hash = {each.sha256: each for each in others} | now

    def now(self) -> "PolicyLibrary":
        """Itself: without a log of activations it is the same at every moment."""
        return self

    def with_active(self, bundles: Iterable[PolicyBundle]) -> "PolicyLibrary":
        """The same bundles, of which these are the active ones of their packs."""
        chosen = {each.pack.pack: each for each in bundles}
        if not chosen:
            return self
        other = copy(self)
        other._active = self._active | chosen
        other._by_hash = self._by_hash | {each.sha256: each for each in chosen.values()}
        return other

    def deployed(self, pack: str) -> tuple[PolicyBundle, ...]:
        """Every deployed version of the pack, oldest first; its seal was checked as it was read."""
        found = [each for (name, _), each in self._deployed.items() if name == pack]
        return tuple(sorted(found, key=lambda each: number_of(each.pack.version)))

    def is_deployed(self, pack: str, version: str) -> bool:
        """Whether a document was deployed with it; else it is a revision written over the API."""
        return (pack, version) in self._deployed

    @property
    def packs(self) -> tuple[str, ...]:
        return tuple(sorted(self._active))

    def active(self, pack: str) -> PolicyBundle:
        """The bundle that new tasks of ``pack`` are decided by.

        Raises:
            UnknownPackError: no such pack; the text lists those there are.
        """
        try:
            return self._active[pack]
        except KeyError:
            known = ", ".join(self.packs) or "none"
            raise UnknownPackError(f"no pack is named {pack!r}; the packs are: {known}") from None

    def by_hash(self, bundle_sha256: str) -> PolicyBundle:
        """The bundle with this hash, active or not.

        Raises:
            UnknownBundleError: neither this process nor where it looks has it.
        """
        found = self._by_hash.get(bundle_sha256)
        if found is None:
            text = self._look_up(bundle_sha256) if self._look_up else None
            if text is None:
                raise UnknownBundleError(f"no policy bundle with hash {bundle_sha256}")
            found = PolicyBundle.model_validate_json(text)
            if found.sha256 != bundle_sha256:
                raise UnknownBundleError(f"the bundle stored as {bundle_sha256} is another one")
            self._by_hash[bundle_sha256] = found
        return found

    @property
    def of_this_host(self) -> PolicyBundle:
        """A bundle that decides now: they share catalogue and host, which retired ones may not."""
        return self.active(self.packs[0])

    def all(self) -> tuple[PolicyBundle, ...]:
        """The retired bundles first, so that an active one has the last word on what all name."""
        return tuple(self._by_hash.values())
