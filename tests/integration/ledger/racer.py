"""One process of a race: ``racer URL PREFIX COUNT LIMIT KEY...``, started by a line on stdin.

Reserves 100 nano-USD ``COUNT`` times in every window named, in the order named, and writes how
often each outcome came.
"""

import json
import sys
from collections import Counter

from pointwork.ledger.budgets import BudgetBook
from pointwork.ledger.engine import open_engine
from tests.integration.ledger.records import reserve, window


def race(url: str, prefix: str, count: int, limit: int, keys: list[str]) -> Counter[str]:
    budgets = BudgetBook(open_engine(url))
    windows = [window(key, limit) for key in keys]
    return Counter(
        reserve(budgets, f"{prefix}-{number}", windows=windows).outcome.value
        for number in range(count)
    )


if __name__ == "__main__":
    sys.stdin.readline()
    url, prefix, count, limit, *keys = sys.argv[1:]
    sys.stdout.write(json.dumps(race(url, prefix, int(count), int(limit), keys)))
