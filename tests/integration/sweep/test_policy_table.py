"""What a deployment's sweep writes of the routing policies, whatever packs it has."""

from pathlib import Path

import pytest
from sqlalchemy import select
from temporalio.client import Client

from pointwork.ledger.cost_tables import ROUTING_POLICIES
from pointwork.ledger.engine import read
from pointwork.policy.bundle import PolicyLibrary
from tests.fakes.policy_facts import changed, shipped
from tests.fakes.scripted_provider import Script
from tests.workflows.stack import open_test_parts
from workers.sweeping import ledger_sweep


@pytest.mark.req("JG-43")
@pytest.mark.parametrize("is_whole", [True, False], ids=["stated whole", "a temperature left open"])
async def test_the_sweep_keeps_the_packs_policies_and_ends_well_without_them(
    temporal: Client, tmp_path: Path, is_whole: bool
) -> None:
    bundle = shipped("juggernaut")
    rows = {name: row.model_dump() for name, row in bundle.pack.classes.items()}
    if not is_whole:
        rows["ops"]["temperature"] = None
    pack = changed(bundle, pack={"classes": rows})
    library = PolicyLibrary([shipped("omega"), shipped("codex"), pack])
    parts = open_test_parts(tmp_path, library, Script())
    await ledger_sweep(temporal, parts).sweep()
    with read(parts.engine) as connection:
        names = set(connection.execute(select(ROUTING_POLICIES.c.name)).scalars())
    parts.threads.shutdown()
    parts.engine.dispose()
    assert names == ({"normal", "deep_research", "code", "ops"} if is_whole else set())
