"""What ``pointwork doctor`` asks of the parts that run: server, workers, settings."""

import asyncio
import json
import sys
from asyncio.subprocess import DEVNULL, PIPE
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pointwork.cli.checks import Check, Verdict
from pointwork.cli.payload_keys import accepts_plaintext, payload_keys_file, worker_arguments
from pointwork.contract.failures import ServiceUnavailableError
from pointwork.contract.names import (
    SWEEP_SCHEDULE,
    WORKFLOW_QUEUE,
    SearchAttribute,
    TaskQueue,
)

if TYPE_CHECKING:
    from temporalio.client import Client, ScheduleActionExecution

    from pointwork.embedded import Endpoints

_TIMEOUT_SECONDS = 30
_SWEEP_AGE_SECONDS_MAX = 300
_SWEEP_REMEDY = "see logs/worker-*.log in the state folder; money of dead tasks stays held"
_START = "start it with `pointwork up`"


async def check_server(state_dir: Path) -> list[Check]:
    """Temporal answers, knows our search attributes, serves every queue and sweeps the ledger."""
    from temporalio.client import Client
    from temporalio.service import RPCError

    from pointwork.embedded import read_endpoints

    try:
        endpoints = read_endpoints(state_dir)
    except ServiceUnavailableError:
        return [Check("temporal", Verdict.WARN, "not running", _START)]
    try:
        async with asyncio.timeout(_TIMEOUT_SECONDS):
            client = await Client.connect(endpoints.temporal_address, namespace=endpoints.namespace)
            attributes = await _search_attributes(client)
            workers = await _workers(client)
            sweep = await check_sweep(client, datetime.now(UTC))
    except (RuntimeError, RPCError, TimeoutError):
        found = f"{endpoints.temporal_address} does not answer"
        return [Check("temporal", Verdict.FAIL, found, "see its log in the state folder's logs/")]
    return [_reached(endpoints), attributes, workers, sweep]


def _reached(endpoints: "Endpoints") -> Check:
    return Check("temporal", Verdict.OK, f"{endpoints.temporal_address}, UI {endpoints.ui_url}")


async def _search_attributes(client: "Client") -> Check:
    from temporalio.api.operatorservice.v1 import ListSearchAttributesRequest

    answer = await client.operator_service.list_search_attributes(
        ListSearchAttributesRequest(namespace=client.namespace)
    )
    missing = [each.value for each in SearchAttribute if each not in answer.custom_attributes]
    if missing:
        remedy = "restart with `pointwork up`, which registers them"
        found = f"search attributes are missing: {', '.join(missing)}"
        return Check("attributes", Verdict.FAIL, found, remedy)
    return Check("attributes", Verdict.OK, f"{len(SearchAttribute)} search attributes")


async def _workers(client: "Client") -> Check:
    from temporalio.api.enums.v1 import TaskQueueType
    from temporalio.api.taskqueue.v1 import TaskQueue as QueueName
    from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest

    idle: list[str] = []
    for queue in TaskQueue:
        kind = (
            TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW
            if queue is WORKFLOW_QUEUE
            else TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY
        )
        answer = await client.workflow_service.describe_task_queue(
            DescribeTaskQueueRequest(
                namespace=client.namespace,
                task_queue=QueueName(name=queue.value),
                task_queue_type=kind,
            )
        )
        if not answer.pollers:
            idle.append(queue.value)
    if idle:
        found = f"nobody serves {', '.join(idle)}"
        remedy = "see logs/worker-*.log in the state folder; tasks wait meanwhile"
        return Check("workers", Verdict.FAIL, found, remedy)
    return Check("workers", Verdict.OK, f"every queue is served ({len(TaskQueue)})")


async def check_sweep(client: "Client", now: datetime) -> Check:
    """When the schedule last swept the ledger, and how that ended."""
    from temporalio.service import RPCError, RPCStatusCode

    try:
        described = await client.get_schedule_handle(SWEEP_SCHEDULE).describe()
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
        return Check("sweep", Verdict.WARN, "nothing sweeps the ledger", _SWEEP_REMEDY)
    if described.schedule.state.paused:
        remedy = f"`temporal schedule toggle --unpause --schedule-id {SWEEP_SCHEDULE}`"
        found = "paused; holds of dead tasks stay"
        return Check("sweep", Verdict.WARN, found, remedy)
    actions = described.info.recent_actions
    since = actions[-1].started_at if actions else described.info.created_at
    age_seconds = max(0, int((now - since).total_seconds()))
    if not actions:
        late = age_seconds > _SWEEP_AGE_SECONDS_MAX
        found = f"none yet, {age_seconds} s after it was scheduled"
        return Check("sweep", Verdict.WARN if late else Verdict.OK, found, _SWEEP_REMEDY * late)
    if age_seconds > _SWEEP_AGE_SECONDS_MAX:
        return Check("sweep", Verdict.WARN, f"the last one was {age_seconds} s ago", _SWEEP_REMEDY)
    how = await _ended_badly(client, actions[-1].action)
    if how:
        found = f"the last one, {age_seconds} s ago, ended {how}"
        return Check("sweep", Verdict.WARN, found, _SWEEP_REMEDY)
    return Check("sweep", Verdict.OK, f"the last one was {age_seconds} s ago")


async def _ended_badly(client: "Client", action: "ScheduleActionExecution") -> str:
    """How a firing ended; empty where it runs, or ended as it should."""
    from temporalio.client import ScheduleActionExecutionStartWorkflow, WorkflowExecutionStatus

    if not isinstance(action, ScheduleActionExecutionStartWorkflow):
        return ""
    status = (await client.get_workflow_handle(action.workflow_id).describe()).status
    well = (WorkflowExecutionStatus.RUNNING, WorkflowExecutionStatus.COMPLETED)
    return "" if status is None or status in well else status.name.lower()


async def check_settings(state_dir: Path, app_root: Path) -> list[Check]:
    """The deployment's own settings, in its own process; of keys only the names are told."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "workers", "check"),
        *("--state-dir", str(state_dir.absolute()), "--json"),
        *worker_arguments(payload_keys_file(state_dir), accepts_plaintext=accepts_plaintext()),
        cwd=app_root,
        stdin=DEVNULL,
        stdout=PIPE,
        stderr=PIPE,
    )
    try:
        async with asyncio.timeout(_TIMEOUT_SECONDS):
            out, err = await process.communicate()
    except TimeoutError:
        found = f"the workers' own check took more than {_TIMEOUT_SECONDS} s"
        return [Check("settings", Verdict.FAIL, found, "look for a stuck ledger or disk")]
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        said = err.decode(errors="replace").strip().splitlines()[-1:] or ["no word"]
        remedy = f"run `{Path(sys.executable).name} -m workers check` in {app_root}"
        return [Check("settings", Verdict.FAIL, f"the workers cannot start: {said[0]}", remedy)]
    return [Check("settings", Verdict.OK, "workers can start"), *_keys(out)]


def _keys(out: bytes) -> list[Check]:
    """Which endpoints have a key, where the deployment says so."""
    try:
        usable: dict[str, bool] = json.loads(out)["endpoints"]
    except (ValueError, KeyError, TypeError):
        return []
    have = sorted(name for name, is_usable in usable.items() if is_usable)
    lack = sorted(name for name, is_usable in usable.items() if not is_usable)
    found = f"usable: {', '.join(have) or 'none'}; no key: {', '.join(lack) or 'none'}"
    if have:
        return [Check("endpoints", Verdict.OK, found)]
    return [Check("endpoints", Verdict.WARN, found, "set a vendor's key to reach its models")]
