"""Puts the pack's routing policies into their table (JG-43)."""

from datetime import datetime

from sqlalchemy import Engine

from pointwork.juggernaut.routing_policies import routing_policies
from pointwork.ledger.juggernaut_tables import PolicyRow, keep_policies
from pointwork.policy.bundle import PolicyBundle


def publish_policies(engine: Engine, bundle: PolicyBundle, now: datetime) -> None:
    """Make ``routing_policies`` the bundle's own; what it does not name is inactive.

    Raises:
        ValueError: the bundle is not made of routing policies.
    """
    rows = [
        PolicyRow(name=each.name, description=each.description, config=each.model_dump(mode="json"))
        for each in routing_policies(bundle)
    ]
    keep_policies(engine, rows, now)
