"""The whole of Pointwork in one process: real Temporal, real ledger and vault, scripted models."""

import asyncio
import base64
import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Interceptor, Worker

from pointwork.client import PointworkClient
from pointwork.contract.approval import (
    ApprovalRequest,
    ApprovalVerdict,
    ApproverKey,
    SignedVerdict,
    Verdict,
)
from pointwork.contract.names import TaskQueue
from pointwork.contract.outcome import TaskOutcome
from pointwork.contract.prompt import AnswerSchema, Prompt
from pointwork.contract.task import Sensitivity, TaskDeclaration
from pointwork.ledger.approvals import ApprovalBook
from pointwork.ledger.content import SealedContent
from pointwork.ledger.engine import open_engine
from pointwork.ledger.migrate import migrate
from pointwork.ledger.outcomes import OutcomeLog
from pointwork.ledger.vault import MasterKeys, Vault
from pointwork.policy.bundle import PolicyBundle, PolicyLibrary
from pointwork.policy.documents.approval_times import ApprovalTimes
from pointwork.temporal import pointwork_plugin
from pointwork.verdicts import sign
from tests.fakes.fixed_inference import FixedInference
from tests.fakes.policy_facts import changed
from tests.fakes.scripted_provider import Script, ScriptedProvider
from workers.policy_library import with_stored_revisions
from workers.settings import Settings
from workers.wiring import (
    SHUTDOWN_GRACE,
    Parts,
    build_worker,
    codec_of,
    endpoints_of,
    invoke_activities,
)

OWNER, OWNER_KEY_ID = "owner", "owner-1"
QUICK_PACK = "quick"
"""The omega pack under another name, whose approvals expire within seconds."""
THRIFTY_PACK = "thrifty"
"""The juggernaut pack under another name, with budgets of its own to use up and no cache."""
SIDE_BY_SIDE_PACK, QUICK_CHOICE_PACK = "side-by-side", "quick-choice"
"""The omega pack whose classes ask several vendors at once; the second's choices expire soon."""
NEAR_PACK = "near"
"""As ``SIDE_BY_SIDE_PACK``, and high-stakes answers that are near enough count as one."""
PAIR_PACK = "pair"
"""The omega pack where two persons must say whether undeclared content may leave."""
PATIENT_PACK = "patient"
"""The omega pack whose approvals wait for weeks: reminders after 10 days, escalation after 20."""
VOICES_PACK = "voices"
"""The omega pack with a critic, judges and a self-critique, each in a class of its own."""
SELF_CRITICAL_PACK = "self-critical"
"""The codex pack whose Architect questions its own draft."""
REVISED_PACK = "revised"
"""The omega pack as version 1.1; its version 1.0 sent bulk work to a vendor, and unredacted."""
STRICT_PACK, LENIENT_PACK = "strict", "lenient"
"""The omega pack with a small budget a day for each caller; only the first stops hard."""
AGREEMENT = {
    "numbers": {"relative": "0.01"},
    "text": {"measure": "word_subsequence", "similarity_min": "0.8"},
}
DAY_SECONDS = 24 * 3600
LEAVING_SECONDS_MAX = 60.0
WEEKS = ApprovalTimes(
    remind_after_seconds=10 * DAY_SECONDS,
    escalate_after_seconds=20 * DAY_SECONDS,
    expire_after_seconds=60 * DAY_SECONDS,
)
VOICES: dict[str, dict[str, Any]] = {
    "high_stakes_logic": {"critic": {"families": ["claude_class"]}},
    "creative_synthesis": {"judge": {"families": ["gpt_class"], "on_fail": "hold"}},
    "exploratory_reasoning": {"judge": {"families": ["claude_class"], "on_fail": "deny"}},
    "red_team": {"self_critique": True},
    "bulk_generation": {"judge": {"families": ["local_open"], "on_fail": "deny"}},
    "summarisation_formatting": {
        "judge": {"families": ["local_open", "claude_class"], "on_fail": "hold"}
    },
}
PARALLEL = {"high_stakes_logic": 3, "creative_synthesis": 2, "exploratory_reasoning": 2}


@dataclass
class Stack:
    """A running system and the script its models follow."""

    client: PointworkClient
    temporal: Client
    parts: Parts
    script: Script
    outcomes: OutcomeLog
    approvals: ApprovalBook
    owner_key: Ed25519PrivateKey

    def declare(self, **declared: Any) -> TaskDeclaration:
        """A public task of a class the local model serves, unless said otherwise."""
        values: dict[str, Any] = {
            "task_id": f"task-{uuid.uuid4().hex[:16]}",
            "caller": "test-service",
            "task_class": "summarisation_formatting",
            "sensitivity": Sensitivity.PUBLIC,
        }
        return TaskDeclaration(**(values | declared))

    async def run(
        self,
        declaration: TaskDeclaration,
        text: str = "Tidy up this line.",
        schema: AnswerSchema | None = None,
    ) -> TaskOutcome:
        """Route a task and return its recorded outcome, whether it succeeded or not."""
        await self.client.submit(Prompt.from_text(text), declaration, schema)
        return await self.recorded(declaration.task_id)

    async def recorded(self, task_id: str) -> TaskOutcome:
        """The outcome row, once the workflow has closed."""
        handle = self.temporal.get_workflow_handle(task_id)
        async with asyncio.timeout(60):
            async for _ in handle.fetch_history_events(wait_new_event=True):
                pass
        outcome = self.outcomes.find(task_id)
        assert outcome is not None
        return outcome

    async def open_approval(self, task_id: str) -> ApprovalRequest:
        """The approval a task waits for, once it is open."""
        async with asyncio.timeout(60):
            while True:
                found = [a for a in self.approvals.waiting() if a.task_id == task_id]
                if found:
                    view = await self.client.status(task_id)
                    if view.approval_id == found[0].approval_id:
                        return found[0]
                await asyncio.sleep(0.02)

    def signed(
        self, request: ApprovalRequest, verdict: ApprovalVerdict, **changed: Any
    ) -> SignedVerdict:
        """The owner's verdict on ``request``; ``changed`` spoils a field of it."""
        given = verdict_on(request, verdict, **({"approver": OWNER} | changed))
        return sign(given, self.owner_key, OWNER_KEY_ID)


def verdict_on(
    request: ApprovalRequest, verdict: ApprovalVerdict, approver: str, **changed: Any
) -> Verdict:
    """A verdict on ``request`` before it is signed; ``changed`` spoils a field of it."""
    now = datetime.now(UTC)
    values: dict[str, Any] = {
        "approval_id": request.approval_id,
        "task_id": request.task_id,
        "verdict": verdict,
        "approver": approver,
        "reason": "looked at it and agree",
        "request_sha256": request.request_sha256,
        "policy_sha256": request.policy_sha256,
        "ceiling_nano_usd": request.ceiling_nano_usd,
        "decided_at": now,
        "expires_at": now + timedelta(minutes=5),
        "token_id": uuid.uuid4().hex,
    }
    return Verdict(**(values | changed))


def with_more_packs(library: PolicyLibrary) -> PolicyLibrary:
    omega = library.active("omega")
    times = ApprovalTimes(remind_after_seconds=1, escalate_after_seconds=2, expire_after_seconds=3)
    pack = omega.pack.model_copy(update={"pack": QUICK_PACK, "approvals": times})
    juggernaut = library.active("juggernaut")
    days = tuple(each for each in juggernaut.pack.budgets if each.period == "day")
    thrifty = juggernaut.pack.model_copy(
        update={"pack": THRIFTY_PACK, "budgets": days, "cache": None}
    )
    classes = {
        name: row.model_dump() | {"parallel": PARALLEL.get(name)}
        for name, row in omega.pack.classes.items()
    }
    soon = {"pack": QUICK_CHOICE_PACK, "classes": classes, "approvals": times.model_dump()}
    near = classes | {"high_stakes_logic": classes["high_stakes_logic"] | {"agreement": AGREEMENT}}
    codex = library.active("codex")
    roles = {name: row.model_dump() for name, row in codex.pack.classes.items()}
    roles["architect"]["self_critique"] = True
    shipped = [library.active(name) for name in library.packs]
    return PolicyLibrary(
        [
            *shipped,
            changed(omega, pack={"pack": SIDE_BY_SIDE_PACK, "classes": classes}),
            changed(omega, pack=soon),
            changed(omega, pack={"pack": PATIENT_PACK, "approvals": WEEKS.model_dump()}),
            changed(omega, pack={"pack": PAIR_PACK, "approvals": _in_pairs(omega)}),
            changed(omega, pack={"pack": NEAR_PACK, "classes": near}),
            changed(codex, pack={"pack": SELF_CRITICAL_PACK, "classes": roles}),
            changed(omega, pack={"pack": VOICES_PACK, "classes": _with_voices(omega)}),
            omega.model_copy(update={"pack": pack}),
            *(_small_budget(omega, name) for name in (STRICT_PACK, LENIENT_PACK)),
            juggernaut.model_copy(update={"pack": thrifty}),
            changed(omega, pack={"pack": REVISED_PACK, "version": "1.1", "supersedes": "1.0"}),
        ],
        retired=[_bulk_in_the_cloud(omega)],
    )


def _bulk_in_the_cloud(omega: PolicyBundle) -> PolicyBundle:
    name, family = "bulk_generation", "gpt_class"
    rows = {each: row.model_dump() for each, row in omega.pack.classes.items()}
    rows[name]["rungs"] = [[family]]
    ceilings = {each: dict(cells) for each, cells in omega.pack.ceilings.items()}
    ceilings[name][family] = ceilings["high_stakes_logic"][family]
    privacy = omega.pack.privacy.model_dump() | {"redact_before_egress": False}
    given = {"pack": REVISED_PACK, "classes": rows, "ceilings": ceilings, "privacy": privacy}
    return changed(omega, pack=given)


def _in_pairs(omega: PolicyBundle) -> dict[str, Any]:
    return omega.pack.approvals.model_dump() | {"approvers_min": {"data_classification": 2}}


def _with_voices(omega: PolicyBundle) -> dict[str, Any]:
    rows = {name: row.model_dump() for name, row in omega.pack.classes.items()}
    return {name: row | VOICES.get(name, {}) for name, row in rows.items()}


def _small_budget(omega: PolicyBundle, name: str) -> PolicyBundle:
    budget = {"scope": "caller", "period": "day", "limit": 10_000_000}
    return changed(
        omega, pack={"pack": name, "budgets": [budget], "hard_stop": name == STRICT_PACK}
    )


def open_test_parts(folder: Path, library: PolicyLibrary, script: Script) -> Parts:
    """A SQLite ledger in ``folder``, and a scripted provider for every endpoint elsewhere."""
    settings = Settings(state_dir=folder, threads=8)
    engine = open_engine(settings.ledger_address)
    migrate(engine)
    library = with_stored_revisions(engine, with_more_packs(library))
    master_keys = MasterKeys.load_or_create(settings.master_key_path)
    vault = Vault(engine, master_keys)
    return Parts(
        settings=settings,
        engine=engine,
        vault=vault,
        master_keys=master_keys,
        content=SealedContent(vault),
        library=library,
        threads=ThreadPoolExecutor(settings.threads),
        providers={
            name: ScriptedProvider(name, script)
            for name, endpoint in endpoints_of(library).items()
            if not endpoint.is_own
        },
        inference=FixedInference(),
    )


@asynccontextmanager
async def serving(worker: Worker) -> AsyncIterator[None]:
    """``async with worker``, whose end is not waited for for ever.

    The SDK waits without limit for every activity it took up. One that is lost on its way to us in
    the moment of the shutdown would keep a test for ever; the server gives it to the next worker.
    """
    await worker.__aenter__()
    try:
        yield
    finally:
        leaving = asyncio.ensure_future(worker.__aexit__(None, None, None))
        await asyncio.wait([leaving], timeout=LEAVING_SECONDS_MAX)
        if leaving.done():
            leaving.result()


@asynccontextmanager
async def running(
    server: WorkflowEnvironment | str,
    parts: Parts,
    script: Script,
    standins: Mapping[TaskQueue, Sequence[Callable[..., Any]]] | None = None,
    interceptors: Sequence[Interceptor] = (),
    owner_key: Ed25519PrivateKey | None = None,
    *,
    serves_gpu: bool = True,
) -> AsyncIterator[Stack]:
    """Every worker of the deployment, the GPU one with a scripted model unless it is left out.

    A queue of ``standins`` is served by those activities instead of the deployment's own. The
    server may be named by its address alone.
    """
    replaced = standins or {}
    address = server if isinstance(server, str) else server.client.service_client.config.target_host
    temporal = await Client.connect(
        address,
        plugins=[pointwork_plugin(parts.library, *interceptors, codec=codec_of(parts.settings))],
    )
    outcomes = OutcomeLog(parts.engine)
    async with AsyncExitStack() as stack:
        for queue, activities in replaced.items():
            worker = Worker(
                temporal,
                task_queue=queue,
                activities=activities,
                graceful_shutdown_timeout=SHUTDOWN_GRACE,
            )
            await stack.enter_async_context(serving(worker))
        for queue in TaskQueue:
            if queue is not TaskQueue.GPU and queue not in replaced:
                await stack.enter_async_context(serving(build_worker(temporal, queue, parts)))
        if serves_gpu:
            local = {"local-gpu": ScriptedProvider("local-gpu", script)}
            gpu = Worker(
                temporal,
                task_queue=TaskQueue.GPU,
                activities=[invoke_activities(parts, local).invoke_model],
                graceful_shutdown_timeout=SHUTDOWN_GRACE,
            )
            await stack.enter_async_context(serving(gpu))
        client = PointworkClient(temporal, parts.vault, outcomes)
        approvals, key = ApprovalBook(parts.engine), owner_key or Ed25519PrivateKey.generate()
        public = base64.b64encode(key.public_key().public_bytes_raw()).decode()
        owner = ApproverKey(key_id=OWNER_KEY_ID, approver=OWNER, public_key=public)
        approvals.add_key(owner, datetime.now(UTC))
        yield Stack(client, temporal, parts, script, outcomes, approvals, key)
