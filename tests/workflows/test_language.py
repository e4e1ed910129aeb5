"""Reading for names before a text leaves: what it finds keeps the text in, or goes out replaced."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from temporalio.testing import WorkflowEnvironment

from pointwork.contract.approval import ApprovalVerdict
from pointwork.contract.decision import GrantKind
from pointwork.contract.failures import FailureType, ProviderFailureKind
from pointwork.contract.outcome import AttemptState, TaskStatus
from pointwork.contract.prompt import Prompt
from pointwork.contract.reasons import ReasonCode
from pointwork.contract.task import DataClass
from pointwork.policy.bundle import PolicyLibrary
from pointwork.privacy.findings import LANGUAGE_DETECTOR
from pointwork.privacy.language.host import LanguageHost
from tests.fakes import language_readers
from tests.fakes.language_readers import NAME, KnowsOneName, cannot_load
from tests.fakes.scripted_provider import Fails, Says, Script
from tests.workflows.stack import Stack, open_test_parts, running

CLOUD_CLASS = "high_stakes_logic"
TEXT = f"Write what {NAME} is known for."


@pytest.fixture
def reads(
    own_server: WorkflowEnvironment,
    library: PolicyLibrary,
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[LanguageHost], "_Started"]:
    """A stack of its own for each language host that a test brings."""
    return lambda host: _Started(own_server, library, tmp_path_factory, host)


class _Started:
    def __init__(
        self,
        server: WorkflowEnvironment,
        library: PolicyLibrary,
        folders: pytest.TempPathFactory,
        host: LanguageHost,
    ) -> None:
        script = Script()
        self._host = host
        parts = open_test_parts(folders.mktemp("reads"), library, script)
        self._parts = replace(parts, language=host)
        self._running = running(server, self._parts, script)

    async def __aenter__(self) -> Stack:
        return await self._running.__aenter__()

    async def __aexit__(self, *exception: object) -> None:
        await self._running.__aexit__(None, None, None)
        self._host.close()
        self._parts.threads.shutdown()
        self._parts.engine.dispose()


Reads = Callable[[LanguageHost], _Started]


@pytest.mark.req("OM-40")
async def test_a_public_text_that_names_a_person_stays_and_the_record_says_why(
    reads: Reads,
) -> None:
    async with reads(LanguageHost(KnowsOneName)) as stack:
        task = stack.declare(task_class=CLOUD_CLASS)
        outcome = await stack.run(task, TEXT)

        (call,) = stack.script.calls[task.task_id]
        assert call.endpoint == "local-gpu"
        assert NAME in call.request.prompt.text
        (fallback,) = outcome.fallbacks
        assert fallback.cause == "privacy: the text names persons"
        first, last = stack.outcomes.decisions(task.task_id)
        assert first.input.classification.detected_data_classes == ()
        assert last.input.classification.detected_data_classes == (DataClass.PERSONAL,)
        assert LANGUAGE_DETECTOR in last.input.classification.detectors
        assert ReasonCode.PRIVACY in {each.reason for each in last.plan.rejected}
        unsent, sent = outcome.attempts
        assert (unsent.state, unsent.cost_nano_usd) == (AttemptState.PLANNED, 0)
        assert outcome.cost_nano_usd == sent.cost_nano_usd
        assert outcome.estimate_nano_usd == last.plan.candidates[0].estimate_nano_usd


@pytest.mark.req("OM-42", "OM-48", "OM-49")
async def test_it_leaves_only_approved_and_redacted_and_its_answer_names_the_person_again(
    reads: Reads,
) -> None:
    async with reads(LanguageHost(KnowsOneName)) as stack:
        task = stack.declare(task_class=CLOUD_CLASS)
        local_fails = Fails(ProviderFailureKind.INVALID_REQUEST)
        stack.script.write(task.task_id, local_fails, Says("<PERSON_1> wrote the first program."))
        await stack.client.submit(Prompt.from_text(TEXT), task)
        request = await stack.open_approval(task.task_id)
        assert request.asks_for is GrantKind.SENSITIVE_EGRESS
        await stack.client.submit_verdict(stack.signed(request, ApprovalVerdict.APPROVED))
        outcome = await stack.recorded(task.task_id)

        _, cloud_call = stack.script.calls[task.task_id]
        assert NAME not in cloud_call.request.prompt.text
        assert stack.client.answer_text(outcome) == f"{NAME} wrote the first program."


async def test_a_public_text_without_names_leaves_as_it_is(reads: Reads) -> None:
    async with reads(LanguageHost(KnowsOneName)) as stack:
        task = stack.declare(task_class=CLOUD_CLASS)
        outcome = await stack.run(task, "Explain what a hash map is.")
        assert outcome.status is TaskStatus.SUCCEEDED
        (call,) = stack.script.calls[task.task_id]
        assert call.request.prompt.text == "Explain what a hash map is."


async def test_a_task_that_can_only_stay_is_never_read_for_names(reads: Reads) -> None:
    async with reads(LanguageHost(cannot_load)) as stack:
        outcome = await stack.run(stack.declare(), TEXT)
        assert outcome.status is TaskStatus.SUCCEEDED


@pytest.mark.req("OM-50")
@pytest.mark.parametrize(
    "reader", [language_readers.Hangs, language_readers.Dies, language_readers.Fails, cannot_load]
)
async def test_a_text_that_could_not_be_read_for_names_does_not_leave(
    reads: Reads, reader: Callable[[], KnowsOneName]
) -> None:
    async with reads(LanguageHost(reader, read_seconds_min=0.2)) as stack:
        task = stack.declare(task_class=CLOUD_CLASS)
        outcome = await stack.run(task, "If you die or fail, nothing leaves.")
        assert outcome.failure is FailureType.REDACTION_FAILED
        assert not stack.script.calls[task.task_id]
