"""What a card uses, split among the calls on it: all of it, to the millijoule."""

from collections.abc import Sequence
from contextlib import ExitStack
from ctypes.util import find_library
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointwork.local.energy import (
    MILLIJOULES_PER_KWH,
    ElectricityMeter,
    EnergyUnreadableError,
    NvmlEnergy,
    RaplEnergy,
    RatedPower,
    Share,
)


@dataclass
class Dial:
    """A counter that a test turns; None cannot be read."""

    reading: int | None = 0

    def millijoules(self) -> int:
        if self.reading is None:
            raise EnergyUnreadableError("the driver is gone")
        return self.reading

    def use(self, millijoules: int) -> None:
        assert self.reading is not None
        self.reading += millijoules


def test_a_call_alone_has_all_that_is_used_while_it_runs_and_nothing_of_the_time_around() -> None:
    dial = Dial(5_000)
    meter = ElectricityMeter(dial, 320_000_000)
    dial.use(900)
    with meter.call() as share:
        dial.use(36_000)
    dial.use(900)
    assert (share.millijoules, share.nano_usd) == (36_000, 3_200)


def test_calls_that_run_together_share_evenly_for_as_long_as_both_run() -> None:
    dial = Dial()
    meter = ElectricityMeter(dial, None)
    with meter.call() as first:
        dial.use(100)
        with meter.call() as second:
            dial.use(60)
        dial.use(7)
    assert (first.millijoules, second.millijoules) == (137, 30)
    assert first.nano_usd is None


@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["begin", "end"]), st.integers(0, 10_000)), max_size=60
    ),
    tariff=st.integers(0, 2_000_000_000),
)
def test_shares_add_up_to_what_was_used_while_any_ran_and_costs_to_its_price(
    steps: Sequence[tuple[str, int]], tariff: int
) -> None:
    dial = Dial()
    meter = ElectricityMeter(dial, tariff)
    running: list[ExitStack] = []
    shares: list[Share] = []
    used = 0
    for step, millijoules in steps:
        if step == "begin":
            running.append(ExitStack())
            shares.append(running[-1].enter_context(meter.call()))
        elif running:
            running.pop(0).close()
        dial.use(millijoules)
        used += millijoules if running else 0
    for each in running:
        each.close()
    told = sum(each.millijoules or 0 for each in shares)
    # What could not be divided waits for the next call: less than one millijoule a call.
    assert used - max(1, len(shares)) < told <= used
    cost = sum(each.nano_usd or 0 for each in shares)
    assert cost == told * tariff // MILLIJOULES_PER_KWH


def test_a_call_whose_meter_failed_midway_has_no_figure_and_the_next_one_has_again() -> None:
    dial = Dial()
    meter = ElectricityMeter(dial, 1)
    with meter.call() as cut:
        dial.reading = None
    with meter.call() as blind:
        dial.reading = 50
    with meter.call() as whole:
        dial.use(8)
    assert (cut.millijoules, cut.nano_usd) == (None, None)
    assert (blind.millijoules, whole.millijoules) == (None, 8)


def test_a_counter_that_falls_leaves_the_calls_under_way_without_a_figure() -> None:
    dial = Dial(1_000)
    meter = ElectricityMeter(dial, 1)
    with meter.call() as cut:
        dial.reading = 3
    with meter.call() as whole:
        dial.use(8)
    assert (cut.millijoules, cut.nano_usd, whole.millijoules) == (None, None, 8)


def test_an_outage_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    dial = Dial(None)
    meter = ElectricityMeter(dial, 1)
    for _ in range(3):
        with meter.call():
            pass
    assert caplog.text.count("electricity is not metered: the driver is gone") == 1


def test_the_processors_counter_goes_on_where_it_begins_anew(tmp_path: Path) -> None:
    (tmp_path / "max_energy_range_uj").write_text("262143328850\n")
    counter = RaplEnergy(tmp_path)
    (tmp_path / "energy_uj").write_text("262143000000\n")
    before = counter.millijoules()
    (tmp_path / "energy_uj").write_text("671150\n")
    assert counter.millijoules() - before == 262_143_328 + 671 - 262_143_000


def test_a_counter_that_cannot_be_read_says_which_file_and_what_to_set(tmp_path: Path) -> None:
    with pytest.raises(EnergyUnreadableError, match=r"energy_uj cannot be read.*METER=450"):
        RaplEnergy(tmp_path).millijoules()


@pytest.mark.skipif(find_library("nvidia-ml") is not None, reason="this host has a driver")
def test_a_host_without_an_nvidia_driver_is_told_what_to_set_instead() -> None:
    with pytest.raises(EnergyUnreadableError, match=r"NVIDIA driver does not tell.*METER=450"):
        NvmlEnergy().millijoules()


def test_a_stated_power_counts_up_with_the_clock() -> None:
    power = RatedPower(450)
    first = power.millijoules()
    assert power.millijoules() >= first > 0
