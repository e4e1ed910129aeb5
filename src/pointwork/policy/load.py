"""From a folder of documents to a library of bundles; anything wrong stops the load."""

import re
from pathlib import Path

from pointwork.policy.bundle import PolicyBundle, PolicyLibrary
from pointwork.policy.document import (
    Catalogue,
    GenaiPrice,
    HostProfile,
    Model,
    Pack,
    PricedModel,
    StatedPrice,
)
from pointwork.policy.prices import UnknownPriceError, look_up, price_library_version
from pointwork.policy.strict_yaml import PolicyError, read_document

_PACK_FILE = re.compile(r"^\d+(\.\d+){1,2}\.yaml$")


def load_library(policies: Path, host: str) -> PolicyLibrary:
    """Read ``<policies>/<pack>/<version>.yaml``, the catalogue and the profile of ``host``.

    The highest version of each pack is active; the others stay at hand by hash.

    Raises:
        PolicyError: a document is missing or wrong; nothing is loaded then.
    """
    catalogue = read_document(policies / "models.yaml", Catalogue)
    priced = _priced(catalogue, str(policies / "models.yaml"))
    profile = read_document(policies / "hosts" / f"{host}.yaml", HostProfile)
    _check_profile(profile, catalogue, str(policies / "hosts" / f"{host}.yaml"))
    folders = sorted(each for each in policies.iterdir() if each.is_dir() and _versions(each))
    if not folders:
        raise PolicyError(f"{policies}: holds no pack; add <pack>/<version>.yaml")
    active: list[PolicyBundle] = []
    retired: list[PolicyBundle] = []
    for folder in folders:
        bundles = [_bundle(path, priced, profile) for path in _versions(folder)]
        active.append(bundles[-1])
        retired.extend(bundles[:-1])
    return PolicyLibrary(active, retired)


def load_pack(path: Path, policies: Path, host: str) -> PolicyBundle:
    """Read one pack document against the catalogue beside it, as ``policy validate`` does.

    Raises:
        PolicyError: the document, the catalogue or the profile is wrong.
    """
    catalogue = read_document(policies / "models.yaml", Catalogue)
    profile = read_document(policies / "hosts" / f"{host}.yaml", HostProfile)
    return _bundle(path, _priced(catalogue, str(policies / "models.yaml")), profile)


def _versions(folder: Path) -> list[Path]:
    files = [each for each in folder.iterdir() if _PACK_FILE.match(each.name)]
    return sorted(files, key=lambda path: [int(part) for part in path.stem.split(".")])


def _bundle(path: Path, models: dict[str, PricedModel], host: HostProfile) -> PolicyBundle:
    pack = read_document(path, Pack)
    if _PACK_FILE.match(path.name) and pack.version != path.stem:
        raise PolicyError(
            f"{path}: version {pack.version!r} differs from the file's name; align them"
        )
    routed = {name for name, each in models.items() if each.model.family in pack.families}
    vendors = {models[name].model.vendor for name in routed}
    if len(vendors) < pack.vendors_min:
        found = ", ".join(sorted(vendors)) or "none"
        raise PolicyError(
            f"{path}: vendors_min is {pack.vendors_min} but the catalogue's models for this "
            f"pack's families come from {found}; add a model of another vendor"
        )
    for name in pack.privacy.approved_private_models:
        if name not in models:
            raise PolicyError(
                f"{path}: privacy.approved_private_models names {name!r}, which is not in the "
                "catalogue; add it to models.yaml or remove it"
            )
    return PolicyBundle(
        pack=pack, models={name: models[name] for name in sorted(routed)}, host=host
    )


def _check_profile(profile: HostProfile, catalogue: Catalogue, name: str) -> None:
    for model in profile.local_models:
        if model not in catalogue.models:
            raise PolicyError(f"{name}: local_models names {model!r}, which is not in models.yaml")


def _priced(catalogue: Catalogue, name: str) -> dict[str, PricedModel]:
    return {key: _price(key, model, catalogue, name) for key, model in catalogue.models.items()}


def _price(key: str, model: Model, catalogue: Catalogue, name: str) -> PricedModel:
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
                raise PolicyError(f"{name}: models.{key}.price: {error}") from None
            return PricedModel(
                model=model, endpoint=endpoint, tiers=tiers, price_version=price_library_version()
            )
