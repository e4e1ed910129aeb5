"""The routing policies in the structure Milestone 6 gives them (JG-4, JG-5).

A view of the pack's own document, which stays the only source: nothing is decided from here.
"""

from decimal import Decimal
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, model_validator

from pointwork.contract.money import NANO_PER_USD
from pointwork.contract.task import OUTPUT_TOKENS_MAX, Name
from pointwork.policy.bundle import PolicyBundle
from pointwork.policy.documents.pack import Pack
from pointwork.policy.engine.approved_routes import approved_routes

JsonNumber = Annotated[
    Decimal,
    Field(allow_inf_nan=False),
    PlainSerializer(float, return_type=float, when_used="json"),
]
"""Exact in Python; a plain number in JSON, as the source document writes it."""


class _Shape(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ListedModel(_Shape):
    """A model of a policy; the lowest ``priority`` is tried first."""

    provider: Name
    """The model's maker."""
    model: Name
    priority: Annotated[int, Field(ge=1)]


class RoutingPolicy(_Shape):
    """One policy. Every key is needed, and no two models share a priority."""

    name: Annotated[str, Field(min_length=1, max_length=50)]
    description: Annotated[str, Field(min_length=1)]
    models: Annotated[tuple[ListedModel, ...], Field(min_length=1)]
    max_cost_per_task: Annotated[JsonNumber, Field(ge=0)]
    """USD."""
    max_tokens: Annotated[int, Field(ge=1, le=OUTPUT_TOKENS_MAX)]
    temperature: Annotated[JsonNumber, Field(ge=0, le=2)]

    @model_validator(mode="after")
    def _listed_once(self) -> Self:
        for field in ("priority", "model"):
            found = [getattr(each, field) for each in self.models]
            twice = next((value for value in found if found.count(value) > 1), None)
            if twice is not None:
                msg = f"models: {field} {twice} is given twice; give each model its own"
                raise ValueError(msg)
        return self


def routing_policies(bundle: PolicyBundle) -> tuple[RoutingPolicy, ...]:
    """Every policy of the pack, in the pack's own order and without any overlay.

    Raises:
        ValueError: the pack leaves one of the values open, so it is not made of such policies.
    """
    routes = approved_routes(bundle)
    return tuple(_policy(bundle, name, routes[name]) for name in bundle.pack.classes)


def _policy(bundle: PolicyBundle, name: str, route: tuple[str, ...]) -> RoutingPolicy:
    row = bundle.pack.classes[name]
    if row.ceiling is None or row.max_output_tokens is None or row.temperature is None:
        msg = (
            f"classes.{name} of {_named(bundle.pack)} states no ceiling, max_output_tokens or "
            "temperature; add it, or take a pack of routing policies"
        )
        raise ValueError(msg)
    return RoutingPolicy(
        name=name,
        description=row.table.get("description", row.title or name),
        models=tuple(
            ListedModel(provider=bundle.models[model].model.vendor, model=model, priority=priority)
            for priority, model in enumerate(route, start=1)
        ),
        max_cost_per_task=Decimal(row.ceiling) / NANO_PER_USD,
        max_tokens=row.max_output_tokens,
        temperature=row.temperature,
    )


def _named(pack: Pack) -> str:
    return f"{pack.pack} {pack.version}"
