"""A workflow of one's own whose steps are tasks: several texts, and one digest of their answers.

    .venv/bin/python examples/child_workflow.py "The meeting moved to Friday." "The train is late."

The workflow carries references and no text. Its starter seals the texts; an activity opens the
answers and seals the prompt of the last task, which is made of them. A worker that dies goes on
where it was; a parent that is cancelled has its tasks cancelled, and their money settled.
"""

import argparse
import asyncio
import sys
import uuid
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.worker import Worker

with workflow.unsafe.imports_passed_through():
    from pointwork.client import PointworkClient, leave
    from pointwork.client.child import run_task
    from pointwork.contract.outcome import TaskOutcome
    from pointwork.contract.prompt import Prompt
    from pointwork.contract.task import Sensitivity, TaskDeclaration, TaskRequest
    from pointwork.embedded import read_endpoints
    from pointwork.ledger.engine import open_engine
    from pointwork.ledger.outcomes import OutcomeLog
    from pointwork.ledger.vault import MasterKeys, Vault
    from pointwork.temporal import payload_codec, pointwork_plugin

QUEUE = "digest"


@dataclass
class DigestActivities:
    """What needs the text, and so the vault's key."""

    client: PointworkClient

    @activity.defn
    async def seal_digest(
        self, outcomes: list[TaskOutcome], declaration: TaskDeclaration
    ) -> TaskRequest:
        """The sealed task that digests the answers. A repeat seals the same one."""
        answers = [self.client.answer_text(each) for each in outcomes]
        text = "Say all of this in one sentence:\n" + "\n".join(f"- {each}" for each in answers)
        return await self.client.seal(Prompt.from_text(text), declaration)


@workflow.defn
class Digest:
    """Tidies up every text, side by side, then digests what came of them."""

    @workflow.run
    async def run(self, texts: list[TaskRequest], digest: TaskDeclaration) -> TaskOutcome:
        """The digest's outcome.

        Raises:
            ChildWorkflowError: one of the tasks ended without an answer.
        """
        outcomes = await asyncio.gather(*(run_task(each) for each in texts))
        request = await workflow.execute_activity_method(
            DigestActivities.seal_digest,
            args=[list(outcomes), digest],
            start_to_close_timeout=timedelta(seconds=30),
        )
        return await run_task(request)


def declared(task_id: str) -> TaskDeclaration:
    return TaskDeclaration(
        task_id=task_id,
        caller="digest-service",
        task_class="summarisation_formatting",
        sensitivity=Sensitivity.INTERNAL,
    )


async def digest(temporal: Client, client: PointworkClient, texts: list[str]) -> TaskOutcome:
    """Seal the texts, start the workflow and wait for it."""
    workflow_id = f"digest-{uuid.uuid4().hex[:12]}"
    sealed = [
        await client.seal(
            Prompt.from_text(f"Tidy up this line: {text}"), declared(f"{workflow_id}-{number}")
        )
        for number, text in enumerate(texts)
    ]
    outcome: TaskOutcome = await temporal.execute_workflow(
        Digest.run,
        args=[sealed, declared(f"{workflow_id}-whole")],
        id=workflow_id,
        task_queue=QUEUE,
    )
    return outcome


async def main(texts: list[str], state_dir: Path) -> None:
    at = read_endpoints(state_dir)
    codec = payload_codec(at.payload_keys) if at.payload_keys else None
    temporal = await Client.connect(
        at.temporal_address, namespace=at.namespace, plugins=[pointwork_plugin(codec=codec)]
    )
    engine = open_engine(at.ledger_url)
    vault = Vault(engine, MasterKeys.load_or_create(state_dir / "master.key"))
    client = PointworkClient(temporal, vault, OutcomeLog(engine))
    steps = DigestActivities(client)
    async with Worker(
        temporal, task_queue=QUEUE, workflows=[Digest], activities=[steps.seal_digest]
    ):
        outcome = await digest(temporal, client, texts)
    sys.stdout.write(f"{client.answer_text(outcome)}\n")
    sys.stderr.write(f"{outcome.task_id}: {outcome.served_model}\n")
    engine.dispose()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("texts", nargs="+")
    parser.add_argument("--state-dir", type=Path, default=Path(".pointwork"))
    given = parser.parse_args()
    asyncio.run(main(given.texts, given.state_dir))
    leave(0)
