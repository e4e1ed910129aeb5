"""Whatever is sent, no route ends in a 500, and each answers as the API's own document says."""

import asyncio
from collections import Counter
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.core.result import Ok

from pointwork.contract.identity import Role
from tests.integration.gateway.house import Account, House
from tests.scale import Scale


@pytest.mark.parametrize("role", [Role.OWNER, Role.APPROVER, Role.SUBMITTER])
async def test_no_generated_request_is_a_server_error(
    house: House, scale: Scale, role: Role
) -> None:
    account = house.person(role)
    seen: Counter[int] = Counter()
    examples = scale.of(250, 12)

    def run() -> None:
        schema = schemathesis.openapi.from_url(f"{house.url}/openapi.json")
        for found in schema.get_all_operations():
            assert isinstance(found, Ok)
            seen.update(statuses(found.ok(), house, account, examples))

    await asyncio.to_thread(run)
    assert seen.total() >= examples
    assert {200, 400} <= seen.keys()


def statuses(
    operation: schemathesis.APIOperation[Any, Any, Any, Any],
    house: House,
    account: Account,
    examples: int,
) -> Counter[int]:
    """How often the operation answered with what; nothing but what its document names."""
    seen: Counter[int] = Counter()
    documented = frozenset(operation.definition.raw["responses"])

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy())
    def check(case: schemathesis.Case[Any]) -> None:
        # Made-up packs and classes end most requests early, so every other one names none.
        if seen.total() % 2:
            case.headers.clear()
        if "pointwork-wait-seconds" in case.headers:
            case.headers["pointwork-wait-seconds"] = "0.01"
        answered = case.call(base_url=house.url, headers=account.headers())
        seen[answered.status_code] += 1
        place = f"{case.method} {case.formatted_path} came to {answered.status_code}"
        assert answered.status_code < 500, place
        assert str(answered.status_code) in documented, f"{place}, which is not documented"

    check()
    return seen
