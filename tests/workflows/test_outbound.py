"""Every canary in one task that a person let out, through the vendors' own adapters (row 55)."""

from pathlib import Path

import pytest
from temporalio.testing import WorkflowEnvironment

from pointwork.contract.approval import ApprovalVerdict
from pointwork.contract.decision import GrantKind
from pointwork.contract.failures import ProviderFailureKind
from pointwork.contract.prompt import Prompt
from pointwork.contract.task import DataClass
from pointwork.policy.bundle import PolicyLibrary
from tests.fakes.scripted_provider import Fails
from tests.unit.privacy.canaries import CREDENTIALS, PERSONAL
from tests.workflows.outside import outside

ALL = (*CREDENTIALS, *PERSONAL)
TEXT = "\n\n".join(canary.text for canary in ALL)


@pytest.mark.req("OM-48", "OM-50")
async def test_no_canary_reaches_any_of_the_vendors_that_are_tried_in_turn(
    own_server: WorkflowEnvironment, library: PolicyLibrary, tmp_path: Path
) -> None:
    async with outside(own_server, library, tmp_path) as house:
        stack = house.stack
        task = stack.declare(
            task_class="creative_synthesis", sensitivity=None, data_classes=(DataClass.PERSONAL,)
        )
        stack.script.write(task.task_id, Fails(ProviderFailureKind.INVALID_REQUEST))
        await stack.client.submit(Prompt.from_text(TEXT), task)
        request = await stack.open_approval(task.task_id)
        assert request.asks_for is GrantKind.SENSITIVE_EGRESS
        await stack.client.submit_verdict(stack.signed(request, ApprovalVerdict.APPROVED))
        await stack.recorded(task.task_id)

        (local,) = stack.script.calls[task.task_id]
        assert local.request.prompt.text == TEXT
        assert len(house.called) >= 3
        for vendor, sent in house.called.items():
            found = [canary.kind for canary in ALL if canary.value in sent]
            assert found == [], vendor
            assert "<SECRET_1>" in sent
