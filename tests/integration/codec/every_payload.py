"""A workflow that sends a payload in every way there is, each with a word of its own."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from temporalio import activity, workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError, ChildWorkflowError

WITHIN = timedelta(seconds=30)
AT_ONCE = RetryPolicy(initial_interval=timedelta(milliseconds=1), maximum_attempts=2)
SEEN = [
    *("canary-start", "canary-memo", "canary-heartbeat-read", "canary-local-result"),
    *("canary-activity-error", "VISIBLE", "canary-activity-cause", "canary-activity-detail"),
    *("canary-child-result", "canary-child-error", "canary-update-input", "canary-signal"),
]
"""What the workflow reads, in this order."""
ONLY_WRITTEN = [
    *("canary-summary", "canary-details", "canary-later-memo", "canary-current-details"),
    *("canary-activity-input", "canary-heartbeat", "canary-activity-summary"),
    *("canary-timer-summary", "canary-child-input", "canary-child-signal"),
    *("canary-query-input", "canary-query-result", "canary-update-result"),
    *("canary-update-error", "canary-validator-error"),
]


@activity.defn
async def read_own_heartbeat(word: str) -> str:
    """Leaves a heartbeat in its first try and reads it in the second."""
    beats = activity.info().heartbeat_details
    if not beats:
        activity.heartbeat("canary-heartbeat")
        raise ApplicationError("canary-activity-error", type="VISIBLE")
    return f"{beats[0]}-read" if word == "canary-activity-input" else word


@activity.defn
async def say_locally() -> str:
    return "canary-local-result"


@activity.defn
async def complain() -> None:
    raise ApplicationError(
        "canary-activity-error", "canary-activity-detail", type="VISIBLE", non_retryable=True
    ) from ValueError("canary-activity-cause")


ACTIVITIES: list[Callable[..., Any]] = [read_own_heartbeat, say_locally, complain]


@workflow.defn
class Child:
    def __init__(self) -> None:
        self._told = ""

    @workflow.run
    async def run(self, word: str) -> str:
        await workflow.wait_condition(lambda: self._told != "")
        if word == "fail":
            raise ApplicationError("canary-child-error", type="VISIBLE")
        return "canary-child-result"

    @workflow.signal
    def tell(self, word: str) -> None:
        self._told = word


@workflow.defn
class EveryPayload:
    """Ends once as new; the second run returns what the first has read."""

    def __init__(self) -> None:
        self._seen: list[str] = []

    @workflow.run
    async def run(self, word: str, seen: list[str]) -> list[str]:
        if not seen:
            await self._read(word)
            workflow.continue_as_new(args=[word, self._seen])
        return seen

    async def _read(self, word: str) -> None:
        self._seen += [word, workflow.memo_value("m", type_hint=str)]
        workflow.upsert_memo({"later": "canary-later-memo"})
        workflow.set_current_details("canary-current-details")
        await self._activities()
        self._seen.append(await self._child("canary-child-input"))
        self._seen.append(await self._child("fail"))
        await workflow.sleep(0.001, summary="canary-timer-summary")
        await workflow.wait_condition(lambda: "canary-update-input" in self._seen)
        await workflow.wait_condition(lambda: "canary-signal" in self._seen)
        await workflow.wait_condition(workflow.all_handlers_finished)

    async def _activities(self) -> None:
        found = await workflow.execute_activity(
            read_own_heartbeat,
            "canary-activity-input",
            start_to_close_timeout=WITHIN,
            summary="canary-activity-summary",
            retry_policy=AT_ONCE,
        )
        local = await workflow.execute_local_activity(say_locally, start_to_close_timeout=WITHIN)
        self._seen += [found, local]
        try:
            await workflow.execute_activity(complain, start_to_close_timeout=WITHIN)
        except ActivityError as error:
            self._seen += _told_by(error)

    async def _child(self, word: str) -> str:
        """Signalled once as a child and once as any other workflow."""
        child = await workflow.start_child_workflow(
            Child.run, word, id=f"{workflow.info().workflow_id}/{len(self._seen)}"
        )
        if word == "fail":
            other = workflow.get_external_workflow_handle_for(Child.run, child.id)
            await other.signal(Child.tell, "canary-child-signal")
        else:
            await child.signal(Child.tell, "canary-child-signal")
        try:
            return await child
        except ChildWorkflowError as error:
            return str(error.cause).removeprefix("VISIBLE: ")

    @workflow.signal
    def tell(self, word: str) -> None:
        self._seen.append(word)

    @workflow.query
    def ask(self, word: str) -> str:
        return "canary-query-result" if word == "canary-query-input" else word

    @workflow.update
    async def change(self, word: str) -> str:
        if word == "fail":
            raise ApplicationError("canary-update-error", type="VISIBLE")
        self._seen.append(word)
        return "canary-update-result"

    @change.validator
    def check(self, word: str) -> None:
        if word == "refuse":
            raise ApplicationError("canary-validator-error", type="VISIBLE")


def _told_by(error: ActivityError) -> list[str]:
    cause = error.cause
    if not isinstance(cause, ApplicationError):
        return [repr(cause)]
    return [
        cause.message,
        cause.type or "",
        str(cause.cause).removeprefix("ValueError: "),
        *cause.details,
    ]
