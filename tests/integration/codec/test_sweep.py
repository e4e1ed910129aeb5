"""The schedule's firings hand their results on, from one workflow id to the next (ADR 15)."""

import pytest
from temporalio.client import Client

from pointwork.privacy.codec import EncryptingCodec
from pointwork.temporal import pointwork_plugin
from tests.integration.ledger.conftest import Ledger, ledger, ledger_url, sqlite_template
from tests.integration.sweep.conftest import Rarely, fired, scheduled, sweeping, workflow_id_of

__all__ = ["ledger", "ledger_url", "sqlite_template"]


@pytest.mark.parametrize("ledger_url", ["sqlite"], indirect=True)
async def test_a_sweep_reads_what_the_firing_before_it_has_sealed(
    address: str, codec: EncryptingCodec, ledger: Ledger
) -> None:
    temporal = await Client.connect(
        address, plugins=[pointwork_plugin(codec=codec)], interceptors=[Rarely()]
    )
    async with scheduled(temporal), sweeping(temporal, ledger.engine) as schedule:
        await fired(temporal, schedule)
        await fired(temporal, schedule)
        last = workflow_id_of((await schedule.describe()).info)
    history = await temporal.get_workflow_handle(last).fetch_history()
    handed_on = history.events[0].workflow_execution_started_event_attributes
    assert handed_on.last_completion_result.payloads
    assert "free what" not in history.to_json()
