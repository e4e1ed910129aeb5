"""Joins the response cache of the ledger to the workflow's steps (JG-56, R-20)."""

from datetime import datetime

from pointwork.contract.outcome import FinishReason
from pointwork.contract.steps import FindCached, KeepAnswer
from pointwork.ledger.response_cache import CacheHit, CacheSubject, ResponseCache
from pointwork.ledger.vault import Vault
from pointwork.policy.bundle import PolicyLibrary


class LedgerCache:
    """A cache for the packs that have one; the plan says how long an answer serves."""

    def __init__(self, cache: ResponseCache, vault: Vault, library: PolicyLibrary) -> None:
        self._cache = cache
        self._vault = vault
        self._library = library

    def key(self, step: FindCached) -> str | None:
        request, plan = step.request, step.plan
        candidate, schema = plan.candidates[0], request.answer_schema
        own = request.constraints.temperature
        subject = CacheSubject(
            prompt=self._vault.open(request.task_id, request.content),
            answer_schema=None if schema is None else self._vault.open(request.task_id, schema),
            candidate=candidate,
            temperature=own if candidate.temperature is None else float(candidate.temperature),
            seed=request.constraints.seed,
            policy=plan.policy,
            privacy_tier=request.privacy_tier,
            sensitivity=plan.sensitivity,
            data_classes=plan.data_classes,
            has_findings=step.has_findings,
        )
        return self._cache.key(subject)

    def find(self, key: str, task_id: str, now: datetime) -> CacheHit | None:
        return self._cache.find(key, task_id, now)

    def keep(self, key: str, step: KeepAnswer, now: datetime) -> bool:
        plan, invocation = step.find.plan, step.invocation
        rules = self._library.by_hash(plan.policy.bundle_sha256).pack.cache
        if rules is None or invocation.finish_reason is not FinishReason.STOP:
            return False
        return self._cache.keep(
            key,
            task_id=step.find.request.task_id,
            answer=invocation.answer,
            model=plan.candidates[0].model,
            served_as=invocation.served_model,
            ttl_seconds=plan.cache_ttl_seconds,
            max_bytes=rules.max_bytes,
            now=now,
        )
