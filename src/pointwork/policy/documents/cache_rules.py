"""The pack's field ``cache``: how long an answer may serve an equal request (JG-56, R-20)."""

from typing import Annotated

from pydantic import Field

from pointwork.policy.documents.document import Document

_WEEK_SECONDS = 7 * 24 * 3600


class CacheRules(Document):
    """Without this field nothing of the pack is cached."""

    ttl_seconds: Annotated[int, Field(ge=1, le=_WEEK_SECONDS)]
    max_bytes: Annotated[int, Field(ge=1)]
    """The largest answer that is kept."""
