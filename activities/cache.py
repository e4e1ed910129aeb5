"""``find-cached`` and ``keep-answer``: an equal request may be served by an earlier answer."""

from datetime import UTC, datetime
from typing import Protocol

from temporalio import activity

from pointwork.contract.names import ActivityName
from pointwork.contract.outcome import FinishReason, Invocation, Settlement, TokenUsage
from pointwork.contract.steps import FindCached, KeepAnswer
from pointwork.contract.task import ContentRef


class CachedAnswer(Protocol):
    @property
    def answer(self) -> ContentRef: ...
    @property
    def served_as(self) -> str: ...


class Cache(Protocol):
    def key(self, step: FindCached) -> str | None:
        """None where the call is neither found nor kept: its content is too careful for that."""
        ...

    def find(self, key: str, task_id: str, now: datetime) -> CachedAnswer | None: ...
    def keep(self, key: str, step: KeepAnswer, now: datetime) -> bool: ...


class CacheActivities:
    """Only packs with a cache call these; a hit is still a logged task, at no cost (R-20)."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache

    @activity.defn(name=ActivityName.FIND_CACHED)
    def find_cached(self, step: FindCached) -> Invocation | None:
        """The kept answer, sealed anew for this task; None where there is none."""
        key = self._cache.key(step)
        if key is None:
            return None
        hit = self._cache.find(key, step.request.task_id, datetime.now(UTC))
        if hit is None:
            return None
        return Invocation(
            attempt_id="",
            answer=hit.answer,
            served_model=hit.served_as,
            finish_reason=FinishReason.STOP,
            usage=TokenUsage(input_tokens=0, output_tokens=0),
            cost_nano_usd=0,
            settlement=Settlement.EXACT,
            duration_ms=0,
        )

    @activity.defn(name=ActivityName.KEEP_ANSWER)
    def keep_answer(self, step: KeepAnswer) -> bool:
        """Whether the answer now serves equal requests."""
        key = self._cache.key(step.find)
        return key is not None and self._cache.keep(key, step, datetime.now(UTC))
