"""One process of many races: ``racer URL PREFIX COUNT LIMIT SCOPE...``.

Each line on stdin names a race and starts it: 0.10 USD are reserved ``COUNT`` times in that race's
windows, in the order in which the scopes were given. A line on stdout tells how often each outcome
came.
"""

import json
import sys
from collections import Counter

from pointwork.ledger.budgets import BudgetBook
from pointwork.ledger.engine import open_engine
from tests.integration.ledger.conftest import without_flushes
from tests.integration.ledger.records import reserve, window

AMOUNT_NANO_USD = 100_000_000


def race(budgets: BudgetBook, prefix: str, count: int, limit: int, keys: list[str]) -> str:
    windows = [window(key, limit) for key in keys]
    outcomes = Counter(
        reserve(budgets, f"{prefix}-{number}", amount=AMOUNT_NANO_USD, windows=windows).outcome
        for number in range(count)
    )
    return json.dumps(outcomes)


if __name__ == "__main__":
    url, prefix, count, limit, *scopes = sys.argv[1:]
    book = BudgetBook(without_flushes(open_engine(url)))
    for line in sys.stdin:
        name = line.strip()
        keys = [f"{scope}/{name}" for scope in scopes]
        told = race(book, f"{prefix}-{name}", int(count), int(limit), keys)
        sys.stdout.write(f"{told}\n")
        sys.stdout.flush()
