"""From a folder of documents to a library of bundles; anything wrong stops the load."""

import re
from collections.abc import Iterator
from pathlib import Path

from pointwork.policy.bundle import PolicyBundle, PolicyLibrary
from pointwork.policy.documents.catalogue import (
    Catalogue,
    GenaiPrice,
    HostProfile,
    Model,
    PricedModel,
    StatedPrice,
    vram_plan,
)
from pointwork.policy.documents.pack import Pack
from pointwork.policy.documents.prices import UnknownPriceError, look_up, price_library_version
from pointwork.policy.documents.release import Profile, ReleaseKeys, require_release
from pointwork.policy.documents.revisions import TamperedPolicyError, check_revisions
from pointwork.policy.documents.strict_yaml import PolicyError, place_in, read_document

_PACK_FILE = re.compile(r"^\d+(\.\d+){1,2}\.yaml$")
_HOST = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")


def load_library(
    policies: Path,
    host: str,
    *,
    profile: Profile = "development",
    release_keys: ReleaseKeys | None = None,
) -> PolicyLibrary:
    """Read ``<policies>/<pack>/<version>.yaml``, the catalogue and the profile of ``host``.

    The highest version of each pack is active; the others stay at hand by hash. Every version
    must be on record as it stands (OM-83).

    Args:
        policies: folder of the packs.
        host: name of a document in ``<policies>/hosts``.
        profile: ``production`` takes an active pack that asks for a release only with one (SP-52),
            and nothing that Ollama serves (CX-76).
        release_keys: who may release; None is nobody.

    Raises:
        TamperedPolicyError: a document is not what was put on record, or not released.
        PolicyError: a document is missing or wrong; nothing is loaded then.
    """
    catalogue = read_document(policies / "models.yaml", Catalogue)
    priced = _priced(catalogue, policies / "models.yaml")
    served = _profile(policies, host, catalogue)
    if profile == "production":
        _refuse_development_servers(policies, served, catalogue)
    folders = sorted(each for each in policies.iterdir() if each.is_dir() and _versions(each))
    if not folders:
        raise PolicyError(f"{policies}: holds no pack; add <pack>/<version>.yaml")
    active: list[PolicyBundle] = []
    retired: list[PolicyBundle] = []
    unreleased: list[str] = []
    for folder in folders:
        bundles = [
            _bundle(path, read_document(path, Pack), priced, served) for path in _versions(folder)
        ]
        _check_folder(folder, bundles)
        check_revisions(folder, {each.pack.version: each.pack_sha256 for each in bundles})
        _check_release(folder, bundles[-1], profile, release_keys)
        unreleased.extend(_unreleased(folder, bundles[:-1], profile, release_keys))
        active.append(bundles[-1])
        retired.extend(bundles[:-1])
    return PolicyLibrary(active, retired, unreleased=unreleased)


def load_pack(path: Path, policies: Path, host: str) -> PolicyBundle:
    """Read one pack document against the catalogue beside it, as ``policy validate`` does.

    Raises:
        PolicyError: the document, the catalogue or the profile is wrong.
    """
    pack = read_document(path, Pack)  # first, so that most bad packs cost no look at any price
    catalogue = read_document(policies / "models.yaml", Catalogue)
    profile = _profile(policies, host, catalogue)
    return _bundle(path, pack, _priced(catalogue, policies / "models.yaml"), profile)


def _versions(folder: Path) -> list[Path]:
    files = [each for each in folder.iterdir() if _PACK_FILE.match(each.name)]
    return sorted(files, key=lambda path: [int(part) for part in path.stem.split(".")])


def _bundle(
    path: Path, pack: Pack, models: dict[str, PricedModel], host: HostProfile
) -> PolicyBundle:
    if _PACK_FILE.match(path.name) and pack.version != path.stem:
        place = place_in(path, "version")
        raise PolicyError(f"{place}: version: {pack.version!r} is not the file's name; align them")
    _check_models(path, pack, models)
    routed = _routed(pack, models, host)
    vendors = {models[name].model.vendor for name in routed}
    if len(vendors) < pack.vendors_min:
        found = ", ".join(sorted(vendors)) or "none"
        raise PolicyError(
            f"{place_in(path, 'vendors_min')}: vendors_min is {pack.vendors_min} but the "
            f"catalogue's models for this pack's families come from {found}; add another vendor's"
        )
    return PolicyBundle(
        pack=pack, models={name: models[name] for name in sorted(routed)}, host=host
    )


def _check_models(path: Path, pack: Pack, models: dict[str, PricedModel]) -> None:
    """Every model the pack names is in the catalogue."""
    for approved in pack.privacy.approved_private_models:
        if approved.model not in models:
            place = place_in(path, "privacy", "approved_private_models")
            raise PolicyError(
                f"{place}: privacy.approved_private_models: {approved.model!r} is not in "
                "models.yaml; add it there or remove it"
            )
    for name, family in pack.families.items():
        for model in family.models:
            if model not in models:
                place = place_in(path, "families", name, "models")
                raise PolicyError(
                    f"{place}: families.{name}.models: {model!r} is not in models.yaml; "
                    "add it there or remove it"
                )


def _routed(pack: Pack, models: dict[str, PricedModel], host: HostProfile) -> set[str]:
    """The models some family of the pack takes: by name, from the host or from the catalogue."""
    open_families = {
        name for name, each in pack.families.items() if not each.models and not each.from_host
    }
    routed = {name for name, each in models.items() if each.model.family in open_families}
    for family in pack.families.values():
        routed |= set(family.models)
        routed |= set(host.local_models) if family.from_host else set()
    return routed


def _check_folder(folder: Path, bundles: list[PolicyBundle]) -> None:
    """A pack's folder has its name, so that no folder can stand in for another pack."""
    for path, bundle in zip(_versions(folder), bundles, strict=True):
        if bundle.pack.pack != folder.name:
            place = place_in(path, "pack")
            raise PolicyError(
                f"{place}: pack: {bundle.pack.pack!r} is not the folder's name; align them"
            )


def _check_release(
    folder: Path, bundle: PolicyBundle, profile: Profile, keys: ReleaseKeys | None
) -> None:
    """Raises TamperedPolicyError where the version must be released and is not."""
    require_release(
        folder,
        pack=bundle.pack.pack,
        version=bundle.pack.version,
        sha256=bundle.pack_sha256,
        release_required=bundle.pack.release_required,
        profile=profile,
        keys=keys,
    )


def _unreleased(
    folder: Path, bundles: list[PolicyBundle], profile: Profile, keys: ReleaseKeys | None
) -> Iterator[str]:
    """Earlier versions that nobody may go back to here; they remake old decisions all the same."""
    for each in bundles:
        try:
            _check_release(folder, each, profile, keys)
        except TamperedPolicyError:
            yield each.pack_sha256


def _profile(policies: Path, host: str, catalogue: Catalogue) -> HostProfile:
    path = policies / "hosts" / f"{host}.yaml"
    if not _HOST.match(host):
        raise PolicyError(f"{path}: {host!r:.60} is no name of a host; give one of hosts/*.yaml")
    profile = read_document(path, HostProfile)
    for model in profile.served:
        if model not in catalogue.models:
            fields = ("local_models", "personal_models")
            field = next((each for each in fields if model in getattr(profile, each)), "gpu")
            place = place_in(path, field)
            raise PolicyError(
                f"{place}: {field}: {model!r} is not in models.yaml; add it there or remove it"
            )
    _check_card(path, profile, catalogue)
    return profile


def _refuse_development_servers(policies: Path, host: HostProfile, catalogue: Catalogue) -> None:
    """Ollama is for bringing up a development machine alone (CX-76)."""
    why = "Ollama is for development, and POINTWORK_PROFILE is production"
    remedy = "or set POINTWORK_PROFILE=development"
    if host.runtime.kind == "ollama":
        place = place_in(policies / "hosts" / f"{host.host}.yaml", "runtime", "kind")
        raise PolicyError(f"{place}: runtime.kind: {why}; choose vllm or llama_cpp, {remedy}")
    for name, endpoint in catalogue.endpoints.items():
        if (endpoint.dialect or name) == "ollama":
            place = place_in(policies / "models.yaml", "endpoints", name)
            raise PolicyError(f"{place}: endpoints.{name}: {why}; take it out, {remedy}")


def _check_card(path: Path, profile: HostProfile, catalogue: Catalogue) -> None:
    """Each LLM fits the card beside the fixed slices; one at a time is all it has to (CX-8)."""
    if profile.gpu is None:
        return
    for name in profile.local_models:
        weights = catalogue.models[name].weights
        place = place_in(path, "local_models")
        if weights is None:
            raise PolicyError(
                f"{place}: local_models: {name!r} has no weights in models.yaml; state its VRAM"
            )
        plan = vram_plan(profile.gpu, name, weights)
        if not plan.fits:
            raise PolicyError(
                f"{place}: local_models: {name!r} needs {-plan.headroom_mb} MB more than the card "
                "has beside its slices; shrink a slice, the reserve or the model"
            )
    share = profile.runtime.gpu_memory_utilization
    free_mb = profile.gpu.vram_mb - sum(each.vram_mb for each in profile.gpu.slices)
    if share is not None and share * profile.gpu.vram_mb > free_mb:
        place = place_in(path, "runtime", "gpu_memory_utilization")
        raise PolicyError(
            f"{place}: runtime.gpu_memory_utilization: {share} of {profile.gpu.vram_mb} MB is more "
            f"than the {free_mb} MB that the slices leave; lower it"
        )


def _priced(catalogue: Catalogue, path: Path) -> dict[str, PricedModel]:
    return {key: _price(key, model, catalogue, path) for key, model in catalogue.models.items()}


def _price(key: str, model: Model, catalogue: Catalogue, path: Path) -> PricedModel:
    endpoint = catalogue.endpoints[model.endpoint]
    match model.price:
        case None:
            return PricedModel(model=model, endpoint=endpoint)
        case StatedPrice() as stated:
            return PricedModel(
                model=model,
                endpoint=endpoint,
                tiers=stated.tiers,
                price_version=f"stated {stated.as_of.isoformat()}",
            )
        case GenaiPrice() as listed:
            try:
                tiers = look_up(listed)
            except UnknownPriceError as error:
                place = place_in(path, "models", key, "price")
                raise PolicyError(f"{place}: models.{key}.price: {error}") from None
            return PricedModel(
                model=model,
                endpoint=endpoint,
                tiers=tiers,
                price_version=f"{price_library_version()} as of {listed.as_of.isoformat()}",
            )
