"""Variants of the shipped rules, and readings of a plan, without any service."""

from functools import cache
from pathlib import Path
from typing import Any

from pointwork.contract.decision import Plan, Site
from pointwork.contract.reasons import ReasonCode
from pointwork.policy.bundle import PolicyBundle
from pointwork.policy.documents.load import load_library
from pointwork.policy.documents.pack import Pack
from pointwork.policy.proving.situation import NOW as NOW
from pointwork.policy.proving.situation import SCHEMA_REF as SCHEMA_REF
from pointwork.policy.proving.situation import Failed as Failed
from pointwork.policy.proving.situation import Granted as Granted
from pointwork.policy.proving.situation import Received as Received
from pointwork.policy.proving.situation import Situation as Situation

POLICIES = Path(__file__).parents[2] / "policies"


@cache
def shipped(pack: str = "omega", host: str = "embedded") -> PolicyBundle:
    """The rules as the repository ships them, on the embedded host unless another is named."""
    return load_library(POLICIES, host).active(pack)


def changed(
    bundle: PolicyBundle,
    *,
    pack: dict[str, Any] | None = None,
    models: dict[str, dict[str, Any]] | None = None,
) -> PolicyBundle:
    """``bundle`` with fields replaced: of the pack, and of each model named in ``models``.

    A model's fields are those of ``Model`` and ``PricedModel``; ``site`` and ``residency`` are its
    endpoint's. The result is validated like a document. A new bundle is built, because a copy
    would keep the cached hash of the old one.
    """
    priced = dict(bundle.models)
    for name, fields in (models or {}).items():
        old = priced[name]
        of_endpoint = {key: fields[key] for key in ("site", "residency") if key in fields}
        of_price: dict[str, Any] = {
            key: fields[key] for key in ("tiers", "price_version") if key in fields
        }
        of_model = {key: fields[key] for key in fields if key not in of_endpoint | of_price}
        priced[name] = old.model_copy(
            update={
                "model": old.model.model_validate(old.model.model_dump() | of_model),
                "endpoint": old.endpoint.model_validate(old.endpoint.model_dump() | of_endpoint),
                **of_price,
            }
        )
    document = Pack.model_validate(bundle.pack.model_dump() | (pack or {}))
    return PolicyBundle(pack=document, models=priced, host=bundle.host)


def free(bundle: PolicyBundle, *names: str) -> PolicyBundle:
    """``bundle`` in which the models ``names`` cost nothing, so nothing is cheaper than they."""
    zero = {
        "input_per_mtok": 0,
        "output_per_mtok": 0,
        "cached_input_per_mtok": 0,
        "cache_write_per_mtok": 0,
    }
    tiers = {
        name: tuple(tier.model_copy(update=zero) for tier in bundle.models[name].tiers)
        for name in names
    }
    return changed(bundle, models={name: {"tiers": each} for name, each in tiers.items()})


def approved_private(bundle: PolicyBundle, *names: str, approved: bool = True) -> PolicyBundle:
    """``bundle`` in which ``names`` are served privately and, if so, on the approved list."""
    privacy = bundle.pack.privacy.model_dump() | {
        "approved_private_models": [
            {"model": name, "approver": "ada", "approved_on": "2026-03-01"} for name in names
        ]
        if approved
        else []
    }
    sites = {name: {"site": Site.PRIVATE} for name in names}
    return changed(bundle, pack={"privacy": privacy}, models=sites)


def reasons(plan: Plan) -> dict[str, ReasonCode]:
    """Why each model that is not a candidate was refused."""
    return {each.model: each.reason for each in plan.rejected}


def chosen(plan: Plan) -> list[str]:
    """The candidates' catalogue ids, in order."""
    return [each.model for each in plan.candidates]
