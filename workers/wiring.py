"""The composition root: only here do ports meet adapters, and only from settings."""

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from sqlalchemy import Engine
from temporalio.client import Client
from temporalio.worker import Interceptor, Worker

from activities.approval import ApprovalActivities
from activities.bulk import BulkActivities
from activities.cache import CacheActivities
from activities.classify import ClassifyActivities, ClassInference
from activities.compose import ComposeActivities
from activities.detect import DetectActivities
from activities.embed import EmbedActivities
from activities.invoke import InvokeActivities
from activities.outcome import OutcomeActivities
from activities.redact import RedactActivities
from activities.reserve import ReserveActivities
from activities.retrieve import RetrieveActivities
from activities.signals import SignalActivities
from activities.sweep import SweepActivities
from activities.verify import VerifyActivities
from pointwork.contract.names import WORKFLOW_QUEUE, TaskQueue
from pointwork.executors.corpora import CorpusShelf
from pointwork.ledger.activations import ActivationLog
from pointwork.ledger.approvals import ApprovalBook
from pointwork.ledger.attempts import AttemptLog, BudgetRefusedError
from pointwork.ledger.budget_settings import BudgetSettings
from pointwork.ledger.budgets import BudgetBook
from pointwork.ledger.bulk_runs import BulkBook
from pointwork.ledger.comparisons import ComparisonLog
from pointwork.ledger.content import SealedContent
from pointwork.ledger.engine import open_engine
from pointwork.ledger.ledger_file import check_ledger_file
from pointwork.ledger.listeners import Listeners
from pointwork.ledger.migrate import migrate
from pointwork.ledger.outcomes import OutcomeLog
from pointwork.ledger.policies import RevisionStore
from pointwork.ledger.response_cache import ResponseCache
from pointwork.ledger.rotation import open_master_keys
from pointwork.ledger.sealed_bytes import InTable, SealedBytes
from pointwork.ledger.signals import SignalStore
from pointwork.ledger.traffic import Traffic
from pointwork.ledger.vault import MasterKeys, Vault
from pointwork.ledger.vault_rows import ledger_id
from pointwork.policy.active import ActivePolicies
from pointwork.policy.bundle import PolicyLibrary
from pointwork.policy.documents.catalogue import Endpoint
from pointwork.policy.engine.voices import CRITIC_FLAG
from pointwork.privacy.codec import EncryptingCodec
from pointwork.privacy.language.host import LanguageHost
from pointwork.providers.port import Provider
from pointwork.temporal import RefusalInterceptor, payload_codec, pointwork_plugin
from workers.adapters import (
    AnswersBySide,
    DiffMarks,
    JsonSchemaCheck,
    LibraryPolicy,
    NamedContracts,
    PlaceholderRestorer,
    PromptRedactor,
    PromptShape,
    ReviewWriting,
    ScanText,
)
from workers.approvals import KeyedApprovals
from workers.caching import LedgerCache
from workers.departures import LedgerDoor
from workers.executors import ExecutorContent, host_detector, local_embedding
from workers.governed_signals import governed_signals
from workers.inference import TextInference
from workers.notices import Notices
from workers.policy_library import checked_library, with_stored_revisions
from workers.providers import connect_provider, is_usable
from workers.refusals import RefusedVerdicts
from workers.settings import Credentials, Settings
from workers.streaming import GatewaySinks
from workers.sweeping import ledger_sweep
from workflows.bulk_run import BulkRun
from workflows.route_task import RouteTask
from workflows.sweep_ledger import SweepLedger

ActivityList = Sequence[Callable[..., Any]]

POLLS = 16
"""Open polls a queue: a task that meets no waiting poll is written to the server's backlog and
read back. With the SDK's five that cost a tenth of the server's time at 32 tasks in flight."""

SHUTDOWN_GRACE = timedelta(seconds=2)
"""How long a worker told to stop lets its steps end. With none, an activity that is cancelled after
it was taken up and before its first line ran is ended by nobody: the SDK waits for it for ever."""

EXECUTOR_QUEUES = frozenset({TaskQueue.RETRIEVE, TaskQueue.EMBED, TaskQueue.VISION})
EXECUTOR_THREADS = 2
"""They are bound by the processor, so more at once would only be slower each."""


@dataclass(frozen=True)
class Parts:
    """What every worker of one process shares."""

    settings: Settings
    engine: Engine
    vault: Vault
    master_keys: MasterKeys
    content: SealedContent
    library: PolicyLibrary
    threads: ThreadPoolExecutor
    providers: Mapping[str, Provider]
    """One provider for each endpoint outside this host that has a key."""
    inference: ClassInference
    language: LanguageHost | None = None
    """Reads for names before text leaves; None where the settings leave that out."""
    store: SealedBytes = field(default_factory=InTable)
    """Where sealed bytes lie outside the ledger's table."""

    @property
    def policies(self) -> ActivePolicies:
        """What decides new tasks, as the ledger says at every look."""
        return ActivePolicies(self.library, ActivationLog(self.engine), RevisionStore(self.engine))

    @property
    def usable_endpoints(self) -> frozenset[str]:
        """Endpoints a task can be sent to: those with a provider, and this host's own."""
        own = (name for name, each in endpoints_of(self.library).items() if each.is_own)
        return frozenset({*self.providers, *own})


def endpoints_of(library: PolicyLibrary) -> dict[str, Endpoint]:
    """Every endpoint that some active or retired bundle reaches."""
    return {
        each.model.endpoint: each.endpoint
        for bundle in library.all()
        for each in bundle.models.values()
    }


def open_parts(settings: Settings) -> Parts:
    """Open ledger and vault, load the policy, and remember its revisions in the ledger.

    Raises:
        TamperedPolicyError: a pack is not the one on record; the ledger holds the incident.
        VaultUrlError, SealedStoreError: sealed bytes are to lie in a store that does not work.
        LedgerUrlError: the ledger is gone or cannot be written.
        PolicyError, UnsafeSqliteError, PermissionError: something is not fit to run on.
    """
    if settings.ledger_url is None:
        # The key is made after the ledger; one given from elsewhere tells nothing of this folder.
        key = settings.master_key_path
        was_used = settings.master_key_file is None and key.exists()
        check_ledger_file(settings.ledger_path, was_used=was_used)
    engine = open_engine(settings.ledger_address)
    migrate(engine)
    library = with_stored_revisions(engine, checked_library(engine, settings))
    master_keys = open_master_keys(engine, settings.master_key_path)
    store = sealed_store(settings, engine)
    vault = Vault(engine, master_keys, store=store)
    threads = ThreadPoolExecutor(settings.threads, thread_name_prefix="activity")
    return Parts(
        settings=settings,
        engine=engine,
        vault=vault,
        master_keys=master_keys,
        content=SealedContent(vault),
        library=library,
        threads=threads,
        providers=cloud_providers(library, settings.credentials),
        inference=TextInference(),
        language=LanguageHost() if settings.language_reading else None,
        store=store,
    )


def sealed_store(settings: Settings, engine: Engine) -> SealedBytes:
    """Where large sealed contents lie; one outside the ledger has shown that it works.

    Raises:
        VaultUrlError: its address or an option cannot be used.
        SealedStoreError: it does not take, give or delete objects.
    """
    if settings.vault_url is None:
        return InTable()
    # Imported here: without a store no process loads its library.
    from pointwork.ledger.object_store import open_object_store

    store = open_object_store(
        settings.vault_url,
        settings.vault_options,
        ledger_id=ledger_id(engine),
        inline_bytes_max=settings.vault_inline_bytes,
    )
    store.check()
    return store


def cloud_providers(library: PolicyLibrary, credentials: Credentials) -> dict[str, Provider]:
    return {
        name: connect_provider(name, endpoint, credentials)
        for name, endpoint in endpoints_of(library).items()
        if not endpoint.is_own and is_usable(endpoint, credentials)
    }


def invoke_activities(parts: Parts, providers: Mapping[str, Provider]) -> InvokeActivities:
    return InvokeActivities(
        AttemptLog(parts.engine, parts.vault),
        parts.content,
        SignalStore(parts.engine),
        providers,
        PlaceholderRestorer(),
        NamedContracts(),
        BudgetRefusedError,
        LedgerDoor(OutcomeLog(parts.engine), endpoints_of(parts.library)),
        GatewaySinks(Listeners(parts.engine), parts.vault),
    )


def activities_of(queue: TaskQueue, parts: Parts) -> ActivityList:
    """The activities of one queue. ``gpu-5090`` is built by its own entry."""
    match queue:
        case TaskQueue.CLASSIFY:
            classify = ClassifyActivities(
                parts.content,
                ScanText(),
                parts.inference,
                LibraryPolicy(parts.policies),
                PromptShape(),
                DiffMarks(parts.policies),
            )
            return [classify.classify]
        case TaskQueue.LEDGER:
            return [
                signal_activities(parts).read_signals,
                ReserveActivities(BudgetBook(parts.engine)).budget_reserve,
                OutcomeActivities(OutcomeLog(parts.engine)).log_outcome,
                *cache_activities(parts),
                *bulk_activities(parts),
            ]
        case TaskQueue.REDACT:
            return [RedactActivities(parts.content, PromptRedactor(parts.language)).redact]
        case TaskQueue.INVOKE:
            return [invoke_activities(parts, parts.providers).invoke_model]
        case TaskQueue.VERIFY:
            verify = VerifyActivities(
                parts.content,
                JsonSchemaCheck(),
                NamedContracts(),
                AnswersBySide(),
                ComparisonLog(parts.engine),
            )
            compose = ComposeActivities(parts.content, ReviewWriting())
            return [verify.parallel_verify, compose.compose_review]
        case TaskQueue.APPROVALS:
            approvals = ApprovalActivities(
                KeyedApprovals(parts.engine, lambda: parts.vault.master_keys),
                LibraryPolicy(parts.policies),
                Notices(parts.settings.notices),
            )
            return [approvals.human_approval]
        case TaskQueue.RETRIEVE | TaskQueue.EMBED | TaskQueue.VISION:
            return executor_activities(queue, parts)
        case _:
            return []


def signal_activities(parts: Parts) -> SignalActivities:
    """What a decision reads of the moment, for workers, and for who asks what would be decided."""
    settings = parts.settings
    return SignalActivities(
        SignalStore(parts.engine),
        BudgetSettings(parts.engine),
        LibraryPolicy(parts.policies),
        parts.usable_endpoints,
        governed_signals(
            parts.library,
            Traffic(parts.engine),
            settings.state_dir,
            settings.quotas_a_day,
            frozenset({CRITIC_FLAG} if settings.spec_kit.critic else ()),
        ),
    )


def cache_activities(parts: Parts) -> ActivityList:
    cache = LedgerCache(ResponseCache(parts.engine, parts.vault), parts.vault, parts.library)
    activities = CacheActivities(cache)
    return [activities.find_cached, activities.keep_answer]


def bulk_activities(parts: Parts) -> ActivityList:
    bulk = BulkActivities(BulkBook(parts.engine))
    return [
        bulk.next_bulk_items,
        bulk.bulk_item_outcome,
        bulk.close_bulk_items,
        bulk.end_bulk_run,
    ]


def executor_activities(queue: TaskQueue, parts: Parts) -> ActivityList:
    """Work without a language model. What is not configured refuses its work, in words."""
    content = ExecutorContent(parts.content, parts.vault)
    match queue:
        case TaskQueue.RETRIEVE:
            corpora = CorpusShelf(parts.settings.corpora_path)
            return [RetrieveActivities(content, corpora).stage0_retrieve]
        case TaskQueue.EMBED:
            return [EmbedActivities(content, local_embedding(parts.settings)).embed]
        case _:
            return [DetectActivities(content, host_detector(parts.settings)).detect_objects]


def build_worker(client: Client, queue: TaskQueue, parts: Parts) -> Worker:
    """A worker that serves one queue and registers only that queue's work (DC-11)."""
    if queue is TaskQueue.INVOKE:
        # Calls wait on the network, not on a thread.
        return Worker(
            client,
            task_queue=queue,
            activities=activities_of(queue, parts),
            max_concurrent_activities=parts.settings.calls_in_flight_max,
            max_concurrent_activity_task_polls=POLLS,
            graceful_shutdown_timeout=SHUTDOWN_GRACE,
        )
    if queue in EXECUTOR_QUEUES:
        # Threads of their own: they neither wait for the ledger's and models' steps nor keep
        # those waiting (CX-25).
        return Worker(
            client,
            task_queue=queue,
            activities=activities_of(queue, parts),
            activity_executor=ThreadPoolExecutor(EXECUTOR_THREADS, thread_name_prefix=queue),
            max_concurrent_activities=EXECUTOR_THREADS,
            max_concurrent_activity_task_polls=EXECUTOR_THREADS,
            graceful_shutdown_timeout=SHUTDOWN_GRACE,
        )
    activities = [*activities_of(queue, parts)]
    if queue is TaskQueue.LEDGER:
        activities.append(SweepActivities(ledger_sweep(client, parts)).sweep_ledger)
    refusals = RefusedVerdicts(ApprovalBook(parts.engine), parts.threads)
    return Worker(
        client,
        task_queue=queue,
        workflows=[RouteTask, SweepLedger, BulkRun] if queue is WORKFLOW_QUEUE else [],
        interceptors=[RefusalInterceptor(refusals)],
        max_concurrent_workflow_task_polls=POLLS,
        activities=activities,
        activity_executor=parts.threads,
        max_concurrent_activities=parts.settings.threads,
        max_concurrent_activity_task_polls=POLLS,
        graceful_shutdown_timeout=SHUTDOWN_GRACE,
    )


def codec_of(settings: Settings) -> EncryptingCodec | None:
    """The codec of this deployment's payloads; None where it has no keys.

    Raises:
        MasterKeyError: the file of the keys cannot be used.
    """
    if settings.payload_keys is None:
        return None
    return payload_codec(
        settings.payload_keys, accepts_plaintext=settings.payload_plaintext_accepted
    )


async def connect(
    settings: Settings, address: str, library: PolicyLibrary, *more: Interceptor
) -> Client:
    return await Client.connect(
        address,
        namespace=settings.temporal_namespace,
        identity=f"pointwork-worker-{os.getpid()}",
        plugins=[pointwork_plugin(library, *more, codec=codec_of(settings))],
    )
