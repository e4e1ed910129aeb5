"""What the local card uses, split among the calls that run on it (CX-12)."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

MILLIJOULES_PER_KWH = 3_600_000_000
RAPL = Path("/sys/class/powercap/intel-rapl:0")
"""The first processor package, where the kernel counts its energy."""

_logger = logging.getLogger(__name__)


class EnergyUnreadableError(Exception):
    """The meter cannot be read. The text says why."""


class EnergyCounter(Protocol):
    def millijoules(self) -> int:
        """Used since some moment; it returns at once.

        Raises:
            EnergyUnreadableError: it cannot be read.
        """
        ...


class RatedPower:
    """No meter but a figure that the operator states: so many watts for as long as calls run."""

    def __init__(self, watts: int) -> None:
        self._watts = watts

    def millijoules(self) -> int:
        return self._watts * time.monotonic_ns() // 1_000_000


class RaplEnergy:
    """The processor's own counter, for models that run on it; most hosts let only root read it."""

    def __init__(self, folder: Path = RAPL) -> None:
        self._folder = folder
        self._laps_millijoules = 0
        self._last_millijoules = 0

    def millijoules(self) -> int:
        now = self._read("energy_uj") // 1_000
        if now < self._last_millijoules:
            self._laps_millijoules += self._read("max_energy_range_uj") // 1_000
        self._last_millijoules = now
        return self._laps_millijoules + now

    def _read(self, name: str) -> int:
        try:
            return int((self._folder / name).read_text(encoding="ascii"))
        except (OSError, ValueError) as error:
            msg = (
                f"{self._folder / name} cannot be read ({error}); allow this user to read it, or "
                "state watts instead (POINTWORK_ELECTRICITY_METER=450)"
            )
            raise EnergyUnreadableError(msg) from error


class NvmlEnergy:
    """The counter of an NVIDIA card, by its driver's library."""

    def __init__(self, card: int = 0) -> None:
        self._card = card
        self._is_open = False

    def millijoules(self) -> int:
        try:
            # Only hosts with such a card and a meter set load it.
            import pynvml
        except ImportError as error:
            msg = "nvidia-ml-py is not installed; install pointwork[gpu]"
            raise EnergyUnreadableError(msg) from error
        try:
            if not self._is_open:
                pynvml.nvmlInit()
                self._is_open = True
            handle = pynvml.nvmlDeviceGetHandleByIndex(self._card)
            return int(pynvml.nvmlDeviceGetTotalEnergyConsumption(handle))
        except pynvml.NVMLError as error:
            self._is_open = False
            msg = (
                f"the NVIDIA driver does not tell what card {self._card} uses ({error}); state "
                "watts instead (POINTWORK_ELECTRICITY_METER=450)"
            )
            raise EnergyUnreadableError(msg) from error


@dataclass(slots=True)
class Share:
    """What one call used: None where it was not metered from its beginning to its end."""

    millijoules: int | None = 0
    nano_usd: int | None = None
    """At the tariff; None where there is none."""


class ElectricityMeter:
    """Splits what is used among the calls under way, evenly, and nothing of it is lost.

    What the card uses while no call runs belongs to none. Where the counter cannot be read the log
    says so, once each time it is lost. Use it from one event loop.
    """

    def __init__(self, counter: EnergyCounter, nano_usd_per_kwh: int | None) -> None:
        self._counter = counter
        self._nano_usd_per_kwh = nano_usd_per_kwh
        self._is_out = False
        self._running: list[Share] = []
        self._last_millijoules: int | None = self._read()
        self._undivided_millijoules = 0
        self._unpaid = 0
        """Fractions of a nano-USD, in millijoules times the tariff, carried to the next call."""

    @contextmanager
    def call(self) -> Iterator[Share]:
        """Meter one call; its share is complete when this is left."""
        self._split()
        share = Share(millijoules=None if self._last_millijoules is None else 0)
        self._running.append(share)
        try:
            yield share
        finally:
            self._split()
            self._running = [each for each in self._running if each is not share]
            share.nano_usd = self._price(share)

    def _split(self) -> None:
        before, now = self._last_millijoules, self._read()
        self._last_millijoules = now
        if now is None or (before is not None and now < before):
            # A driver that is gone, or began anew: what the calls under way used is not known.
            for each in self._running:
                each.millijoules = None
        elif self._running and before is not None:
            used = now - before + self._undivided_millijoules
            part, self._undivided_millijoules = divmod(used, len(self._running))
            for each in self._running:
                if each.millijoules is not None:
                    each.millijoules += part

    def _read(self) -> int | None:
        try:
            now = self._counter.millijoules()
        except EnergyUnreadableError as error:
            if not self._is_out:
                _logger.warning("electricity is not metered: %s", error)
            self._is_out = True
            return None
        self._is_out = False
        return now

    def _price(self, share: Share) -> int | None:
        if share.millijoules is None or self._nano_usd_per_kwh is None:
            return None
        owed = share.millijoules * self._nano_usd_per_kwh + self._unpaid
        nano_usd, self._unpaid = divmod(owed, MILLIJOULES_PER_KWH)
        return nano_usd
