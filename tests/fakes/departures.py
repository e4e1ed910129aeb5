"""Calls that are about to be sent, from real decisions of the shipped packs."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pointwork.contract.decision import Candidate, DecisionInput, DecisionRecord, Plan, Site
from pointwork.contract.outcome import Invoke
from pointwork.contract.prompt import MEDIA_TYPE_PROMPT, Prompt
from pointwork.contract.task import ContentRef, Sensitivity, TaskRequest
from pointwork.policy.bundle import PolicyBundle
from pointwork.policy.decide import decide
from pointwork.privacy.detect import scan
from pointwork.privacy.findings import Finding
from pointwork.providers.departure import Departure
from tests.fakes.policy_facts import NOW, Situation, shipped

PUBLIC = Situation(task_class="high_stakes_logic", sensitivity=Sensitivity.PUBLIC)
"""Goes to a model outside under the omega pack, which replaces identifiers as well."""
BY_TIER = Situation(task_class="summarize", sensitivity=Sensitivity.PUBLIC)
"""Goes out under the codex pack, which replaces credentials only."""
COPY = ContentRef(digest="c" * 64, bytes=40, media_type=MEDIA_TYPE_PROMPT)
MAPPING = ContentRef(digest="d" * 64, bytes=2, media_type="application/json")
CLEAN = "Compare two ways to store a tree."


def read(text: str) -> Sequence[Finding]:
    """The detectors of the door."""
    return scan(text).findings


def record_of(situation: Situation, bundle: PolicyBundle) -> DecisionRecord:
    given = situation.facts(bundle)
    return DecisionRecord(
        decision_id="task-1/decision/1",
        task_id=given.request.task_id,
        input=given,
        plan=decide(given, bundle),
        decided_at=NOW,
    )


def departure_of(
    situation: Situation = PUBLIC, bundle: PolicyBundle | None = None, text: str = CLEAN
) -> Departure:
    """The first call of the task that ``situation`` describes, redacted and planned."""
    rules = bundle or shipped()
    record = record_of(situation, rules)
    candidate = record.plan.candidates[0]
    return Departure(
        call=Invoke(
            task_id=record.task_id,
            number=1,
            candidate=candidate,
            content=COPY,
            placeholders=MAPPING,
            temperature=0.2,
        ),
        record=record,
        site=candidate.site,
        residency=rules.models[candidate.model].endpoint.residency,
        prompt=Prompt.from_text(text),
        schema=None,
        scan=read,
    )


def with_call(departure: Departure, **fields: Any) -> Departure:
    return replace(departure, call=departure.call.model_copy(update=fields))


def with_candidate(departure: Departure, **fields: Any) -> Departure:
    """Another candidate in the call; the plan stays as it is."""
    candidate: Candidate = departure.call.candidate.model_copy(update=fields)
    return with_call(departure, candidate=candidate)


def with_plan(departure: Departure, **fields: Any) -> Departure:
    """Another plan on record; where there is none, none."""
    if departure.record is None:
        return departure
    plan: Plan = departure.record.plan.model_copy(update=fields)
    return replace(departure, record=departure.record.model_copy(update={"plan": plan}))


def with_request(departure: Departure, **fields: Any) -> Departure:
    """Other declarations of the task, the plan as it was made before."""
    record = departure.record
    if record is None:
        return departure
    request: TaskRequest = record.input.request.model_copy(update=fields)
    given: DecisionInput = record.input.model_copy(update={"request": request})
    return replace(departure, record=record.model_copy(update={"input": given}))


def at_site(departure: Departure, site: Site) -> Departure:
    """Endpoint, call and plan all say the model stands at ``site``."""
    assert departure.record is not None
    moved = with_candidate(departure, site=site)
    plan = departure.record.plan
    candidates = tuple(each.model_copy(update={"site": site}) for each in plan.candidates)
    return replace(with_plan(moved, candidates=candidates), site=site)
