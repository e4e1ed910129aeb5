"""Cases as data: one decision a file, its name the sentence it proves (policies/cases/<pack>/)."""

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any, Self

from pydantic import Field, model_validator

from pointwork.contract.decision import (
    Effect,
    GrantKind,
    MoveKind,
    Obligation,
    Plan,
    Site,
    TriggerName,
)
from pointwork.contract.reasons import ReasonCode
from pointwork.contract.task import Name
from pointwork.policy.bundle import PolicyBundle
from pointwork.policy.decide import decide
from pointwork.policy.documents.document import Document, Usd
from pointwork.policy.documents.pack import Pack
from pointwork.policy.documents.strict_yaml import read_document
from pointwork.policy.proving.situation import Situation

_FREE = {
    "input_per_mtok": 0,
    "output_per_mtok": 0,
    "cached_input_per_mtok": 0,
    "cache_write_per_mtok": 0,
}


class World(Document):
    """How the catalogue differs from the shipped one."""

    host: Name = "embedded"
    free: tuple[Name, ...] = ()
    """Models that cost nothing here, so nothing is cheaper than they."""
    prices: dict[Name, Usd] = Field(default_factory=dict)
    """USD a million tokens, read or written, so that a cheap model can reach a ceiling."""
    unpriced: tuple[Name, ...] = ()
    approved_private: tuple[Name, ...] = ()
    retired: tuple[Name, ...] = ()

    def of(self, bundle: PolicyBundle) -> PolicyBundle:
        """``bundle`` with the changes made; the same one where there are none."""
        if self == World(host=self.host):
            return bundle
        models = dict(bundle.models)
        for name in self.free:
            tiers = tuple(tier.model_copy(update=_FREE) for tier in models[name].tiers)
            models[name] = models[name].model_copy(update={"tiers": tiers})
        for name, usd in self.prices.items():
            paid = {"input_per_mtok": usd, "output_per_mtok": usd}
            tiers = tuple(tier.model_copy(update=paid) for tier in models[name].tiers)
            models[name] = models[name].model_copy(update={"tiers": tiers})
        for name in self.unpriced:
            models[name] = models[name].model_copy(update={"tiers": ()})
        for name in self.retired:
            gone = models[name].model.model_copy(update={"retired_on": date(2026, 1, 1)})
            models[name] = models[name].model_copy(update={"model": gone})
        for name in self.approved_private:
            site = models[name].endpoint.model_copy(update={"site": Site.PRIVATE})
            models[name] = models[name].model_copy(update={"endpoint": site})
        return PolicyBundle(pack=self._pack(bundle), models=models, host=bundle.host)

    def _pack(self, bundle: PolicyBundle) -> Pack:
        if not self.approved_private:
            return bundle.pack
        listed = [
            {"model": name, "approver": "ada", "approved_on": "2026-03-01"}
            for name in self.approved_private
        ]
        privacy = bundle.pack.privacy.model_dump() | {"approved_private_models": listed}
        return Pack.model_validate(bundle.pack.model_dump() | {"privacy": privacy})


class Expected(Document):
    """What the plan must show; a field left out is not looked at."""

    effect: Effect
    first: Name | None = None
    candidates: tuple[Name, ...] | None = None
    trigger: TriggerName | None = None
    move: MoveKind | None = None
    obligations: tuple[Obligation, ...] | None = None
    reason: ReasonCode | None = None
    hold_for: GrantKind | None = None
    refused: dict[Name, ReasonCode] = Field(default_factory=dict)
    factor: str | None = None

    @model_validator(mode="after")
    def _says_enough(self) -> Self:
        runs = self.effect is Effect.RUN
        if (self.first is None) == runs or (self.reason is None) != runs:
            msg = "give `first` where the task runs and `reason` where it does not"
            raise ValueError(msg)
        if (self.hold_for is None) == (self.effect is Effect.HOLD):
            msg = "give `hold_for` where the task is held, and only there"
            raise ValueError(msg)
        return self

    def shown_by(self, plan: Plan) -> "Expected":
        """The same statement about ``plan``, so that a comparison shows every difference."""
        first = plan.candidates[0] if plan.candidates else None
        refused = {each.model: each.reason for each in plan.rejected}
        move = first.move.kind if first and first.move else None
        names = tuple(each.model for each in plan.candidates)
        return Expected.model_construct(
            effect=plan.effect,
            first=first.model if first else None,
            candidates=None if self.candidates is None else names,
            trigger=first.trigger if first and self.trigger else None,
            move=move if self.move else None,
            obligations=None if self.obligations is None else tuple(sorted(plan.obligations)),
            reason=plan.reason,
            hold_for=plan.hold_for,
            refused={name: refused[name] for name in self.refused if name in refused},
            factor=None if self.factor is None else plan.factor,
        )

    @property
    def in_order(self) -> "Expected":
        listed = self.obligations
        return self.model_copy(update={"obligations": listed and tuple(sorted(listed))})


class Case(Document):
    """A situation, the decision it must get, and the rules of the pack it is evidence for."""

    given: Situation
    world: World = World()
    expect: Expected
    fires: tuple[str, ...] = ()
    """Ids of rules that decide this case (`pointwork policy test PACK --rules` lists them)."""
    misses: tuple[str, ...] = ()
    """Ids of rules that this case just misses: with ``but_for`` they would fire."""
    but_for: dict[str, Any] = Field(default_factory=dict)
    """Fields of ``given`` that would have to be so for ``misses`` to fire."""

    @model_validator(mode="after")
    def _a_miss_is_near(self) -> Self:
        if bool(self.misses) != bool(self.but_for):
            msg = "misses and but_for go together: say what the case just misses, and by what"
            raise ValueError(msg)
        return self

    def nearly(self) -> Situation:
        """The situation in which ``misses`` fire."""
        return Situation.model_validate(self.given.model_dump(exclude_unset=True) | self.but_for)


def read_cases(folder: Path) -> dict[Path, Case]:
    """Every case of one pack.

    Raises:
        PolicyError: a file is no case; the text names the file, the line and the field.
    """
    return {path: read_document(path, Case) for path in sorted(folder.glob("*.yaml"))}


def differences(case: Case, bundles: Mapping[str, PolicyBundle]) -> list[str]:
    """How the decision differs from what the case expects; empty where it is as expected."""
    bundle = case.world.of(bundles[case.world.host])
    plan = decide(case.given.facts(bundle), bundle)
    wanted = case.expect.in_order.model_dump()
    shown = case.expect.shown_by(plan).model_dump()
    return [
        f"{field}: expected {wanted[field]}, decided {shown[field]}"
        for field in wanted
        if wanted[field] != shown[field]
    ]
