"""The rate of all replicas together, as an operator sets it (case 80)."""

import asyncio
import time
from collections import Counter

from tests.integration.gateway.console.visitor import Visitor
from tests.integration.gateway.house import House
from tests.integration.gateway.test_access import submission
from workers.gateway import build_gateway
from workers.settings import GatewaySettings

LIMIT = 2


async def test_two_replicas_with_the_setting_let_in_no_more_than_it_says(house: House) -> None:
    settings = GatewaySettings(shared_requests_a_second=LIMIT)
    parts = house.stack.parts
    replicas = [Visitor(build_gateway(house.stack.temporal, parts, settings)) for _ in range(2)]
    account = house.account()

    async def ask(number: int) -> int:
        http = replicas[number % 2].http
        answered = await http.post("/v1/tasks", json=submission(account), headers=account.headers())
        if answered.status_code == 429:
            assert answered.headers["retry-after"] == "1"
            assert "to all replicas together" in answered.json()["error"]["message"]
        return answered.status_code

    first = int(time.time())
    seen = Counter(await asyncio.gather(*(ask(number) for number in range(60))))
    seconds = int(time.time()) - first + 1
    assert seen.keys() == {202, 429}
    assert LIMIT <= seen[202] <= LIMIT * seconds
