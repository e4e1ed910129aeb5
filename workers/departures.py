"""The door as the deployment keeps it: decisions from the ledger, endpoints from the catalogue."""

from collections.abc import Mapping, Sequence

from pointwork.contract.decision import Site
from pointwork.contract.outcome import Invoke
from pointwork.contract.prompt import AnswerSchema, Prompt
from pointwork.ledger.outcomes import OutcomeLog
from pointwork.policy.documents.catalogue import Endpoint
from pointwork.privacy.detect import scan
from pointwork.privacy.findings import Finding
from pointwork.providers.departure import (
    Clearance,
    Departure,
    DepartureRefusedError,
    Refusal,
    clear_call,
)


class LedgerDoor:
    """Gathers what ``clear_call`` looks at. A call that stays in the house costs no read."""

    def __init__(self, outcomes: OutcomeLog, endpoints: Mapping[str, Endpoint]) -> None:
        self._outcomes = outcomes
        self._endpoints = endpoints

    def clear(self, call: Invoke, prompt: Prompt, schema: AnswerSchema | None) -> Clearance | None:
        """Leave for the call; None for one that stays in the house.

        Raises:
            DepartureRefusedError: it must not be sent, or no catalogue here lists its endpoint.
        """
        endpoint = self._endpoints.get(call.candidate.endpoint)
        if endpoint is None:
            raise DepartureRefusedError(call.candidate.endpoint, Refusal.SITE_CHANGED)
        stays = endpoint.site is Site.LOCAL
        return clear_call(
            Departure(
                call=call,
                record=None if stays else self._outcomes.latest_decision(call.task_id),
                site=endpoint.site,
                residency=endpoint.residency,
                prompt=prompt,
                schema=schema,
                scan=_scan,
            )
        )


def _scan(text: str) -> Sequence[Finding]:
    return scan(text).findings
