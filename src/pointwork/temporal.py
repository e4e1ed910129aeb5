"""One plugin for client, worker and replayer, so that they cannot drift apart."""

from pydantic import ValidationError
from temporalio import workflow
from temporalio.bridge.proto.workflow_activation import WorkflowActivation
from temporalio.bridge.proto.workflow_completion import WorkflowActivationCompletion
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.converter import StorageDriverStoreContext
from temporalio.plugin import SimplePlugin
from temporalio.worker import (
    Interceptor,
    WorkflowInboundInterceptor,
    WorkflowInstance,
    WorkflowInstanceDetails,
    WorkflowInterceptorClassInput,
)
from temporalio.worker._command_aware_visitor import CommandInfo
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from pointwork.contract.snapshot import PolicyRef
from pointwork.policy.bundle import PolicyBundle, PolicyLibrary

SANDBOX = SandboxRestrictions.default.with_passthrough_modules("cryptography")
"""Its native code imports its own modules while it runs; the sandbox's importer makes it abort."""

BUNDLE_EXTERN = "pointwork_policy_bundle"
"""Name of the external function by which a workflow reads an immutable, hash-named bundle."""


class PolicyInterceptor(Interceptor):
    """Hands workflows the policy bundle that their history pins by hash.

    Reading it is deterministic: the hash is in the history, and the content is the hash.
    """

    def __init__(self, library: PolicyLibrary) -> None:
        self._library = library

    def workflow_interceptor_class(
        self, input: WorkflowInterceptorClassInput
    ) -> type[WorkflowInboundInterceptor]:
        input.unsafe_extern_functions[BUNDLE_EXTERN] = self._bundle
        return WorkflowInboundInterceptor

    def _bundle(self, ref: PolicyRef) -> PolicyBundle:
        return self._library.by_hash(ref.bundle_sha256)


class PlainPayloadInstance(WorkflowInstance):
    """A workflow whose payloads need no context of their command.

    The worker asks for that context six times a payload, each time inside the sandbox: a quarter
    of its CPU time here (measured). Our converter makes no use of one; a codec that binds
    payloads to their workflow must give the workflow's context instead of None.
    """

    def __init__(self, inner: WorkflowInstance) -> None:
        self._inner = inner
        self._store_context: StorageDriverStoreContext | None = None

    def activate(self, act: WorkflowActivation) -> WorkflowActivationCompletion:
        return self._inner.activate(act)

    def get_serialization_context(self, command_info: CommandInfo | None) -> None:
        return None

    def get_external_store_context(
        self, command_info: CommandInfo | None
    ) -> StorageDriverStoreContext:
        if self._store_context is None:
            self._store_context = self._inner.get_external_store_context(command_info)
        return self._store_context

    def get_info(self) -> workflow.Info:
        return self._inner.get_info()

    def get_thread_id(self) -> int | None:
        return self._inner.get_thread_id()


class PlainPayloadRunner(SandboxedWorkflowRunner):
    """The sandbox, with instances that answer for their payloads outside it."""

    def create_instance(self, det: WorkflowInstanceDetails) -> WorkflowInstance:
        return PlainPayloadInstance(super().create_instance(det))


def pointwork_plugin(library: PolicyLibrary | None = None, *more: Interceptor) -> SimplePlugin:
    """Converter, interceptors and failure types. A pure client needs no policy library.

    A ``ValidationError`` in workflow code comes from the workflow's own input and would fail its
    task again for ever, so it fails the workflow. ``UnknownBundleError`` is left to fail the task:
    a worker that holds the bundle will carry on.
    """
    interceptors: list[Interceptor] = [PolicyInterceptor(library)] if library else []
    failure_types: list[type[BaseException]] = [ValidationError]
    return SimplePlugin(
        "pointwork",
        data_converter=pydantic_data_converter,
        interceptors=[*interceptors, *more],
        workflow_runner=PlainPayloadRunner(restrictions=SANDBOX),
        workflow_failure_exception_types=failure_types,
    )
