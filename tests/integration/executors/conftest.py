"""A real ledger and vault, a task in it, and the executors on a real Temporal server."""

import base64
import json
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine
from temporalio import workflow
from temporalio.client import Client, WorkflowFailureError
from temporalio.common import RetryPolicy
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.exceptions import ActivityError, ApplicationError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from pointwork.contract.canonical import canonical_json
from pointwork.contract.prompt import MEDIA_TYPE_PROMPT, Prompt
from pointwork.contract.task import ContentRef
from pointwork.ledger.content import SealedContent
from pointwork.ledger.engine import open_engine
from pointwork.ledger.master_keys import MasterKeys
from pointwork.ledger.migrate import migrate
from pointwork.ledger.vault import TaskDraft, Vault
from workers.executors import ExecutorContent

START_WITHIN = timedelta(seconds=20)
"""The bound within which an executor's job has to start."""


@workflow.defn(sandboxed=False)
class OneStep:
    """Runs one activity on one queue, as a pipeline's stage would."""

    @workflow.run
    async def run(self, activity: str, step: dict[str, Any], queue: str) -> Any:
        return await workflow.execute_activity(
            activity,
            step,
            task_queue=queue,
            schedule_to_start_timeout=START_WITHIN,
            start_to_close_timeout=timedelta(seconds=60),
            retry_policy=RetryPolicy(maximum_attempts=3),
        )


@dataclass
class Bench:
    """One vault and one client; ``serve`` runs activities on a queue of this test's own."""

    engine: Engine
    vault: Vault
    content: SealedContent
    client: Client
    workflow_queue: str

    @property
    def executor_content(self) -> ExecutorContent:
        return ExecutorContent(self.content, self.vault)

    def accept(self, prompt: Prompt) -> tuple[str, ContentRef]:
        """Seal a task's prompt as its submission does."""
        task_id = f"task-{uuid.uuid4().hex[:12]}"
        draft = TaskDraft(task_id=task_id, caller="test", pack="omega", declarations={})
        contents = [("content", canonical_json(prompt), MEDIA_TYPE_PROMPT)]
        return task_id, self.vault.accept(draft, contents, datetime.now(UTC)).refs["content"]

    def answer(self, task_id: str, ref: dict[str, Any]) -> Any:
        return json.loads(self.content.answer_text(task_id, ContentRef.model_validate(ref)))

    @asynccontextmanager
    async def serve(self, *activities: Callable[..., Any], slots: int = 1) -> AsyncIterator[str]:
        """A queue that serves ``activities``, at most ``slots`` at a time."""
        queue = f"queue-{uuid.uuid4().hex}"
        with ThreadPoolExecutor(slots) as threads:
            async with Worker(
                self.client,
                task_queue=queue,
                activities=activities,
                activity_executor=threads,
                max_concurrent_activities=slots,
            ):
                yield queue

    async def run(
        self, activity: str, step: dict[str, Any], queue: str, run_id: str = ""
    ) -> dict[str, Any]:
        result: dict[str, Any] = await self.client.execute_workflow(
            OneStep.run,
            args=[activity, step, queue],
            id=run_id or uuid.uuid4().hex,
            task_queue=self.workflow_queue,
        )
        return result

    async def failure(self, activity: str, step: dict[str, Any], queue: str) -> ApplicationError:
        with pytest.raises(WorkflowFailureError) as caught:
            await self.run(activity, step, queue)
        assert isinstance(caught.value.cause, ActivityError)
        assert isinstance(caught.value.cause.cause, ApplicationError)
        return caught.value.cause.cause


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_engine(f"sqlite:///{tmp_path / 'ledger.db'}")
    migrate(engine)
    yield engine
    engine.dispose()


@pytest.fixture
async def bench(engine: Engine, temporal_server: WorkflowEnvironment) -> AsyncIterator[Bench]:
    vault = Vault(engine, MasterKeys(active="test", keys={"test": bytes(range(32))}))
    client = await Client.connect(
        temporal_server.client.service_client.config.target_host,
        data_converter=pydantic_data_converter,
    )
    queue = f"steps-{uuid.uuid4().hex}"
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(Worker(client, task_queue=queue, workflows=[OneStep]))
        yield Bench(engine, vault, SealedContent(vault), client, queue)


def image_prompt(data: bytes) -> Prompt:
    part = {"kind": "image", "media_type": "image/png", "data": base64.b64encode(data)}
    return Prompt.model_validate({"turns": [{"speaker": "user", "parts": [part]}]})
