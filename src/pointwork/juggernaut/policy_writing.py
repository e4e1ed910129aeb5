"""One routing policy written anew: a new revision of its pack, in force for the next task (R-10).

Only a pack whose ``policy_change`` is ``live_revision`` takes one, from a person who owns it. The
revision is immutable and says what the seven fields of a change say (OM-84). It is gone back from
to a deployed version (``pointwork policy rollback``); an earlier policy is written again.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from pydantic import ValidationError
from sqlalchemy import Engine

from pointwork.contract.activation import PolicyActivation
from pointwork.contract.canonical import canonical_json
from pointwork.contract.failures import PointworkError
from pointwork.contract.money import NANO_PER_USD
from pointwork.juggernaut.publishing import publish_policies
from pointwork.juggernaut.routing_policies import RoutingPolicy
from pointwork.ledger.activations import ActivationLog
from pointwork.ledger.policies import RevisionStore
from pointwork.ledger.selections import PACK
from pointwork.policy.active import Policies
from pointwork.policy.bundle import PolicyBundle
from pointwork.policy.documents.document import ChangeHeader
from pointwork.policy.documents.pack import Pack
from pointwork.policy.documents.revisions import number_of
from pointwork.policy.engine.approved_routes import approved_routes


class PolicyNotWritableError(PointworkError):
    """The pack does not take policies this way; the text says how it is changed."""


class PolicyRefusedError(PointworkError):
    """The policy cannot be one of the pack; the text names the field and the remedy."""


@dataclass(frozen=True, kw_only=True)
class Written:
    """A policy that is in force from now on."""

    activation: PolicyActivation
    is_new: bool
    """No policy of this name was in force before."""


def write_policy(
    engine: Engine,
    policies: Policies,
    pack: str,
    given: RoutingPolicy,
    change: ChangeHeader,
    now: datetime,
) -> Written:
    """Put ``given`` in force under its name, as a new revision of ``pack`` (JG-48).

    ``change.approver`` writes it; its ``rollback_target`` becomes the newest deployed version.

    Raises:
        UnknownPackError: no pack has the name.
        PolicyNotWritableError: the pack changes in another way.
        PolicyRefusedError: a model, a name or a figure is none that the pack may have.
        ActivationRefusedError: the writer is no owner.
        ActivationConflictError: another change came first; look again and repeat it.
    """
    log, store = ActivationLog(engine), RevisionStore(engine)
    # Read before what is active, so that an entry in between is a conflict.
    latest, library = log.latest().get(pack), policies.now()
    active = library.active(pack)
    _check_writable(active.pack)
    versions = [each.version for each in store.list() if each.pack == pack]
    deployed = library.deployed(pack)[-1].pack.version
    version = _after(max((*versions, deployed), key=number_of))
    change = change.model_copy(update={"rollback_target": deployed})
    revision = _revised(active, given, change, version, now)
    text = canonical_json(revision).decode()
    ref = revision.ref
    store.remember(ref.bundle_sha256, ref.pack, ref.version, ref.pack_sha256, text, now)
    entry = PolicyActivation(
        number=latest.number + 1 if latest else 1,
        policy=ref,
        replaced=active.ref,
        newest_version=deployed,
        activated_by=change.approver,
        reason=change.why,
        activated_at=now,
    )
    log.append(entry)
    if pack == PACK:
        publish_policies(engine, revision, now)
    return Written(activation=entry, is_new=given.name not in active.pack.classes)


def _check_writable(pack: Pack) -> None:
    if pack.policy_change == "live_revision" and not pack.release_required:
        return
    raise PolicyNotWritableError(
        f"pack {pack.pack!r} changes by a new version of its document (policy_change is "
        f"{pack.policy_change}); write it, seal it and deploy it: docs/packs.md"
    )


def _after(version: str) -> str:
    """The next revision: 6.0.0 becomes 6.0.1, and 1.0 becomes 1.0.1."""
    *head, last = version.split(".") if version.count(".") == 2 else [*version.split("."), "0"]
    return ".".join([*head, str(int(last) + 1)])


def _revised(
    active: PolicyBundle, given: RoutingPolicy, change: ChangeHeader, version: str, now: datetime
) -> PolicyBundle:
    before = active.pack.version
    body = json.loads(canonical_json(active.pack))
    body["classes"][given.name] = body["classes"].get(given.name, _new_row(active, given))
    body["classes"][given.name] |= _stated(active, given)
    body |= {
        "version": version,
        "supersedes": before,
        "effective": now.date().isoformat(),
        "change": change.model_dump(mode="json"),
    }
    try:
        pack = Pack.model_validate_json(json.dumps(body))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(each) for each in first["loc"])
        raise PolicyRefusedError(f"{place}: {first['msg']}; correct the policy") from None
    revision = PolicyBundle(pack=pack, models=active.models, host=active.host)
    listed = tuple(each.model for each in _by_priority(given))
    if approved_routes(revision)[given.name] != listed:
        raise PolicyRefusedError(
            "models: some share a family with others of the pack, which would be tried too; name "
            "models that have a family of their own"
        )
    return revision


def _stated(active: PolicyBundle, given: RoutingPolicy) -> dict[str, Any]:
    row = active.pack.classes.get(given.name)
    table = dict(row.table) if row else {}
    return {
        "rungs": [[_family_of(active, each.model, each.provider)] for each in _by_priority(given)],
        "ceiling": int(Decimal(given.max_cost_per_task) * NANO_PER_USD),
        "max_output_tokens": given.max_tokens,
        "temperature": str(given.temperature),
        "table": table | {"description": given.description},
    }


def _new_row(active: PolicyBundle, given: RoutingPolicy) -> Mapping[str, Any]:
    by_name = active.index.by_name
    grades = [by_name[each.model].quality for each in given.models if each.model in by_name]
    return {
        "title": given.name,
        "covers": [given.description],
        "quality_floor": min(grades, default=1),
        "tokens_stream": True,
    }


def _by_priority(given: RoutingPolicy) -> list[Any]:
    return sorted(given.models, key=lambda each: each.priority)


def _family_of(active: PolicyBundle, model: str, provider: str) -> str:
    """The pack's family that has the model.

    Raises:
        PolicyRefusedError: none has, or another vendor makes it.
    """
    entry = active.index.by_name.get(model)
    if entry is None:
        known = ", ".join(active.index.by_name)
        raise PolicyRefusedError(f"models: {model!r} is not one of the pack's; use one of {known}")
    if entry.vendor != provider:
        raise PolicyRefusedError(
            f"models: {model!r} is made by {entry.vendor!r} and not by {provider!r}; correct it"
        )
    return entry.family
