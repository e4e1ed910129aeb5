"""What each of the last thirty days cost, for a chart of bars."""

from dataclasses import dataclass
from datetime import date, timedelta

from pointwork.contract.money import format_usd
from pointwork.ledger.costs import CostBy, CostReport, Days

DAYS = 30


@dataclass(frozen=True, slots=True)
class DailyCosts:
    """Nano-USD by UTC day, the oldest first; a day without a call has none."""

    days: tuple[tuple[date, int], ...]

    @property
    def values(self) -> list[int]:
        return [cost for _, cost in self.days]

    @property
    def titles(self) -> list[str]:
        """What each bar says of itself."""
        return [f"{day}: {format_usd(cost)}" for day, cost in self.days]

    @property
    def total_nano_usd(self) -> int:
        return sum(self.values)

    @property
    def most_nano_usd(self) -> int:
        return max(self.values)


def daily_costs(report: CostReport, today: date, pack: str | None = None) -> DailyCosts:
    """The days that end with ``today``, from the roll-up of costs."""
    days = [today - timedelta(days=before) for before in range(DAYS - 1, -1, -1)]
    found = report.totals(CostBy.DAY, Days(since=days[0], until=today), pack)
    cost_of = {each.name: each.cost_nano_usd for each in found}
    return DailyCosts(tuple((day, cost_of.get(str(day), 0)) for day in days))
