"""Asks the guardrail authority within a time; silence or an error is a denial (SP-51)."""

from concurrent.futures import ThreadPoolExecutor

from pointwork.contract.snapshot import GuardrailSignal, GuardrailVerdict
from pointwork.governance.ports import GuardedStep, Guardrails

GUARDRAIL_TIMEOUT_SECONDS = 2.0


class Guarded:
    """A guardrail authority that always answers: with its verdict, or UNAVAILABLE. Thread-safe.

    A check that hangs keeps its thread. Once every thread hangs, each further step is UNAVAILABLE
    too, which is what a dead authority means.
    """

    def __init__(
        self,
        guardrails: Guardrails,
        timeout_seconds: float = GUARDRAIL_TIMEOUT_SECONDS,
        threads: int = 8,
    ) -> None:
        self._guardrails = guardrails
        self._timeout_seconds = timeout_seconds
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="guardrail")

    def check(self, step: GuardedStep) -> GuardrailSignal:
        """The verdict on ``step``; it never raises for what the authority does or does not do."""
        asked = self._pool.submit(self._guardrails.check, step)
        try:
            error = asked.exception(timeout=self._timeout_seconds)
        except TimeoutError:
            asked.cancel()
            return GuardrailSignal(verdict=GuardrailVerdict.UNAVAILABLE, rule="timeout")
        if error is not None:
            # Its text may quote the step; its kind cannot.
            rule = type(error).__name__
            return GuardrailSignal(verdict=GuardrailVerdict.UNAVAILABLE, rule=rule)
        return asked.result()
