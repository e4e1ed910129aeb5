"""What one decision costs: over 60 models, against a hand-written ``min()``, and as models grow.

The tasks are a seeded mix of what a house sends in a day: mostly plain work with a declared class,
some of it sensitive, some after a failure, some with an endpoint down or a budget nearly spent.
The catalogue is made up of the shipped one's models under new names and prices, so that a pack has
as many as a measurement wants.

The hand-written ``min()`` is what one would write without an engine: the same checks of the same
facts on plain tuples, the cheapest permitted model returned, and nothing recorded of the others.
Before anything is timed, it must permit exactly the models the engine's filters permit.
"""

import argparse
import math
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from pointwork.contract.decision import DecisionInput, GrantKind
from pointwork.contract.failures import ProviderFailureKind
from pointwork.contract.money import TOKENS_PER_MTOK, PriceTier
from pointwork.contract.task import PrivacyTier, Sensitivity
from pointwork.policy.bundle import PolicyBundle
from pointwork.policy.decide import decide
from pointwork.policy.documents.load import load_library, load_pack
from pointwork.policy.documents.pack import Pack
from pointwork.policy.documents.routes import TaskClass
from pointwork.policy.documents.strict_yaml import PolicyError
from pointwork.policy.engine.facts import Facts
from pointwork.policy.engine.filters import refusals
from pointwork.policy.proving.situation import Failed, Granted, Situation
from tests.policy.bad_documents import BAD

POLICIES = Path(__file__).resolve().parent.parent / "policies"
HOST = "rtx5090"
MODELS = 60
GROWTH = (10, 100, 1_000)
TASKS = 400
SEED = 20_260_304
_PUBLIC, _INTERNAL, _SENSITIVE = Sensitivity.PUBLIC, Sensitivity.INTERNAL, Sensitivity.SENSITIVE


def enlarged(bundle: PolicyBundle, count: int) -> PolicyBundle:
    """``bundle`` over ``count`` models, each a renamed and repriced copy of a shipped one."""
    rng = random.Random(SEED)
    names, models = sorted(bundle.models), {}
    for number in range(count):
        base = bundle.models[names[number % len(names)]]
        tiers = tuple(_repriced(tier, rng.uniform(0.5, 2)) for tier in base.tiers)
        update = {"tiers": tiers}
        models[f"model-{number:04}-{names[number % len(names)]}"] = base.model_copy(update=update)
    local = tuple(n for n, each in models.items() if each.endpoint.adapter == "local")
    host = bundle.host.model_copy(update={"local_models": local})
    return PolicyBundle(pack=bundle.pack, models=models, host=host)


def _repriced(tier: PriceTier, factor: float) -> PriceTier:
    prices = ("input_per_mtok", "output_per_mtok", "cached_input_per_mtok", "cache_write_per_mtok")
    return tier.model_copy(update={name: int(getattr(tier, name) * factor) for name in prices})


def mix(bundle: PolicyBundle, seed: int = 0, count: int = TASKS) -> list[DecisionInput]:
    """``count`` tasks as a house sends them, for ``bundle`` and its endpoints."""
    rng = random.Random(SEED + seed)
    return [_task(bundle, rng).facts(bundle) for _ in range(count)]


def _now_and_then(rng: random.Random, share: float, make: Callable[[], Any], otherwise: Any) -> Any:
    return make() if rng.random() < share else otherwise


def _task(bundle: PolicyBundle, rng: random.Random) -> Situation:
    now_and_then = partial(_now_and_then, rng)
    names = list(bundle.models)
    endpoints = sorted({each.model.endpoint for each in bundle.models.values()})
    classes = list(bundle.pack.classes)
    marks = [*bundle.pack.local_marks, *bundle.pack.mark_routes] or ["urgent"]
    return Situation(
        task_class=rng.choice(classes),
        sensitivity=rng.choices(
            (_PUBLIC, _INTERNAL, _SENSITIVE, Sensitivity.RESTRICTED, None), (35, 40, 10, 3, 12)
        )[0],
        marks=now_and_then(0.05, lambda: (rng.choice(marks),), ()),
        items=now_and_then(0.03, lambda: 150, 1),
        privacy_tier=now_and_then(0.05, lambda: rng.choice(list(PrivacyTier)), PrivacyTier.ANY),
        residency=now_and_then(0.05, lambda: ("US",), ()),
        requested_model=now_and_then(0.03, lambda: rng.choice(names), None),
        justification=now_and_then(0.2, lambda: "The board decides on it.", ""),
        output_tokens=rng.choice((256, 512, 1_024, 2_048)),
        input_bytes=int(200 * 300 ** rng.random()),
        image=rng.random() < 0.05,
        answer_schema=rng.random() < 0.15,
        without_keys=now_and_then(0.05, lambda: (rng.choice(endpoints),), ()),
        down=now_and_then(0.05, lambda: (rng.choice(endpoints),), ()),
        limited_seconds=now_and_then(0.05, lambda: {rng.choice(endpoints): 30}, {}),
        budget_spent=now_and_then(0.9, lambda: rng.randint(0, 20_100_000_000), None),
        failed=now_and_then(
            0.1,
            lambda: (Failed(model=rng.choice(names), kind=rng.choice(_FAILURES)),),
            (),
        ),
        grants=now_and_then(
            0.05, lambda: (Granted(kind=rng.choice(list(GrantKind)), ceiling=1_000_000_000),), ()
        ),
    )


_FAILURES = (None, *ProviderFailureKind)


class Plain(NamedTuple):
    """A model as one would write it down without an engine."""

    name: str
    endpoint: str
    family: str
    is_local: bool
    on_host: bool
    is_frontier: bool
    is_personal: bool
    is_retired: bool
    approved: bool
    regions: frozenset[str]
    capabilities: frozenset[str]
    context_tokens: int
    output_tokens_max: int
    has_price: bool
    input_price: int
    output_price: int


class Asked(NamedTuple):
    """What one task asks and what the world allows it, worked out once a task."""

    no_way_out: bool
    approved_only: bool
    regions: frozenset[str]
    no_frontier: bool
    purposes: frozenset[str]
    """Families whose frontier models this task has a purpose for."""
    cloud_only: bool
    needs: frozenset[str]
    input_tokens: int
    input_tokens_likely: int
    output_tokens: int
    shut: frozenset[str]
    """Endpoints with no key, no answer or a rate limit."""
    failed: frozenset[str]
    left: int | None
    ceilings: dict[str, int]


def plain_models(bundle: PolicyBundle) -> list[Plain]:
    return [
        Plain(
            name=each.name,
            endpoint=each.endpoint,
            family=each.family,
            is_local=each.is_local,
            on_host=each.on_host,
            is_frontier=each.is_frontier,
            is_personal=each.is_personal,
            is_retired=each.is_retired,
            approved=each.approved,
            regions=frozenset(each.priced.endpoint.residency),
            capabilities=each.capabilities,
            context_tokens=each.context_tokens,
            output_tokens_max=each.output_tokens_max,
            has_price=each.has_price,
            input_price=each.input_price,
            output_price=each.output_price,
        )
        for each in bundle.index.entries
    ]


def asked(given: DecisionInput, pack: Pack, endpoints: Sequence[str]) -> Asked:
    """The facts as the hand-written code reads them."""
    request, found, snapshot = given.request, given.classification, given.snapshot
    row = pack.classes[found.task_class or ""]
    levels = [request.sensitivity, found.detected_sensitivity, snapshot.conversation_sensitivity]
    levels += [each.sensitivity for each in (*request.data_classes, *found.detected_data_classes)]
    level = max((each.rank for each in levels if each is not None), default=-1)
    granted = {each.kind for each in given.grants}
    confirmed = (
        request.sensitivity or request.data_classes or GrantKind.DATA_CLASSIFICATION in granted
    )
    lets_out = level < Sensitivity.PROPRIETARY.rank or (
        level == _SENSITIVE.rank and GrantKind.SENSITIVE_EGRESS in granted
    )
    at_home = any(mark in pack.local_marks for mark in request.marks)
    volume = pack.high_volume_items
    open_at = {
        each.endpoint
        for each in snapshot.endpoints
        if each.has_credentials
        and each.is_healthy
        and (each.rate_limited_until is None or each.rate_limited_until <= snapshot.taken_at)
    }
    image = {"vision"} if found.has_image else set()
    schema = {"json_schema"} if request.answer_schema else set()
    budgets = () if GrantKind.BUDGET in granted else snapshot.budgets
    cost = max((g.ceiling_nano_usd for g in given.grants if g.kind is GrantKind.COST), default=0)
    cells = pack.ceilings.get(found.task_class or "", {})
    return Asked(
        no_way_out=level == Sensitivity.RESTRICTED.rank
        or request.privacy_tier is PrivacyTier.LOCAL_ONLY
        or at_home
        or (volume is not None and request.item_count >= volume)
        or not confirmed,
        approved_only=request.privacy_tier is PrivacyTier.APPROVED_PRIVATE or not lets_out,
        regions=frozenset(request.residency),
        no_frontier=row.frontier_purpose is None,
        purposes=frozenset(pack.mark_routes[m] for m in request.marks if m in pack.mark_routes),
        cloud_only=row.cloud_only,
        needs=frozenset({*row.needs, *image, *schema}),
        input_tokens=found.input_tokens_max,
        input_tokens_likely=-(-found.input_tokens_max // 3),
        output_tokens=_output_tokens(given, row),
        shut=frozenset(each for each in endpoints if each not in open_at),
        failed=frozenset(each.model for each in given.failed),
        left=min((s.limit_nano_usd - s.committed_nano_usd for s in budgets), default=None),
        ceilings={f: max(cells.get(f, row.ceiling or 0), cost) for f in pack.families},
    )


def _output_tokens(given: DecisionInput, row: TaskClass) -> int:
    most = given.request.constraints.max_output_tokens
    return min(most, row.max_output_tokens or most)


def permitted(model: Plain, task: Asked) -> bool:
    """The filters, one after another; the first that refuses ends it."""
    if not model.is_local:
        if task.no_way_out or (task.approved_only and not model.approved):
            return False
        if task.regions and not (model.regions and model.regions <= task.regions):
            return False
    elif task.cloud_only:
        return False
    if not model.on_host or model.is_retired or model.is_personal or not model.has_price:
        return False
    if model.is_frontier and task.no_frontier and model.family not in task.purposes:
        return False
    output = min(task.output_tokens, model.output_tokens_max)
    if not task.needs <= model.capabilities:
        return False
    if task.input_tokens_likely + output > model.context_tokens:
        return False
    if model.endpoint in task.shut or model.name in task.failed:
        return False
    cost = estimate(model, task)
    return (task.left is None or cost <= task.left) and cost <= task.ceilings[model.family]


def estimate(model: Plain, task: Asked) -> int:
    output = min(task.output_tokens, model.output_tokens_max)
    spent = task.input_tokens * model.input_price + output * model.output_price
    return -(-spent // TOKENS_PER_MTOK)


def cheapest(
    given: DecisionInput, pack: Pack, models: Sequence[Plain], endpoints: Sequence[str]
) -> Plain | None:
    """The hand-written decision."""
    task = asked(given, pack, endpoints)
    return min(
        (model for model in models if permitted(model, task)),
        key=lambda model: (estimate(model, task), model.name),
        default=None,
    )


def check_agreement(bundle: PolicyBundle, tasks: Sequence[DecisionInput]) -> int:
    """How many models both permit over all ``tasks``. They must never differ."""
    models, endpoints, both = plain_models(bundle), sorted(bundle.index.endpoints), 0
    for given in tasks:
        name = given.classification.task_class or ""
        facts = Facts(given, bundle, name, bundle.pack.classes[name])
        refused = refusals(facts)
        engine = {each.name for each in bundle.index.entries if each.name not in refused}
        task = asked(given, bundle.pack, endpoints)
        plain = {model.name for model in models if permitted(model, task)}
        if engine != plain:
            raise SystemExit(f"the two permit different models: {sorted(engine ^ plain)}")
        both += len(plain)
    return both


def seconds_each(work: Callable[[DecisionInput], object], tasks: Sequence[DecisionInput]) -> float:
    """Median time of one call over ``tasks``."""
    taken = []
    for given in tasks:
        started = time.perf_counter()
        work(given)
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)


def side_by_side(bundle: PolicyBundle, rounds: int) -> tuple[float, float]:
    """Median microseconds of ``decide`` and of the hand-written ``min()``, turn by turn.

    Each round has tasks that no round before it had, so that nothing kept of a task helps.
    """
    models, endpoints = plain_models(bundle), sorted(bundle.index.endpoints)
    ours = partial(decide, bundle=bundle)
    plain = partial(cheapest, pack=bundle.pack, models=models, endpoints=endpoints)
    found = []
    for number in range(rounds + 1):
        tasks = mix(bundle, number)
        found.append((seconds_each(ours, tasks), seconds_each(plain, tasks)))
    engine, hand = zip(*found[1:], strict=True)  # the first round warms up
    return statistics.median(engine) * 1e6, statistics.median(hand) * 1e6


def growth(bundle: PolicyBundle, rounds: int) -> None:
    medians = {}
    for count in GROWTH:
        larger = enlarged(bundle, count)
        medians[count], plain = side_by_side(larger, rounds)
        print(
            f"models={count} median_us={medians[count]:.1f} us_per_model="
            f"{medians[count] / count:.2f} min_us={plain:.1f}"
        )
    steps = list(pairwise(GROWTH))
    slopes = [math.log(medians[b] / medians[a]) / math.log(b / a) for a, b in steps]
    shown = ", ".join(f"{s:.2f} from {a} to {b}" for s, (a, b) in zip(slopes, steps, strict=True))
    print(f"growth: log-log slope {shown} (1 is linear)")


def shipped_packs(rounds: int) -> None:
    library = load_library(POLICIES, HOST)
    for name in library.packs:
        bundle = library.active(name)
        ours = partial(decide, bundle=bundle)
        each = statistics.median(seconds_each(ours, mix(bundle, n)) for n in range(rounds))
        print(f"pack={name} models={len(bundle.index.entries)} median_us={each * 1e6:.1f}")


def worst_refusal() -> tuple[float, str]:
    """The longest time any broken document took to be refused in milliseconds, and which.

    Each counts with the median of three tries, so that one turn of another process is not it.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "1.0.yaml"
        found = []
        for bad in BAD:
            path.write_bytes(bad.document)
            tries = [_seconds_to_refuse(path, bad.name) for _ in range(3)]
            found.append((statistics.median(tries) * 1e3, bad.name))
    return max(found)


def _seconds_to_refuse(path: Path, name: str) -> float:
    started = time.perf_counter()
    try:
        load_pack(path, POLICIES, HOST)
    except PolicyError:
        return time.perf_counter() - started
    raise SystemExit(f"{name} was not refused")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=7, help="medians are taken over this many")
    rounds = parser.parse_args().rounds
    base = load_library(POLICIES, HOST).active("omega")
    shipped_packs(rounds)
    growth(base, rounds)
    milliseconds, name = worst_refusal()
    print(f"worst_refusal_ms={milliseconds:.1f} of {len(BAD)} broken documents ({name})")
    bundle = enlarged(base, MODELS)
    tasks = mix(bundle)
    both = check_agreement(bundle, tasks)
    ours, plain = side_by_side(bundle, rounds)
    print(
        f"{MODELS} models, {len(tasks)} tasks, {both / len(tasks):.1f} models permitted a task: "
        f"decide {ours:.1f} us, hand-written min() {plain:.1f} us"
    )
    print(f"median_us={ours:.1f} ratio={ours / plain:.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
