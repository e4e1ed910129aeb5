"""``RouteTask``: the workflow of one task, as Temporal sees it. Its steps are in ``routing``."""

from typing import Any

from temporalio import workflow
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from pointwork.contract.decision import DecisionRecord, Plan
    from pointwork.contract.names import (
        QUERY_DECISION,
        QUERY_PLAN,
        QUERY_STATUS,
        ROUTE_TASK,
        SIGNAL_VERDICT,
        UPDATE_ANSWER,
        UPDATE_VERDICT,
    )
    from pointwork.contract.outcome import TaskOutcome, TaskView
    from pointwork.contract.task import TaskRequest
    from workflows.routing import Routing


@workflow.defn(name=ROUTE_TASK)
class RouteTask:
    """Sees references and facts, never text. Ends in exactly one outcome, whatever happens."""

    @workflow.init
    def __init__(self, request: TaskRequest) -> None:
        self._routing = Routing(request)

    @workflow.run
    async def run(self, request: TaskRequest) -> TaskOutcome:
        """Route the task and record its outcome.

        Raises:
            ApplicationError: its type is the FailureType that ended the task.
        """
        return await self._routing.run()

    @workflow.update(name=UPDATE_ANSWER, description="wait for the answer")
    async def answer(self) -> TaskOutcome:
        return await self._routing.answer()

    @workflow.update(name=UPDATE_VERDICT, description="a person's signed verdict")
    def submit_verdict(self, signed: Any) -> None:
        """``signed`` is a ``SignedVerdict``; read by hand, so that any other is refused by rule."""
        self._routing.take_verdict(signed)

    @submit_verdict.validator
    def _verdict_is_valid(self, signed: Any) -> None:
        self._routing.check_verdict(signed)

    @workflow.signal(name=SIGNAL_VERDICT, description="the same signed verdict, pasted as JSON")
    def verdict(self, signed: Any) -> None:
        try:
            self._routing.check_verdict(signed)
        except ApplicationError:
            return
        self._routing.take_verdict(signed)

    @workflow.query(name=QUERY_STATUS)
    def status(self) -> TaskView:
        return self._routing.view()

    @workflow.query(name=QUERY_PLAN)
    def plan(self) -> Plan | None:
        return self._routing.plan

    @workflow.query(name=QUERY_DECISION)
    def decision(self) -> DecisionRecord | None:
        return self._routing.record
