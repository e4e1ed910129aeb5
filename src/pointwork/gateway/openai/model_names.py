"""``GET /v1/models``: the names a request may give as its model."""

from collections.abc import Iterator
from typing import Any

from fastapi import APIRouter

from pointwork.gateway.access import KeyFirst, Reader
from pointwork.gateway.declaring import AUTO
from pointwork.gateway.problems import ProblemError
from pointwork.gateway.rules import Rules
from pointwork.policy.bundle import PolicyLibrary

router = APIRouter(tags=["OpenAI"], route_class=KeyFirst)
_OWNER = "pointwork"


@router.get("/models")
async def list_models(caller: Reader, rules: Rules) -> dict[str, Any]:
    """``auto``, then each class of each pack, then each model with the packs it belongs to."""
    return {"object": "list", "data": list(_entries(rules))}


@router.get("/models/{name:path}")
async def retrieve_model(name: str, caller: Reader, rules: Rules) -> dict[str, Any]:
    """One of them.

    Raises:
        ProblemError: 404 where nothing has the name.
    """
    for entry in _entries(rules):
        if entry["id"] == name:
            return entry
    raise ProblemError(
        404, "model_not_found", f"model {name!r} is not known; see /v1/models", "model"
    )


def _entries(library: PolicyLibrary) -> Iterator[dict[str, Any]]:
    yield _entry(AUTO, _OWNER)
    models: dict[str, str] = {}
    packs: dict[str, list[str]] = {}
    for pack in library.packs:
        bundle = library.active(pack)
        yield _entry(f"{pack}/{AUTO}", _OWNER)
        for task_class in sorted(bundle.pack.classes):
            yield _entry(f"{pack}/{task_class}", _OWNER)
        for name, each in bundle.models.items():
            models[name] = each.model.vendor
            packs.setdefault(name, []).append(pack)
    for name, vendor in sorted(models.items()):
        yield _entry(name, vendor) | {"pointwork": {"packs": packs[name]}}


def _entry(name: str, owner: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": owner}
