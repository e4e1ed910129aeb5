"""Who may leave: the one function that looks at a call at the moment it would be sent (T3).

The plan was made earlier, from what was known then, by code far from here. This is the door: it
asks again whether this text may go to this endpoint now, from the recorded decision, the catalogue
of today and the very text that would be sent. It refuses what it does not understand.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from pointwork.contract.decision import Candidate, DecisionRecord, Effect, Obligation, Site
from pointwork.contract.failures import PointworkError
from pointwork.contract.outcome import Invoke
from pointwork.contract.prompt import AnswerSchema, Prompt
from pointwork.contract.schema_text import schema_text
from pointwork.contract.task import PrivacyTier, Sensitivity


class Purpose(StrEnum):
    """Why bytes leave the house."""

    MODEL_CALL = "model_call"
    CALL_LOOKUP = "call_lookup"
    """A vendor's own record of a call is asked for by its id; no content is sent."""
    TELEMETRY = "telemetry"
    """Spans without content, to a collector that the settings name."""
    NOTICE = "notice"
    """That a task waits, without content, to whom the settings name."""


class Refusal(StrEnum):
    """Why a call does not leave. The value is on the record; it never quotes text."""

    SITE_CHANGED = "the endpoint does not stand where the plan thought it does"
    NOT_DECIDED = "no decision about the task is on record"
    NOT_PLANNED = "the latest decision does not send the task there"
    RESTRICTED = "restricted content makes no call outside the house"
    LOCAL_ONLY = "the task's privacy tier is local_only"
    NOT_PRIVATE = "the task's privacy tier is approved_private"
    RESIDENCY = "the endpoint's regions are not among those the task allows"
    NOT_REDACTED = "the text was not redacted for this call"
    HOLDS_IMAGE = "an image cannot be redacted"
    HOLDS_SECRET = "the text still holds a credential"
    HOLDS_IDENTIFIER = "the text still holds an identifier"


class DepartureRefusedError(PointworkError):
    """A call was not sent. ``refusal`` says why."""

    def __init__(self, endpoint: str, refusal: Refusal) -> None:
        super().__init__(f"nothing was sent to {endpoint}: {refusal.value}")
        self.refusal = refusal


@dataclass(frozen=True, slots=True)
class Clearance:
    """Leave for one call to one endpoint. Made in this module only, and asked for by the egress."""

    purpose: Purpose
    endpoint: str


class Found(Protocol):
    """A finding of the detectors, as far as the door looks at it."""

    @property
    def is_secret(self) -> bool: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Departure:
    """A model call about to be sent, and everything the door looks at."""

    call: Invoke
    record: DecisionRecord | None
    """The task's latest decision, as the ledger has it."""
    site: Site
    """Where the endpoint stands by the catalogue of this worker."""
    residency: tuple[str, ...]
    """Regions it processes in by the same catalogue; empty is unknown."""
    prompt: Prompt = field(repr=False)
    schema: AnswerSchema | None = field(repr=False)
    scan: Callable[[str], Sequence[Found]] = field(repr=False)


def clear_call(departure: Departure) -> Clearance | None:
    """Leave for a model call, at the moment of sending.

    None for a call that is to stay in the house: without leave the egress reaches nothing else,
    whatever address the catalogue gives the endpoint.

    Raises:
        DepartureRefusedError: the text must not go there.
    """
    endpoint = departure.call.candidate.endpoint
    refusal = refusal_of(departure)
    if refusal is not None:
        raise DepartureRefusedError(endpoint, refusal)
    return None if departure.site is Site.LOCAL else Clearance(Purpose.MODEL_CALL, endpoint)


def clear_lookup(endpoint: str) -> Clearance:
    """Leave to ask an endpoint's own records for a call by its id: nothing else is sent."""
    return Clearance(Purpose.CALL_LOOKUP, endpoint)


def clear_telemetry(collector: str) -> Clearance:
    """Leave to send spans, which carry no content, to the collector an administrator named."""
    return Clearance(Purpose.TELEMETRY, collector)


def clear_notice(receiver: str) -> Clearance:
    """Leave to say that a task waits, by references alone, to whom an administrator named."""
    return Clearance(Purpose.NOTICE, receiver)


def refusal_of(departure: Departure) -> Refusal | None:
    """Why the call must not be sent; None where it may."""
    candidate = departure.call.candidate
    if candidate.site is not departure.site:
        return Refusal.SITE_CHANGED
    if departure.site is Site.LOCAL:
        # What is sent there stays in the house: it gets no leave, and needs none.
        return None
    record = departure.record
    if record is None or record.task_id != departure.call.task_id:
        return Refusal.NOT_DECIDED
    if not _is_planned(candidate, record):
        return Refusal.NOT_PLANNED
    return _by_privacy(departure, record) or _by_redaction(departure, record)


def _is_planned(candidate: Candidate, record: DecisionRecord) -> bool:
    plan = record.plan
    planned = (*plan.candidates, *plan.beside)
    wanted = (candidate.model, candidate.endpoint, candidate.site)
    return plan.effect is Effect.RUN and any(
        (each.model, each.endpoint, each.site) == wanted for each in planned
    )


def _by_privacy(departure: Departure, record: DecisionRecord) -> Refusal | None:
    request = record.input.request
    if record.plan.sensitivity is Sensitivity.RESTRICTED:
        return Refusal.RESTRICTED
    if request.privacy_tier is PrivacyTier.LOCAL_ONLY or (request.spec and request.spec.local_only):
        return Refusal.LOCAL_ONLY
    if request.privacy_tier is PrivacyTier.APPROVED_PRIVATE and departure.site is not Site.PRIVATE:
        return Refusal.NOT_PRIVATE
    allowed, regions = set(request.residency), set(departure.residency)
    if allowed and not (regions and regions <= allowed):
        return Refusal.RESIDENCY
    return None


def _by_redaction(departure: Departure, record: DecisionRecord) -> Refusal | None:
    owed = record.plan.obligations
    # Where nothing was found the copy is the text itself, under the same reference.
    is_copy = departure.call.placeholders is not None
    if not is_copy or not {Obligation.REDACT, Obligation.REDACT_SECRETS} & {*owed}:
        return Refusal.NOT_REDACTED
    if Obligation.REDACT in owed and departure.prompt.has_image:
        return Refusal.HOLDS_IMAGE
    found = [each for text in _leaving(departure) for each in departure.scan(text)]
    if any(each.is_secret for each in found):
        return Refusal.HOLDS_SECRET
    return Refusal.HOLDS_IDENTIFIER if found and Obligation.REDACT in owed else None


def _leaving(departure: Departure) -> Iterator[str]:
    """Every text the call would send."""
    yield departure.prompt.text
    yield " ".join(departure.prompt.call_ids)
    if departure.schema is not None:
        yield schema_text(departure.schema)
