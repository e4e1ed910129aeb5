"""Milestone 6's routing policies over HTTP (JG-47, JG-48).

A policy is written here only where its pack says that a revision goes live at once, and by an
owner; every other pack changes by its own change control (R-10).
"""

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Request, Response
from pydantic import ConfigDict, Field

from pointwork.gateway.access import KeyFirst, Owner, Submitter
from pointwork.gateway.problems import ProblemError
from pointwork.gateway.routing_api import PACK, PackName, named_pack
from pointwork.gateway.rules import Rules
from pointwork.gateway.wire_model import Body
from pointwork.juggernaut.policy_writing import (
    PolicyNotWritableError,
    PolicyRefusedError,
    Written,
    write_policy,
)
from pointwork.juggernaut.routing_policies import RoutingPolicy, routing_policies
from pointwork.ledger.activations import ActivationConflictError
from pointwork.ledger.juggernaut_tables import policies_written_at
from pointwork.policy.bundle import UnknownPackError
from pointwork.policy.documents.document import ChangeHeader, ExpectedImpact, Sentence

if TYPE_CHECKING:
    from pointwork.gateway.app import Gateway

router = APIRouter(prefix="/api/routing", tags=["routing"], route_class=KeyFirst)


class PolicyWrite(Body):
    """A policy, and the seven things that each change says of itself (OM-84)."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    policy: RoutingPolicy
    what: Sentence
    why: Annotated[Sentence, Field(min_length=8, max_length=500)]
    affects: Sentence
    expected_impact: ExpectedImpact

    def change_by(self, approver: str) -> ChangeHeader:
        return ChangeHeader(
            what=self.what,
            why=self.why,
            affects=self.affects,
            expected_impact=self.expected_impact,
            rollback_target=None,
            approver=approver,
        )


@router.get("/policies")
async def list_policies(
    request: Request, caller: Submitter, rules: Rules, pack: PackName = PACK
) -> dict[str, Any]:
    """The active policies of a pack: its models by priority, its ceilings, tokens, temperature."""
    gateway: Gateway = request.app.state.gateway
    bundle = named_pack(rules, pack)
    try:
        listed = [each.model_dump(mode="json") for each in routing_policies(bundle)]
    except ValueError as error:
        raise ProblemError(400, "no_routing_policies", str(error), "pack") from None
    written = await asyncio.to_thread(policies_written_at, gateway.engine)
    for each in listed:
        at = written.get(each["name"]) if pack == PACK else None
        each["updated_at"] = at.isoformat() if at else None
    return {"pack": pack, "version": bundle.pack.version, "policies": listed}


@router.post(
    "/policies", status_code=201, responses={200: {"description": "A policy of a known name."}}
)
async def put_policy(
    body: PolicyWrite, request: Request, response: Response, caller: Owner, pack: PackName = PACK
) -> dict[str, Any]:
    """Create a policy (201), or update the one of its name (200); it decides from the next task on.

    Each write is an immutable revision of the pack, on the audit chain; `pointwork policy rollback`
    goes back to a deployed version.
    """
    gateway: Gateway = request.app.state.gateway
    change, now = body.change_by(caller.name), datetime.now(UTC)

    def write() -> Written:
        return write_policy(gateway.engine, gateway.policies, pack, body.policy, change, now)

    try:
        written = await asyncio.to_thread(write)
    except UnknownPackError as error:
        raise ProblemError(404, "unknown_pack", str(error), "pack") from None
    except PolicyNotWritableError as error:
        raise ProblemError(409, "policy_not_writable", str(error), "pack") from None
    except PolicyRefusedError as error:
        raise ProblemError(400, "policy_refused", str(error), "policy") from None
    except ActivationConflictError as error:
        raise ProblemError(409, "policy_changed", str(error)) from None
    response.status_code = 201 if written.is_new else 200
    entry = written.activation
    return {
        "pack": pack,
        "policy": body.policy.model_dump(mode="json"),
        "state": "active",
        "version": entry.policy.version,
        "supersedes": entry.replaced.version,
        "revision": entry.policy.bundle_sha256,
        "updated_at": entry.activated_at.isoformat(),
    }
