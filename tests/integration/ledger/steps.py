"""The steps of a plain task as its activities take them, over any engine, without Temporal."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime

from sqlalchemy import Engine
from temporalio.testing import ActivityEnvironment

from activities.invoke import InvokeActivities
from activities.outcome import OutcomeActivities
from activities.reserve import ReserveActivities
from pointwork.contract.canonical import canonical_json
from pointwork.contract.outcome import Invocation, Reservation, TaskOutcome, TaskStatus
from pointwork.contract.prompt import MEDIA_TYPE_PROMPT, Prompt
from pointwork.contract.steps import LogOutcome, Reserve
from pointwork.contract.task import ContentRef
from pointwork.ledger.attempts import AttemptLog, BudgetRefusedError
from pointwork.ledger.budgets import BudgetBook
from pointwork.ledger.content import SealedContent
from pointwork.ledger.listeners import Listeners
from pointwork.ledger.outcomes import OutcomeLog
from pointwork.ledger.signals import SignalStore
from pointwork.ledger.vault import TaskDraft, Vault
from pointwork.providers.port import Provider
from tests.fakes.open_door import OpenDoor
from tests.fakes.scripted_provider import Script, ScriptedProvider
from tests.integration.ledger.conftest import MASTER_KEYS
from tests.integration.ledger.records import decision, invoke, outcome, window
from workers.adapters import NamedContracts, PlaceholderRestorer
from workers.streaming import GatewaySinks

DAY_LIMIT_NANO_USD = 10**9


class Steps:
    """Each may be repeated, as Temporal repeats a step whose answer it did not get."""

    def __init__(self, engine: Engine, script: Script, provider: Provider | None = None) -> None:
        """``provider`` answers instead of the script, where it is given."""
        self._vault = Vault(engine, MASTER_KEYS)
        self._reserve = ReserveActivities(BudgetBook(engine))
        self._invoke = InvokeActivities(
            AttemptLog(engine, self._vault),
            SealedContent(self._vault),
            SignalStore(engine),
            {"acme-api": provider or ScriptedProvider("acme-api", script)},
            PlaceholderRestorer(),
            NamedContracts(),
            BudgetRefusedError,
            OpenDoor(),
            GatewaySinks(Listeners(engine), self._vault),
        )
        self._log = OutcomeActivities(OutcomeLog(engine))

    async def accept(self, task_id: str, text: str = "tidy up") -> ContentRef:
        draft = TaskDraft(task_id=task_id, caller="tester", pack="omega", declarations={})
        contents = [("prompt", canonical_json(Prompt.from_text(text)), MEDIA_TYPE_PROMPT)]
        accepted = await asyncio.to_thread(self._vault.accept, draft, contents, datetime.now(UTC))
        return accepted.refs["prompt"]

    async def reserve(self, task_id: str, prompt: ContentRef) -> Reservation:
        windows = (window("day", DAY_LIMIT_NANO_USD),)
        hold = Reserve(
            record=decision(
                task_id,
                windows=windows,
                candidates=(invoke(task_id).candidate,),
                task_ceiling_nano_usd=10**6,
            ),
            part_id=f"{task_id}/1",
            invoke=invoke(task_id).model_copy(update={"content": prompt}),
            expires_in_seconds=3600,
        )
        return await asyncio.to_thread(self._reserve.budget_reserve, hold)

    async def call(self, task_id: str, prompt: ContentRef) -> Invocation:
        call = invoke(task_id).model_copy(update={"content": prompt})
        environment, now = ActivityEnvironment(), datetime.now(UTC)
        environment.info = replace(
            environment.info, scheduled_time=now, current_attempt_scheduled_time=now
        )
        return await environment.run(self._invoke.invoke_model, call)

    async def log(self, task_id: str, status: TaskStatus = TaskStatus.SUCCEEDED) -> TaskOutcome:
        step = LogOutcome(outcome=outcome(task_id, status))
        return await asyncio.to_thread(self._log.log_outcome, step)
