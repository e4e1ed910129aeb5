"""The facts of one decision, worked out once: what filters, gates and orderings compare."""

from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal

from pointwork.contract.budget_windows import MODEL_SCOPES, scope_of
from pointwork.contract.decision import DecisionInput, GrantKind
from pointwork.contract.money import TOKENS_PER_MTOK
from pointwork.contract.override import Override
from pointwork.contract.snapshot import (
    BudgetSignal,
    EndpointSignal,
    Receipt,
    ReceiptKind,
    WindowSpec,
)
from pointwork.contract.task import Complexity, DataClass, PrivacyTier, Risk, Sensitivity
from pointwork.policy.bundle import PolicyBundle
from pointwork.policy.documents.routes import FrontierPurpose, TaskClass, families_of
from pointwork.policy.engine.estimate import input_tokens_bound, input_tokens_likely
from pointwork.policy.engine.index import Entry
from pointwork.policy.engine.once import once
from pointwork.policy.engine.overrides import in_force
from pointwork.policy.engine.sensitivity import (
    effective_data_classes,
    effective_sensitivity,
    is_confirmed,
)
from pointwork.policy.engine.windows import budgets_by_window, called_budget, windows_at


def receipts_in_force(given: DecisionInput) -> tuple[Receipt, ...]:
    """Receipts that hold at the snapshot's time and belong to this task or its user."""
    request, now = given.request, given.snapshot.taken_at
    return tuple(
        each
        for each in given.snapshot.receipts
        if each.expires_at > now
        and each.task_id in (None, request.task_id)
        and (each.task_id is not None or each.subject is not None)
        and each.subject in (None, request.subject)
    )


@dataclass(frozen=True)
class Facts:
    """One task, one moment, one set of rules."""

    given: DecisionInput
    bundle: PolicyBundle
    task_class: str
    row: TaskClass

    @once
    def sensitivity(self) -> Sensitivity | None:
        return effective_sensitivity(self.given, self.bundle.pack)

    @once
    def data_classes(self) -> tuple[DataClass, ...]:
        return effective_data_classes(self.given)

    @once
    def is_confirmed(self) -> bool:
        return is_confirmed(self.given, self.bundle.pack)

    @once
    def is_sensitive(self) -> bool:
        """Sensitive or restricted, so that the pack's sensitive route applies where it has one."""
        level = self.sensitivity
        return level is not None and level.rank >= Sensitivity.SENSITIVE.rank

    @once
    def is_local_only(self) -> bool:
        spec = self.given.request.spec
        declared = self.given.request.privacy_tier is PrivacyTier.LOCAL_ONLY
        return declared or (spec is not None and spec.local_only)

    @once
    def needs(self) -> frozenset[str]:
        """Capabilities the model must have."""
        found = self.given.classification
        image = {"vision"} if found.has_image else set()
        tools = {"tools"} if found.has_tools else set()
        schema = {"json_schema"} if self.given.request.answer_schema else set()
        return frozenset({*self.row.needs, *image, *tools, *schema})

    @once
    def marks(self) -> frozenset[str]:
        return frozenset({*self.given.request.marks, *self.given.classification.marks})

    @once
    def local_marks(self) -> tuple[str, ...]:
        return tuple(m for m in self.given.request.marks if m in self.bundle.pack.local_marks)

    @once
    def is_high_risk(self) -> bool:
        request = self.given.request
        if request.risk is Risk.HIGH or (request.spec is not None and request.spec.high_risk):
            return True
        return any(mark in self.marks for mark in self.bundle.pack.high_risk_marks)

    @property
    def is_offline(self) -> bool:
        return self.bundle.pack.offline_mark in self.marks

    @property
    def is_high_volume(self) -> bool:
        threshold = self.bundle.pack.high_volume_items
        return threshold is not None and self.given.request.item_count >= threshold

    @property
    def stage(self) -> str | None:
        return self.given.request.stage

    @property
    def complexity(self) -> Complexity | None:
        """As estimated; what the caller expected where nothing estimated it."""
        return self.given.classification.complexity or self.given.request.complexity

    def measure(self, name: str) -> Decimal | None:
        """A measured fact; None where nobody measured it."""
        declared = self.given.request.measures.get(name)
        match name:
            case "context_tokens":
                return Decimal(max(self.input_tokens_likely, int(declared or 0)))
            case "items":
                return Decimal(self.given.request.item_count)
            case "quality_failures":
                return Decimal(self.quality_failures)
            case "failed_loops":
                return (declared or Decimal(0)) + self.quality_failures
            case _:
                return declared

    @once
    def quality_failures(self) -> int:
        """Tries of this task whose answer a check refused; transport failures do not count."""
        return sum(each.kind is None for each in self.given.failed)

    @once
    def input_tokens_bound(self) -> int:
        return input_tokens_bound(self.given.classification)

    @once
    def input_tokens_likely(self) -> int:
        return input_tokens_likely(self.given.classification)

    @once
    def output_tokens_asked(self) -> int:
        """What the caller may have at most, after the row's own cap."""
        asked = self.given.request.constraints.max_output_tokens
        return min(asked, self.row.max_output_tokens or asked)

    @once
    def endpoints(self) -> dict[str, EndpointSignal]:
        return {signal.endpoint: signal for signal in self.given.snapshot.endpoints}

    @once
    def failed_models(self) -> frozenset[str]:
        return frozenset(each.model for each in self.given.failed)

    @once
    def left_models(self) -> frozenset[str]:
        """Models the task does not go back to: a binding is never revisited (R-5).

        A model of the row's first rung that was tried last may try again while its class allows
        refused answers, and no other (CX-17).
        """
        failed, limit = self.given.failed, self.row.quality_failures_max
        if limit == 1 or not failed:
            return self.failed_models
        entry = self.bundle.index.by_name.get(last := failed[-1].model)
        if entry is None or entry.family not in families_of(self.row.rungs[0]):
            return self.failed_models
        refusals = [each.kind is None for each in failed if each.model == last]
        stays = all(refusals) and len(refusals) < limit
        return self.failed_models - {last} if stays else self.failed_models

    def grant(self, kind: GrantKind) -> bool:
        return any(each.kind is kind for each in self.given.grants)

    @once
    def cost_grant_nano_usd(self) -> int:
        """The ceiling a person approved for this task; 0 where nobody did."""
        ceilings = [g.ceiling_nano_usd for g in self.given.grants if g.kind is GrantKind.COST]
        return max(ceilings, default=0)

    @once
    def receipts(self) -> tuple[Receipt, ...]:
        """Receipts that hold now and belong to this task or its user."""
        return receipts_in_force(self.given)

    def receipt(
        self, kind: ReceiptKind, *, reason: str | None = None, model: str | None = None
    ) -> bool:
        return any(
            each.kind is kind
            and (reason is None or each.reason == reason)
            and (model is None or each.model == model)
            for each in self.receipts
        )

    @once
    def override(self) -> Override | None:
        """The override in force for this task; the latest where several are (OM-72)."""
        request, now = self.given.request, self.given.snapshot.taken_at
        held = [o for o in self.given.snapshot.overrides if in_force(o, request, now)]
        return max(held, key=lambda each: (each.starts_at, each.override_id), default=None)

    @once
    def windows(self) -> tuple[WindowSpec, ...]:
        """Every budget window that some call of this task would be paid from, sorted by key."""
        pack, request, moment = self.bundle.pack, self.given.request, self.given.snapshot.taken_at
        scopes = {budget.scope for budget in pack.budgets}
        entries = self.bundle.index.entries
        own = windows_at(
            pack,
            moment,
            caller=request.caller,
            classes=(self.task_class,),
            worker=request.worker,
            vendors=sorted({e.vendor for e in entries}) if "vendor" in scopes else (),
            models=[e.name for e in entries] if "model" in scopes else (),
        )
        standing = self.given.snapshot.standing
        if not standing:
            return own
        found = {each.key: each for each in own}
        mine = f"class/{self.task_class}"
        found |= {
            each.key: each
            for each in standing
            if scope_of(each.key) != "class" or each.scope == mine
        }
        return tuple(found[key] for key in sorted(found))

    @once
    def budgets(self) -> tuple[BudgetSignal, ...]:
        """Readings that concern the task: other classes' are read before its class is known."""
        signals = self.given.snapshot.budgets
        if not any(scope_of(each.window) == "class" for each in signals):
            return signals
        mine = {each.key for each in self.windows}
        return tuple(s for s in signals if scope_of(s.window) != "class" or s.window in mine)

    @once
    def task_wide_budgets(self) -> tuple[BudgetSignal, ...]:
        """Those that any call of the task falls in, whatever its model."""
        return tuple(s for s in self.budgets if scope_of(s.window) not in MODEL_SCOPES)

    @once
    def windows_of_some(self) -> dict[str, frozenset[str]]:
        """The models that pay from each window of a vendor or model; the others all do."""
        some = [s.window for s in self.budgets if scope_of(s.window) in MODEL_SCOPES]
        if not some:
            return {}
        scopes = {each.key: each.scope for each in self.windows}
        return {
            key: frozenset(
                e.name
                for e in self.bundle.index.entries
                if scopes.get(key) in (f"vendor/{e.vendor}", f"model/{e.name}")
            )
            for key in some
        }

    @once
    def window_over_budget(self) -> str | None:
        """A budget window whose spending reached what people call its budget; None if none."""
        request, snapshot = self.given.request, self.given.snapshot
        pack = self.bundle.pack
        budgets = budgets_by_window(pack, snapshot.taken_at, caller=request.caller)
        over = (
            each.window
            for each in snapshot.budgets
            if (budget := budgets.get(each.window)) is not None
            and each.committed_nano_usd >= called_budget(budget, each.limit_nano_usd)
        )
        return next(over, None)

    def purpose(self, family: str) -> FrontierPurpose | None:
        """What a frontier model of ``family`` is used for here; None where it may not be (OM-7).

        A mark that routes to a family asks for what no local model has: news, for one (S-1).
        """
        routed = {self.bundle.pack.mark_routes.get(mark) for mark in self.given.request.marks}
        if self.row.frontier_purpose is None and family in routed:
            return "capability_missing_locally"
        return self.row.frontier_purpose

    def estimate(self, entry: Entry) -> int:
        """Worst case of one call in nano-USD."""
        return entry.estimate(self.input_tokens_bound, self.output_tokens_asked)

    @once
    def estimates(self) -> dict[str, int]:
        """Worst case of every priced model."""
        tokens, asked = self.input_tokens_bound, self.output_tokens_asked
        # ``Entry.estimate`` written out: a call for each model would take longer than the sum.
        up = TOKENS_PER_MTOK - 1
        return {
            name: (tokens * price_in + (asked if asked < most else most) * price_out + up)
            // TOKENS_PER_MTOK
            for name, price_in, price_out, most in self.bundle.index.costs
        }

    def likely(self, entry: Entry) -> int | None:
        """What one call probably costs in nano-USD; None where nothing says (OM-77)."""
        shares, complexity = self.bundle.pack.likely_output, self.complexity
        if shares is None or complexity is None:
            return None
        asked = min(self.output_tokens_asked, entry.output_tokens_max)
        output = (asked * shares.of(complexity)).to_integral_value(ROUND_CEILING)
        return entry.estimate(self.input_tokens_likely, int(output))

    @once
    def ceilings(self) -> dict[str, int]:
        """Most one call may cost by family; 0 where the pack names none for this class."""
        cells, row = self.bundle.pack.ceilings.get(self.task_class, {}), self.row.ceiling or 0
        granted = self.cost_grant_nano_usd
        return {f: max(cells.get(f, row), granted) for f in self.bundle.pack.families}

    def ceiling(self, family: str) -> int:
        return self.ceilings[family]
