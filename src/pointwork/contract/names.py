"""The names that cross a process boundary: workflow, activities, task queues, messages, attributes.

Other services use these instead of importing the deployment's ``workflows`` package.
"""

from enum import StrEnum

NAMESPACE_DEFAULT = "default"
ROUTE_TASK = "RouteTask"
SWEEP_LEDGER = "SweepLedger"
BULK_RUN = "BulkRun"
SWEEP_SCHEDULE = "pointwork-sweep"
"""Id of the Temporal schedule that starts ``SWEEP_LEDGER``."""
UPDATE_ANSWER = "answer"
UPDATE_VERDICT = "submit_verdict"
SIGNAL_VERDICT = "verdict"
QUERY_STATUS = "status"
QUERY_PLAN = "plan"
QUERY_DECISION = "decision"
QUERY_PROGRESS = "progress"
SIGNAL_PAUSE = "pause"
SIGNAL_RESUME = "resume"
SIGNAL_CANCEL = "cancel"


class TaskQueue(StrEnum):
    """One queue per kind of work: a slow or stopped one delays only its own step (DC-20)."""

    CLASSIFY = "classify"
    LEDGER = "ledger"
    REDACT = "redact"
    INVOKE = "invoke"
    GPU = "gpu-5090"
    VERIFY = "verify"
    APPROVALS = "approvals"
    RETRIEVE = "retrieve"
    EMBED = "embed"
    VISION = "vision"
    """Never behind language-model work: a camera's job starts while a model thinks (CX-25)."""


WORKFLOW_QUEUE = TaskQueue.LEDGER
"""Where workflow code runs: beside the ledger's steps, three of a plain task's five, which the
server then hands to the same worker with the workflow's own answer instead of by another poll. No
task moves without the ledger, so neither waits for anything new."""


class ActivityName(StrEnum):
    """The design card's seven, ``read-signals`` that runs beside ``classify`` (DC-19), and the
    executors that need no language model.

    ``sweep-ledger`` belongs to no task: a schedule runs it. The last four are a bulk run's.
    """

    CLASSIFY = "classify"
    READ_SIGNALS = "read-signals"
    FIND_CACHED = "find-cached"
    KEEP_ANSWER = "keep-answer"
    BUDGET_RESERVE = "budget-reserve"
    REDACT = "redact"
    INVOKE_MODEL = "invoke-model"
    PARALLEL_VERIFY = "parallel-verify"
    COMPOSE_REVIEW = "compose-review"
    HUMAN_APPROVAL = "human-approval"
    LOG_OUTCOME = "log-outcome"
    STAGE0_RETRIEVE = "stage0-retrieve"
    EMBED = "embed"
    DETECT_OBJECTS = "detect-objects"
    SWEEP_LEDGER = "sweep-ledger"
    NEXT_BULK_ITEMS = "next-bulk-items"
    BULK_ITEM_OUTCOME = "bulk-item-outcome"
    CLOSE_BULK_ITEMS = "close-bulk-items"
    END_BULK_RUN = "end-bulk-run"


class SearchAttribute(StrEnum):
    """Indexed fields of a task in Temporal's own UI; plain text on the server, so facts only."""

    TASK_CLASS = "PointworkClass"
    PACK = "PointworkPack"
    MODEL = "PointworkModel"
    STATUS = "PointworkStatus"
    WAITS_FOR = "PointworkWaitsFor"
    COST_USD = "PointworkCostUsd"
