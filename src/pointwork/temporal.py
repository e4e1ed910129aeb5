"""One plugin for client, worker and replayer, so that they cannot drift apart."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from pydantic import ValidationError
from temporalio import workflow
from temporalio.api.common.v1 import Payload
from temporalio.api.enums.v1 import CommandType
from temporalio.bridge.proto.workflow_activation import WorkflowActivation
from temporalio.bridge.proto.workflow_completion import WorkflowActivationCompletion
from temporalio.contrib.pydantic import PydanticPayloadConverter, pydantic_data_converter
from temporalio.converter import (
    DataConverter,
    DefaultFailureConverterWithEncodedAttributes,
    EncodingPayloadConverter,
    SerializationContext,
    StorageDriverStoreContext,
    WorkflowSerializationContext,
)
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
from pointwork.history_pages import RereadHistory
from pointwork.ledger.payload_keys import PayloadKeys
from pointwork.policy.bundle import PolicyBundle, PolicyLibrary
from pointwork.privacy.codec import (
    ENCODING,
    KEYS_SETTING,
    EncryptingCodec,
    PayloadRefusedError,
    key_id_of,
)

SANDBOX = SandboxRestrictions.default.with_passthrough_modules("cryptography")
"""Its native code imports its own modules while it runs; the sandbox's importer makes it abort."""

BUNDLE_EXTERN = "pointwork_policy_bundle"
"""Name of the external function by which a workflow reads an immutable, hash-named bundle."""


REFUSED_EXTERN = "pointwork_verdict_refused"
"""Name of the external function that is told of a verdict that changed nothing."""


class Refusals(Protocol):
    """Keeps a record of verdicts that were refused. It must neither wait nor raise."""

    def note(self, task_id: str, approval_id: str, approver: str | None, fault: str) -> None: ...


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


class RefusalInterceptor(Interceptor):
    """Lets workflows say which verdicts they refused: history keeps no trace of a refused update.

    What it calls has no part in the workflow's state, and no replay calls it.
    """

    def __init__(self, refusals: Refusals) -> None:
        self._refusals = refusals

    def workflow_interceptor_class(
        self, input: WorkflowInterceptorClassInput
    ) -> type[WorkflowInboundInterceptor]:
        input.unsafe_extern_functions[REFUSED_EXTERN] = self._refusals.note
        return WorkflowInboundInterceptor


class PlainPayloadInstance(WorkflowInstance):
    """A workflow whose payloads need no context of their command.

    The worker asks for that context six times a payload, each time inside the sandbox: a quarter
    of its CPU time here (measured). Our converter makes no use of one, so without a codec there
    is none.
    """

    def __init__(self, inner: WorkflowInstance) -> None:
        self._inner = inner
        self._store_context: StorageDriverStoreContext | None = None

    def activate(self, act: WorkflowActivation) -> WorkflowActivationCompletion:
        return self._inner.activate(act)

    def get_serialization_context(
        self, command_info: CommandInfo | None
    ) -> SerializationContext | None:
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


class BoundPayloadInstance(PlainPayloadInstance):
    """A workflow whose payloads are bound to its id, as those of its activities are.

    The context is the same for nearly every command, so it is made once, outside the sandbox.
    """

    def __init__(self, inner: WorkflowInstance, info: workflow.Info) -> None:
        super().__init__(inner)
        self._context = WorkflowSerializationContext(info.namespace, info.workflow_id)

    def get_serialization_context(
        self, command_info: CommandInfo | None
    ) -> SerializationContext | None:
        if command_info is not None and command_info.command_type in _FOR_OTHER_WORKFLOWS:
            return self._inner.get_serialization_context(command_info)
        return self._context


_FOR_OTHER_WORKFLOWS = frozenset(
    {
        CommandType.COMMAND_TYPE_START_CHILD_WORKFLOW_EXECUTION,
        CommandType.COMMAND_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION,
    }
)
"""Commands whose payloads another workflow opens, so they are bound to its id."""


class BoundPayloadRunner(SandboxedWorkflowRunner):
    """The sandbox, with instances that say which workflow their payloads belong to."""

    def create_instance(self, det: WorkflowInstanceDetails) -> WorkflowInstance:
        return BoundPayloadInstance(super().create_instance(det), det.info)


class _Locked(EncodingPayloadConverter):
    """What a process without keys says of an encrypted payload."""

    @property
    def encoding(self) -> str:
        return ENCODING.decode()

    def to_payload(self, value: Any) -> Payload | None:
        return None

    def from_payload(self, payload: Payload, type_hint: type | None = None) -> Any:
        raise PayloadRefusedError(
            f"a payload is encrypted under key {key_id_of(payload)!r} and this process has no "
            f"keys; set {KEYS_SETTING} to the file that holds it"
        )


class KeylessConverter(PydanticPayloadConverter):
    """Pydantic's converter, which names the remedy where a payload is encrypted."""

    def __init__(self) -> None:
        super().__init__()
        self._set_converters(*self.converters.values(), _Locked())


def payload_codec(keys_file: Path, *, accepts_plaintext: bool = False) -> EncryptingCodec:
    """The codec with the keys in a file (docs/operating/payload-codec.md).

    Raises:
        MasterKeyError: the file is missing, open to others, or holds no keys.
    """
    return EncryptingCodec(PayloadKeys(keys_file), accepts_plaintext=accepts_plaintext)


def data_converter(codec: EncryptingCodec | None) -> DataConverter:
    """Pydantic's JSON. With a codec every payload is sealed, and failures keep only their type."""
    if codec is None:
        return replace(pydantic_data_converter, payload_converter_class=KeylessConverter)
    return replace(
        pydantic_data_converter,
        payload_codec=codec,
        failure_converter_class=DefaultFailureConverterWithEncodedAttributes,
    )


def pointwork_plugin(
    library: PolicyLibrary | None = None,
    *more: Interceptor,
    codec: EncryptingCodec | None = None,
) -> SimplePlugin:
    """Converter, codec, interceptors and failure types. A pure client needs no policy library.

    A ``ValidationError`` in workflow code comes from the workflow's own input and would fail its
    task again for ever, so it fails the workflow. ``UnknownBundleError`` is left to fail the task:
    a worker that holds the bundle will carry on.
    """
    interceptors: list[Interceptor] = [PolicyInterceptor(library)] if library else []
    failure_types: list[type[BaseException]] = [ValidationError]
    runner = BoundPayloadRunner if codec is not None else PlainPayloadRunner
    return SimplePlugin(
        "pointwork",
        data_converter=data_converter(codec),
        interceptors=[RereadHistory(), *interceptors, *more],
        workflow_runner=runner(restrictions=SANDBOX),
        workflow_failure_exception_types=failure_types,
    )
