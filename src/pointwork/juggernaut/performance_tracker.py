"""How models did, and the order that follows from it within the pack's bounds (JG-30 to JG-37)."""

from datetime import datetime

from sqlalchemy import Engine

from pointwork.contract.overlay import OPTIMIZER, ModelWindow, OverlayChange
from pointwork.ledger.model_windows import ModelWindows
from pointwork.ledger.overlays import OverlayLog
from pointwork.policy.bundle import PolicyBundle
from pointwork.policy.engine.approved_routes import approved_routes
from pointwork.policy.engine.overlay import OverlayRules, next_overlay, window_bounds


class PerformanceTracker:
    """Thread-safe; keeps no state outside the ledger."""

    def __init__(self, engine: Engine) -> None:
        self._windows = ModelWindows(engine)
        self._overlays = OverlayLog(engine)

    def windows(self, bundle: PolicyBundle, now: datetime) -> tuple[ModelWindow, ...]:
        """Each model's calls that may count for the next change of order, by name.

        Raises:
            ValueError: the pack has no overlay, so nothing is measured for one.
        """
        pack = bundle.pack.pack
        starts_at, ends_at = window_bounds(_rules(bundle), self._overlays.current(pack), now)
        return self._windows.read(starts_at, ends_at, pack=pack)

    def proposal(self, bundle: PolicyBundle, now: datetime) -> OverlayChange | None:
        """What those calls would move, with the figures; None where nothing may move.

        Raises:
            ValueError: the pack has no overlay.
        """
        pack, rules = bundle.pack.pack, _rules(bundle)
        current = self._overlays.current(pack)
        windows = self.windows(bundle, now)
        return next_overlay(rules, pack, approved_routes(bundle), current, windows, now)

    def adjust(self, bundle: PolicyBundle, now: datetime) -> OverlayChange | None:
        """Put the proposal in force, as the one identity that may do so by itself (R-35).

        Raises:
            ValueError: the pack has no overlay.
            OverlayConflictError: somebody else changed the order in between.
        """
        change = self.proposal(bundle, now)
        if change is not None:
            self._overlays.append(change, by=OPTIMIZER, pack_allows_overlay=True, now=now)
        return change


def _rules(bundle: PolicyBundle) -> OverlayRules:
    if bundle.pack.overlay is None:
        msg = (
            f"pack {bundle.pack.pack!r} has no field overlay, so its order changes only by a new "
            "version; take a pack that has one"
        )
        raise ValueError(msg)
    return bundle.pack.overlay
