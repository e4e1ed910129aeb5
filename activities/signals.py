"""``read-signals``: the live facts a decision needs, taken once, in one read."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Protocol

from temporalio import activity

from pointwork.contract.budget_windows import BudgetSetting
from pointwork.contract.decision import WindowSpec
from pointwork.contract.local_lane import LocalQueueSignal
from pointwork.contract.names import ActivityName, TaskQueue
from pointwork.contract.overlay import Overlay
from pointwork.contract.override import Override
from pointwork.contract.snapshot import BudgetSignal, EndpointSignal, PolicyRef, Snapshot
from pointwork.contract.task import Sensitivity, TaskRequest


class SignalReading(Protocol):
    @property
    def budgets(self) -> Mapping[str, BudgetSignal]: ...
    @property
    def unhealthy_endpoints(self) -> frozenset[str]: ...
    @property
    def rate_limited_until(self) -> Mapping[str, datetime]: ...
    @property
    def loaded_model(self) -> str | None: ...
    @property
    def local_queues(self) -> tuple[LocalQueueSignal, ...]: ...
    @property
    def conversation_sensitivity(self) -> Sensitivity | None: ...
    @property
    def overlay(self) -> Overlay | None: ...
    @property
    def overrides(self) -> tuple[Override, ...]: ...


class Settings(Protocol):
    """The limits that owners set, beside the packs' own."""

    def in_force(self, pack: str) -> Sequence[BudgetSetting]: ...


class Signals(Protocol):
    def read(
        self,
        *,
        window_keys: Sequence[str],
        endpoints: Sequence[str],
        conversation: str | None,
        queue: str,
        now: datetime,
        overlay_of: str | None,
        overrides_of: tuple[str, str] | None,
    ) -> SignalReading: ...


class PolicyInForce(Protocol):
    """The rules of one moment."""

    def ref(self, pack: str) -> PolicyRef | None: ...
    def endpoints(self, pack: str) -> tuple[str, ...]: ...
    def windows(self, request: TaskRequest, moment: datetime) -> tuple[WindowSpec, ...]: ...
    def standing(
        self, request: TaskRequest, settings: Sequence[BudgetSetting], moment: datetime
    ) -> tuple[WindowSpec, ...]: ...
    def takes_overlay(self, pack: str) -> bool: ...


class ActivePolicy(Protocol):
    def now(self) -> PolicyInForce:
        """The rules that decide a task which begins now; an owner may go back at any time."""
        ...


class GovernedSignals(Protocol):
    def extend(self, request: TaskRequest, snapshot: Snapshot) -> Snapshot:
        """The snapshot with what the pack requires besides; the same one for most packs."""
        ...


class SignalActivities:
    def __init__(
        self,
        signals: Signals,
        settings: Settings,
        policy: ActivePolicy,
        usable_endpoints: frozenset[str],
        governed: GovernedSignals,
    ) -> None:
        self._governed = governed
        self._signals = signals
        self._settings = settings
        self._policy = policy
        self._usable_endpoints = usable_endpoints

    @activity.defn(name=ActivityName.READ_SIGNALS)
    def read_signals(self, request: TaskRequest) -> Snapshot | None:
        """The snapshot, with the pack version pinned; None where no pack has the task's name."""
        policy = self._policy.now()
        ref = policy.ref(request.pack)
        if ref is None:
            return None
        now = datetime.now(UTC)
        standing = policy.standing(request, self._settings.in_force(request.pack), now)
        windows = {each.key: each for each in policy.windows(request, now)}
        windows |= {each.key: each for each in standing}
        endpoints = policy.endpoints(request.pack)
        reading = self._signals.read(
            window_keys=list(windows),
            endpoints=endpoints,
            conversation=request.conversation,
            queue=TaskQueue.GPU,
            now=now,
            overlay_of=request.pack if policy.takes_overlay(request.pack) else None,
            overrides_of=(request.pack, request.task_id),
        )
        snapshot = Snapshot(
            taken_at=now,
            policy=ref,
            endpoints=tuple(
                EndpointSignal(
                    endpoint=name,
                    has_credentials=name in self._usable_endpoints,
                    is_healthy=name not in reading.unhealthy_endpoints,
                    rate_limited_until=reading.rate_limited_until.get(name),
                )
                for name in endpoints
            ),
            budgets=tuple(
                _as_of(each, reading.budgets.get(each.key)) for _, each in sorted(windows.items())
            ),
            standing=standing,
            loaded_local_model=reading.loaded_model,
            local_queues=reading.local_queues,
            conversation_sensitivity=reading.conversation_sensitivity,
            overlay=reading.overlay,
            overrides=reading.overrides,
        )
        return self._governed.extend(request, snapshot)


def _as_of(window: WindowSpec, reading: BudgetSignal | None) -> BudgetSignal:
    """How a window stands; one that nobody reserved in yet is unspent."""
    if reading is None:
        return BudgetSignal(
            window=window.key, limit_nano_usd=window.limit_nano_usd, committed_nano_usd=0
        )
    return reading.model_copy(update={"limit_nano_usd": window.limit_nano_usd})
