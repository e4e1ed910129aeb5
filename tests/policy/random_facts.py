"""Random tasks in random states of the world, for any pack: what its own rules look at, and more.

Everything is drawn from a ``random.Random``, so that a seed names a whole run, and Hypothesis can
bring its own and shrink what it draws.
"""

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from pointwork.contract.budget_windows import BudgetSetting
from pointwork.contract.decision import DecisionInput, GrantKind, WindowSpec
from pointwork.contract.failures import ProviderFailureKind
from pointwork.contract.overlay import Overlay, OverlayPlace
from pointwork.contract.override import Override, OverrideDuration, OverrideScope
from pointwork.contract.snapshot import (
    BudgetSignal,
    EvalSignal,
    GuardrailVerdict,
    ReceiptKind,
    ResourceSignal,
)
from pointwork.contract.task import (
    OUTPUT_TOKENS_MAX,
    Complexity,
    DataClass,
    GateResult,
    Lane,
    PrivacyTier,
    Risk,
    Sensitivity,
    SpecFacts,
    TaskRequest,
)
from pointwork.policy.bundle import PolicyBundle
from pointwork.policy.documents.conditions import Condition
from pointwork.policy.documents.load import load_pack
from pointwork.policy.documents.pack import Pack
from pointwork.policy.engine.windows import Subjects, standing_windows, subjects_of
from pointwork.policy.proving.situation import NOW, TASK_ID, Failed, Granted, Received, Situation
from tests.fakes.policy_facts import POLICIES, shipped

SHIPPED = (
    ("codex", "rtx5090"),
    ("juggernaut", "embedded"),
    ("omega", "embedded"),
    ("socioprophet", "laptop"),
)
MADE_UP = (("roles", "rtx5090"), ("numbers", "embedded"), ("steps", "laptop"))
REGIONS = ("US", "CN", "EU")
TOOLS = ("execute", "network", "read", "test", "write")
POOL = 1_500
"""Different requests, classifications and snapshots that ``fact_sets`` combines."""


def present() -> tuple[tuple[str, str], ...]:
    """The shipped packs that the repository holds, and those made up for tests."""
    return (*((p, h) for p, h in SHIPPED if (POLICIES / p).is_dir()), *MADE_UP)


@cache
def bundle_of(pack: str, host: str) -> PolicyBundle:
    if (pack, host) in MADE_UP:
        return load_pack(Path(__file__).parent / "packs" / f"{pack}.yaml", POLICIES, host)
    return shipped(pack, host)


class Words:
    """What the rules of a bundle name, and what they do not."""

    def __init__(self, bundle: PolicyBundle) -> None:
        pack = bundle.pack
        declared = pack.facts
        ruled = (*pack.local_marks, *pack.mark_routes, *pack.high_risk_marks)
        self.classes = tuple(pack.classes)
        self.marks = tuple(declared.marks) if declared else (*ruled, "urgent")
        self.limits = _limits(pack)
        self.stages = tuple(pack.stages) or ("plan",)
        self.reasons = pack.escalation_reasons or ("scope_grew",)
        self.models = tuple(bundle.models)
        self.endpoints = tuple(sorted({e.model.endpoint for e in bundle.models.values()}))
        self.personal = tuple(n for n, e in bundle.models.items() if e.model.personal)
        self.items = (1, 1, 1, *_around(pack.high_volume_items or 100))
        spec = pack.spec
        self.roles = tuple(each.role for each in spec.roles) if spec else self.classes
        self.spec_versions = (spec.policy_version, "0.9", "") if spec else ("1.0", "")


@cache
def _words_of(sha256: str) -> dict[str, Words]:
    return {}


def words_of(bundle: PolicyBundle) -> Words:
    """Kept by the bundle's hash: two equal bundles have the same words."""
    kept = _words_of(bundle.sha256)
    return kept.setdefault("words", Words(bundle)) if not kept else kept["words"]


def _limits(pack: Pack) -> dict[str, tuple[Decimal, ...]]:
    """Every value that a rule compares a measure with, and its neighbours."""
    found: dict[str, set[Decimal]] = {}
    for condition in _conditions(pack):
        for name, bound in _bounds(condition):
            found.setdefault(name, {Decimal(0)}).update(map(Decimal, _around(bound)))
    declared = pack.facts.measures if pack.facts else {}
    for name in declared:
        found.setdefault(name, {Decimal(n) for n in range(4)})
    for row in pack.classes.values():
        if row.session:
            found["session_turns"] = set(map(Decimal, _around(row.session.turns_max)))
            found["session_minutes"] = set(map(Decimal, _around(row.session.minutes_max)))
    known = set(declared) if pack.facts else set(found)
    return {name: tuple(sorted(values)) for name, values in found.items() if name in known}


def _conditions(pack: Pack) -> Iterator[Condition]:
    for row in pack.classes.values():
        yield from (rule.when for rule in row.routes)
        yield from (each for each in (row.second_opinion, row.review_when) if each)
    yield from (floor.when for floor in pack.lane_floors)
    yield from (rule.opens_when for rule in pack.lanes.values() if rule.opens_when)


def _bounds(condition: Condition) -> Iterator[tuple[str, Decimal]]:
    for bound in (condition.above, condition.at_least, condition.below, condition.at_most):
        if condition.measure and bound is not None:
            yield condition.measure, bound
    for each in (*condition.any_of, *condition.all_of, *condition.none_of):
        yield from _bounds(each)


def _around(value: Any) -> tuple[Any, ...]:
    """Just below, at and just above, in the steps such a value is written in."""
    step = 1 if value == int(value) else Decimal("0.01")
    return (max(value - step, type(value)(0)), value, value + step)


def situation(rng: Random, bundle: PolicyBundle) -> Situation:
    """Any task in any state of the world, the absurd included, but mostly one that could run."""
    words = words_of(bundle)
    return Situation(
        **_task(rng, words), **_content(rng, words), **_world(rng, words, bundle.pack.pack)
    )


def facts_of(rng: Random, bundle: PolicyBundle) -> DecisionInput:
    """A random situation as ``decide`` reads it, now and then with budgets that an owner set."""
    facts = situation(rng, bundle).facts(bundle)
    standing = standing_windows(
        bundle.pack, _settings(rng, bundle), NOW, _charged(facts.request, bundle)
    )
    signals = {each.window: each for each in facts.snapshot.budgets}
    if rng.random() < 0.97:
        signals |= {each.key: _reading(rng, each) for each in standing}
    is_stopped = rng.random() < 0.1
    budgets = tuple(
        each.model_copy(update={"is_stopped": is_stopped and rng.random() < 0.5})
        for _, each in sorted(signals.items())
    )
    update = {"standing": standing, "budgets": budgets}
    return facts.model_copy(update={"snapshot": facts.snapshot.model_copy(update=update)})


def _charged(request: TaskRequest, bundle: PolicyBundle) -> Subjects:
    entries = bundle.index.entries
    return subjects_of(
        request.caller,
        classes=tuple(bundle.pack.classes),
        worker=request.worker,
        vendors=sorted({each.vendor for each in entries}),
        models=[each.name for each in entries],
    )


def _settings(rng: Random, bundle: PolicyBundle) -> list[BudgetSetting]:
    """Of any scope, for one or for each, of this pack or over every pack, some given back."""
    if rng.random() < 0.75:
        return []
    any_task = Situation(worker="night-shift").facts(bundle).request
    named = {"pack": (), **_charged(any_task, bundle)}
    found = []
    for version in range(1, rng.randint(2, 4)):
        scope = rng.choice(sorted(named))
        pack = rng.choice((bundle.pack.pack, "all"))
        subject = pack if scope == "pack" else rng.choice(("*", *named[scope]))
        found.append(
            BudgetSetting.model_validate(
                {
                    "version": version,
                    "pack": pack,
                    "scope": scope,
                    "subject": subject,
                    "period": rng.choice(("day", "week", "month")),
                    "limit_nano_usd": rng.choice((None, 0, 10 ** rng.randint(1, 11))),
                    "alert_ratio": rng.choice((None, Decimal("0.8"))),
                    "set_by": "ada",
                    "reason": "The quarter is closing.",
                    "set_at": NOW,
                }
            )
        )
    return found


def _reading(rng: Random, window: WindowSpec) -> BudgetSignal:
    """Mostly with enough left; a bill may have broken the limit."""
    spent = window.limit_nano_usd * _often(rng, 0, 1, 2, share=0.8)
    return BudgetSignal(
        window=window.key, limit_nano_usd=window.limit_nano_usd, committed_nano_usd=spent
    )


def _often(rng: Random, usual: Any, *others: Any, share: float = 0.75) -> Any:
    return usual if rng.random() < share else rng.choice(others)


def _some(rng: Random, values: tuple[Any, ...], share: float = 0.3) -> tuple[Any, ...]:
    if rng.random() >= share:
        return ()
    return tuple(rng.sample(values, rng.randint(0, min(len(values), 3))))


def _task(rng: Random, words: Words) -> dict[str, Any]:
    names = _some(rng, tuple(words.limits), 0.6)
    return {
        "task_class": _often(rng, rng.choice(words.classes), None, "no_such_class", share=0.98),
        "marks": _often(rng, _some(rng, words.marks, 0.6), ("strange_mark",), share=0.98),
        "found_marks": _some(rng, words.marks, 0.2),
        "items": rng.choice(words.items),
        "risk": _often(rng, Risk.ROUTINE, Risk.HIGH),
        "complexity": _often(rng, None, *Complexity),
        "measures": {name: rng.choice(words.limits[name]) for name in names},
        "stage": _often(rng, rng.choice((None, *words.stages)), "strange", share=0.98),
        "previous_lane": _often(rng, None, *Lane),
        "escalation_reason": _often(rng, None, *words.reasons, "strange", share=0.5),
        "tools": _some(rng, TOOLS),
        "subject": _often(rng, None, "ada"),
        "conversation_id": _often(rng, "talk-1", None),
        "requested_model": _often(rng, None, *words.models, "no-such-model", share=0.9),
        "justification": rng.choice(("", "  ", "The board decides on it.")),
        "output_tokens": _often(rng, 512, rng.randint(1, OUTPUT_TOKENS_MAX)),
        "answer_schema": rng.random() < 0.2,
        "spec": _often(rng, None, _spec(rng, words), share=0.85),
        "gate_results": _often(rng, (), _gate_results(rng), share=0.9),
    }


def _gate_results(rng: Random) -> tuple[GateResult, ...]:
    stage = rng.choice(("stage0", "architect", "implementer"))
    gate = _often(rng, "constitution", "compiler_and_tests", "strange")
    return (GateResult(stage=stage, gate=gate, passed=rng.random() < 0.7),)


def _spec(rng: Random, words: Words) -> SpecFacts:
    return SpecFacts(
        name="spec-1",
        policy_version=_often(rng, *words.spec_versions, share=0.85),
        roles=tuple(role for role in words.roles if rng.random() < 0.85),
        local_only=rng.random() < 0.2,
        high_risk=rng.random() < 0.3,
        infrastructure_only=rng.random() < 0.05,
    )


def _content(rng: Random, words: Words) -> dict[str, Any]:
    sensitive = (None, Sensitivity.INTERNAL, *Sensitivity)
    return {
        "sensitivity": _often(rng, Sensitivity.PUBLIC, *sensitive, share=0.5),
        "data_classes": _some(rng, tuple(DataClass), 0.15),
        "detected": _often(rng, None, *Sensitivity, share=0.9),
        "detected_data_classes": _some(rng, tuple(DataClass), 0.1),
        "conversation": _often(rng, None, *Sensitivity, share=0.9),
        "caller": _often(rng, "billing", "tutor", share=0.95),
        "worker": _often(rng, None, "night-shift"),
        "privacy_tier": _often(rng, PrivacyTier.ANY, *PrivacyTier),
        "residency": _some(rng, REGIONS, 0.1),
        "input_bytes": int(10 ** rng.uniform(0, 4 if rng.random() < 0.8 else 6.2)),
        "image": rng.random() < 0.1,
        "estimated_complexity": _often(rng, None, *Complexity),
    }


def _world(rng: Random, words: Words, pack: str) -> dict[str, Any]:
    room = ResourceSignal(free_memory_mb=16_000, load_ratio=Decimal("0.2"))
    full = ResourceSignal(free_memory_mb=rng.randint(0, 8_000), load_ratio=Decimal("0.9"))
    latencies = {name: rng.randint(100, 30_000) for name in _some(rng, words.models)}
    spent = _often(rng, None, rng.randint(0, 3_000_000_000), share=0.6)
    left = rng.randint(0, 10 ** rng.randint(1, 10))
    return {
        "without_keys": _some(rng, words.endpoints, 0.1),
        "down": _some(rng, words.endpoints, 0.15),
        "limited_seconds": {e: rng.randint(-60, 60) for e in _some(rng, words.endpoints, 0.15)},
        "without_signals": _some(rng, words.endpoints, 0.02),
        "budget_left": _often(rng, None, left, share=0.9),
        "budget_spent": spent,
        "budgets_missing": rng.random() < 0.03,
        "quotas": _often(
            rng,
            {e: rng.choice((0, 1, None)) for e in _some(rng, words.endpoints)},
            None,
            share=0.97,
        ),
        "resources": _often(rng, room, full, None),
        "latencies": _often(rng, latencies, None, share=0.97),
        "evals": _often(rng, None, tuple(_eval(rng, words, name) for name in words.models)),
        "guardrail": _often(rng, GuardrailVerdict.ALLOW, None, *GuardrailVerdict, share=0.95),
        "failed": tuple(failed(rng, words) for _ in range(_often(rng, 0, 1, 2, 3, share=0.6))),
        "grants": tuple(
            Granted(kind=kind, ceiling=rng.randint(0, 3_000_000_000))
            for kind in _some(rng, tuple(GrantKind))
        ),
        "receipts": tuple(_receipt(rng, words, kind) for kind in _receipts(rng)),
        "overrides": _often(rng, (), (_override(rng, words),), share=0.9),
        "overlay": _often(rng, None, _overlay(rng, words, pack), share=0.85),
    }


def _eval(rng: Random, words: Words, model: str) -> EvalSignal:
    share = Decimal(rng.randint(0, 20)) / 20
    return EvalSignal(model=model, task_class=rng.choice(words.classes), confidence=share)


def failed(rng: Random, words: Words) -> Failed:
    kind = _often(rng, None, *ProviderFailureKind, share=0.5)
    return Failed(model=rng.choice((*words.models, "retired-model")), kind=kind)


def _receipts(rng: Random) -> tuple[ReceiptKind, ...]:
    kinds = tuple(ReceiptKind)
    return kinds if rng.random() < 0.4 else tuple(k for k in kinds if rng.random() < 0.5)


def _receipt(rng: Random, words: Words, kind: ReceiptKind) -> Received:
    is_of_user = kind is ReceiptKind.PERSONALISATION_CONSENT or rng.random() < 0.1
    return Received(
        kind=kind,
        reason=rng.choice((None, *words.reasons)),
        subject=rng.choice(("ada", "bob")) if is_of_user else None,
        model=rng.choice(words.personal) if words.personal else None,
        task_id=_often(rng, TASK_ID, "task-2", share=0.95),
        expires_in_seconds=_often(rng, 3600, 0, 1, -1, share=0.9),
    )


def _override(rng: Random, words: Words) -> Override:
    return Override(
        override_id="override-1",
        model=rng.choice((*words.models, "no-such-model")),
        scope=rng.choice(list(OverrideScope)),
        task_id=TASK_ID,
        conversation="talk-1",
        starts_at=NOW + timedelta(seconds=rng.randint(-2, 1)),
        ends_at=rng.choice((None, NOW, NOW + timedelta(seconds=1))),
        duration=rng.choice(list(OverrideDuration)),
        reason="The board wants this one.",
        approver="ada",
        cost_impact_nano_usd=1,
        acknowledged_at=rng.choice((None, NOW, NOW)),
        revoked_at=_often(rng, None, NOW),
        session_ended_at=_often(rng, None, NOW),
        used_by=rng.choice((None, TASK_ID, "task-2")),
    )


def _overlay(rng: Random, words: Words, pack: str) -> Overlay:
    named = rng.sample(words.models, min(2, len(words.models)))
    return Overlay(
        pack=pack,
        version=1,
        parent=None,
        created_at=NOW,
        reason="Lately so.",
        windows_sha256="0" * 64,
        places=tuple(
            OverlayPlace(task_class=rng.choice(words.classes), model=n, shift=rng.choice((-1, 1)))
            for n in named
        ),
    )


def fact_sets(rng: Random, bundle: PolicyBundle, pool: int = POOL) -> Iterator[DecisionInput]:
    """Without end: a random request, what was found in a text, and a state of the world.

    The three are drawn apart from each other out of validated ones, which is what makes a hundred
    thousand of them cheap.
    """
    drawn = [facts_of(rng, bundle) for _ in range(pool)]
    while True:
        yield DecisionInput.model_construct(
            request=rng.choice(drawn).request,
            classification=rng.choice(drawn).classification,
            snapshot=rng.choice(drawn).snapshot,
            failed=rng.choice(drawn).failed,
            grants=rng.choice(drawn).grants,
        )
