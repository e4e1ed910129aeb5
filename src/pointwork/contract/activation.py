"""Which version of a pack an owner put in force, and what it took the place of (OM-85)."""

from typing import Annotated

from pydantic import AwareDatetime, Field

from pointwork.contract.snapshot import PolicyRef
from pointwork.contract.task import Message, Name

REASON_CHARACTERS_MIN, REASON_CHARACTERS_MAX = 8, 500


class PolicyActivation(Message):
    """An entry of a pack's log. It stands until another follows, or a newer version is deployed."""

    number: Annotated[int, Field(ge=1)]
    """Counted from 1 for each pack."""
    policy: PolicyRef
    """What decides new tasks from then on."""
    replaced: PolicyRef
    """What decided them before."""
    newest_version: str
    """The newest version that was deployed then; a newer one takes over by itself."""
    activated_by: Name
    reason: Annotated[
        str, Field(min_length=REASON_CHARACTERS_MIN, max_length=REASON_CHARACTERS_MAX)
    ]
    activated_at: AwareDatetime
