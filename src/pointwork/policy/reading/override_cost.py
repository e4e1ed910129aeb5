"""What an override is likely to cost: worst-case estimates of recorded tasks, with and without it.

Pure, like ``decide`` itself: the caller brings the records and says for how many tasks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from pointwork.contract.decision import DecisionInput, DecisionRecord, Plan
from pointwork.contract.money import format_usd
from pointwork.contract.override import Override, OverrideDuration, OverrideScope
from pointwork.contract.snapshot import Snapshot
from pointwork.policy.bundle import PolicyBundle
from pointwork.policy.decide import decide
from pointwork.policy.engine.overriding import without_overrides
from pointwork.policy.reading.replan import as_read_by


@dataclass(frozen=True)
class Reach:
    """For how many tasks an override is taken to hold, and how that is known."""

    tasks: int
    words: str


@dataclass(frozen=True)
class CostImpact:
    """The estimate a person is shown (OM-73)."""

    nano_usd: int
    basis: str


def cost_impact(
    model: str,
    bundle: PolicyBundle,
    sample: Sequence[DecisionRecord],
    whose: str,
    reach: Reach,
    task_class: str | None = None,
) -> CostImpact:
    """The mean difference of the first calls' estimates over ``sample``, times the reach.

    Each recorded task is decided twice under ``bundle``, on the facts and signals recorded then.
    Never below 0: an override that saves money is shown as one that costs none, and in words as
    what it saves. Without a record the class's ceiling for the model bounds it.

    Args:
        model: the catalogue id that would go first.
        bundle: the rules the override is an exception to.
        sample: first decisions of the tasks it is for, or of ones like them.
        whose: what those are tasks of, in words.
        reach: how many tasks it is taken to hold for.
        task_class: the only class it is for; None is any.
    """
    if not sample:
        most = _ceiling(model, bundle, task_class) * reach.tasks
        named = f"class {task_class}" if task_class else "the dearest class"
        basis = f"no task is recorded to estimate from: at most the ceiling of {named} for {model}"
        return CostImpact(most, f"{basis}, for {reach.words}")
    deltas = [_delta(model, bundle, each.input) for each in sample]
    total = sum(deltas) * reach.tasks
    mean = round(sum(deltas) / len(deltas))
    moved = sum(delta != 0 for delta in deltas)
    direction = "more" if mean >= 0 else "less"
    tasks = "1 recorded task" if len(sample) == 1 else f"{len(sample)} recorded tasks"
    basis = (
        f"{format_usd(abs(mean))} {direction} a task, the mean difference of worst-case estimates "
        f"over {tasks} of {whose}, {moved} of which it changes; for {reach.words}"
    )
    # Rounded up, so that many cheap tasks are never shown as none.
    return CostImpact(max(0, -(-total // len(deltas))), basis)


def _delta(model: str, bundle: PolicyBundle, recorded: DecisionInput) -> int:
    given, _ = as_read_by(without_overrides(recorded), bundle)
    supposed = _supposed(model, given.snapshot)
    snapshot = given.snapshot.model_copy(update={"overrides": (supposed,)})
    with_it = decide(given.model_copy(update={"snapshot": snapshot}), bundle)
    return _estimate(with_it) - _estimate(decide(given, bundle))


def _supposed(model: str, snapshot: Snapshot) -> Override:
    """An override that holds for whatever is decided at that moment."""
    return Override(
        override_id="supposed",
        model=model,
        scope=OverrideScope.PERIOD,
        starts_at=snapshot.taken_at,
        ends_at=snapshot.taken_at + timedelta(seconds=1),
        duration=OverrideDuration.TIME_LIMITED,
        reason="to estimate what it would cost",
        approver="nobody",
        cost_impact_nano_usd=0,
        acknowledged_at=snapshot.taken_at,
    )


def _estimate(plan: Plan) -> int:
    """Of every model that is asked at once; 0 where none runs."""
    return sum(each.estimate_nano_usd for each in plan.candidates[: plan.branches])


def _ceiling(model: str, bundle: PolicyBundle, task_class: str | None) -> int:
    """The most one call of the model may cost, in the class or in any."""
    pack, entry = bundle.pack, bundle.index.by_name.get(model)
    if entry is None:
        return 0
    rows = {task_class: pack.classes[task_class]} if task_class else pack.classes
    return max(
        (
            pack.ceilings.get(name, {}).get(entry.family, row.ceiling or 0)
            for name, row in rows.items()
        ),
        default=0,
    )
