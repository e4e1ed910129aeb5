"""A bulk run: thousands of tasks from one file, started a few at a time, with one end each."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from pointwork.contract.failures import FailureType
from pointwork.contract.money import NanoUsd
from pointwork.contract.outcome import TaskStatus
from pointwork.contract.task import Message, Name, TaskRequest

RUN_ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,47}$"
ITEM_ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,78}$"
ITEMS_MAX = 100_000
IN_FLIGHT_MAX = 256
PAGE_ITEMS = 200
ITEMS_PER_HISTORY = 400

RunId = Annotated[str, Field(pattern=RUN_ID_PATTERN)]
Count = Annotated[int, Field(ge=0)]


def item_task_id(run_id: str, item_id: str) -> str:
    """The id of an item's task: the same for every try, and no other item's.

    A run's id has no colon, so that no two pairs of ids give one.
    """
    return f"{run_id}:{item_id}"


def bulk_workflow_id(run_id: str) -> str:
    """No task's id has a slash, so that a run and a task never share a workflow id."""
    return f"bulk/{run_id}"


class PauseReason(StrEnum):
    """Why a run starts no more items until somebody resumes it."""

    PERSON = "person"
    BUDGET = "budget"
    """Many items in a row ended because a budget does not cover them."""
    PROVIDERS = "providers"
    """Many items in a row ended because every permitted model failed."""

    @property
    def sentence(self) -> str:
        return _PAUSE_SENTENCES[self]


_PAUSE_SENTENCES = {
    PauseReason.PERSON: "Somebody paused it.",
    PauseReason.BUDGET: "A budget does not cover its items; raise it, or wait for its next period.",
    PauseReason.PROVIDERS: "Every permitted model failed, item after item; see `pointwork doctor`.",
}


class BulkCounts(Message):
    """How the items of a run that ended have ended."""

    done: Count = 0
    """With an answer."""
    failed: Count = 0
    """Denied, failed or expired."""
    cancelled: Count = 0
    cost_nano_usd: NanoUsd = 0

    @property
    def ended(self) -> int:
        return self.done + self.failed + self.cancelled

    def plus(self, other: "BulkCounts") -> "BulkCounts":
        return BulkCounts(
            done=self.done + other.done,
            failed=self.failed + other.failed,
            cancelled=self.cancelled + other.cancelled,
            cost_nano_usd=self.cost_nano_usd + other.cost_nano_usd,
        )


class BulkItemEnd(Message):
    """How one item ended."""

    status: TaskStatus
    failure: FailureType | None = None
    cost_nano_usd: NanoUsd = 0

    @property
    def counts(self) -> BulkCounts:
        is_done = self.status is TaskStatus.SUCCEEDED
        is_cancelled = self.status is TaskStatus.CANCELLED
        return BulkCounts(
            done=int(is_done),
            failed=int(not is_done and not is_cancelled),
            cancelled=int(is_cancelled),
            cost_nano_usd=self.cost_nano_usd,
        )


class BulkRunState(Message):
    """The input of ``BulkRun``, and what one of its histories hands to the next."""

    run_id: RunId
    caller: Name
    total: Annotated[int, Field(ge=1, le=ITEMS_MAX)]
    in_flight_max: Annotated[int, Field(ge=1, le=IN_FLIGHT_MAX)] = 8
    page_items: Annotated[int, Field(ge=1, le=PAGE_ITEMS)] = PAGE_ITEMS
    items_per_history: Annotated[int, Field(ge=1)] = ITEMS_PER_HISTORY
    """After so many items the workflow continues as new; each leaves some 5 kB in the history."""
    after_position: Count = 0
    """The last item that was handed out."""
    counts: BulkCounts = BulkCounts()
    paused: PauseReason | None = None
    failures_in_a_row: Count = 0
    """Of the same kind, and of one that says nothing of the item."""
    last_failure: FailureType | None = None


class BulkProgress(Message):
    """What the query ``progress`` answers."""

    run_id: RunId
    total: Count
    counts: BulkCounts
    in_flight: Count
    paused: PauseReason | None = None
    is_ending: bool = False
    """It was cancelled, or its last item has ended: only the record is missing."""


class NextBulkItems(Message):
    """The input of ``next-bulk-items``."""

    run_id: RunId
    after_position: Count
    items_max: Annotated[int, Field(ge=1, le=PAGE_ITEMS)] = PAGE_ITEMS


class BulkPage(Message):
    """Items in the order of the file. Those that have an outcome already are counted instead."""

    requests: tuple[TaskRequest, ...] = ()
    last_position: Count
    is_last: bool = False
    ended: BulkCounts = BulkCounts()


class CloseBulkItems(Message):
    """The input of ``close-bulk-items``."""

    run_id: RunId
    items_max: Annotated[int, Field(ge=1, le=PAGE_ITEMS)] = PAGE_ITEMS


class EndBulkRun(Message):
    """The input of ``end-bulk-run``."""

    run_id: RunId
    cancelled: bool = False
