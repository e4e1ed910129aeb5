"""Bulk runs on the running stack: declared, sealed, started and waited for."""

import asyncio
import hashlib
import uuid
from dataclasses import dataclass, field
from typing import Any

from temporalio.client import WorkflowExecutionStatus, WorkflowHandle

from pointwork.client.bulk import BulkItem, BulkRuns, BulkView
from pointwork.contract.bulk import BulkProgress, bulk_workflow_id, item_task_id
from pointwork.contract.outcome import TaskOutcome, TaskStatus
from pointwork.contract.prompt import Prompt
from pointwork.contract.task import TaskDeclaration
from pointwork.ledger.bulk_runs import BulkBook, BulkDraft
from tests.workflows.stack import Stack


@dataclass
class Bulk:
    """One run of small items of a class the local model serves, unless said otherwise."""

    stack: Stack
    count: int
    in_flight: int = 4
    declared: dict[str, Any] = field(default_factory=dict)
    run_id: str = field(default_factory=lambda: f"run-{uuid.uuid4().hex[:12]}")

    def __post_init__(self) -> None:
        self.book = BulkBook(self.stack.parts.engine)
        self.runs = BulkRuns(self.stack.client, self.book)
        self.task_ids = [item_task_id(self.run_id, each) for each in self.item_ids]

    @property
    def item_ids(self) -> list[str]:
        return [f"i{number}" for number in range(1, self.count + 1)]

    @property
    def items(self) -> list[BulkItem]:
        return [
            BulkItem(position, item_id, self.declaration(item_id), Prompt.from_text("Tidy up."))
            for position, item_id in enumerate(self.item_ids, 1)
        ]

    def declaration(self, item_id: str) -> TaskDeclaration:
        given = {"task_id": item_task_id(self.run_id, item_id), "priority": 5}
        return self.stack.declare(**(given | self.declared))

    @property
    def draft(self) -> BulkDraft:
        first = self.items[0].declaration
        said = "".join(each.declaration.model_dump_json() for each in self.items)
        return BulkDraft(
            run_id=self.run_id,
            caller=first.caller,
            pack=first.pack,
            item_count=self.count,
            declared_sha256=hashlib.sha256(said.encode()).hexdigest(),
            in_flight_max=self.in_flight,
            priority=first.priority,
        )

    @property
    def handle(self) -> WorkflowHandle[Any, BulkProgress]:
        return self.stack.temporal.get_workflow_handle(
            bulk_workflow_id(self.run_id), result_type=BulkProgress
        )

    async def start(self, **sizes: int) -> None:
        await self.runs.seal(self.draft, self.items)
        await self.runs.start(self.run_id, **sizes)

    async def until(self, **wanted: Any) -> BulkView:
        """Once its view has these fields, ``ended`` among them; the view then."""
        async with asyncio.timeout(60):
            while True:
                view = await self.runs.view(self.run_id)
                found = {
                    "ended": view.counts.ended,
                    "in_flight": view.in_flight,
                    "paused": view.paused,
                    "state": view.run.state,
                    "was_terminated": view.was_terminated,
                }
                if all(found[name] == value for name, value in wanted.items()):
                    return view
                await asyncio.sleep(0.02)

    async def closed(self) -> WorkflowExecutionStatus | None:
        """How its workflow ended, continued ones followed."""
        async with asyncio.timeout(60):
            async for _ in self.handle.fetch_history_events(wait_new_event=True):
                pass
            while True:
                found = await self.handle.describe()
                if found.status is not WorkflowExecutionStatus.RUNNING:
                    return found.status
                await asyncio.sleep(0.02)

    def outcomes(self) -> list[TaskOutcome | None]:
        return [self.stack.outcomes.find(each) for each in self.task_ids]

    def statuses(self) -> list[TaskStatus | None]:
        return [each.status if each else None for each in self.outcomes()]

    def calls(self) -> list[int]:
        """How often a model was called for each item."""
        return [len(self.stack.script.calls.get(each, ())) for each in self.task_ids]
