"""``classify`` on one text, with the deployment's own detectors, and without a server."""

from datetime import UTC, datetime
from typing import Any

from activities.classify import ClassifyActivities, ClassInference
from pointwork.contract.decision import Classification
from pointwork.contract.prompt import AnswerSchema, Prompt
from pointwork.contract.task import ContentRef, TaskRequest
from pointwork.policy.bundle import PolicyLibrary
from tests.fakes.fixed_inference import FixedInference
from tests.fakes.policy_facts import shipped
from workers.adapters import DiffMarks, LibraryPolicy, PromptShape, ScanText

PACKS = ("omega", "codex", "juggernaut", "socioprophet")


class OneText:
    """A vault that holds one prompt."""

    def __init__(self, text: str) -> None:
        self._prompt = Prompt.from_text(text)

    def prompt(self, task_id: str, ref: ContentRef) -> Prompt:
        return self._prompt

    def answer_schema(self, task_id: str, ref: ContentRef) -> AnswerSchema:
        raise AssertionError


def classified(
    text: str, inference: ClassInference | None = None, **declared: Any
) -> tuple[TaskRequest, Classification]:
    """The request, and what is found in its text."""
    library = PolicyLibrary([shipped(pack) for pack in PACKS])
    activities = ClassifyActivities(
        OneText(text),
        ScanText(),
        inference or FixedInference(),
        LibraryPolicy(library),
        PromptShape(),
        DiffMarks(library),
    )
    request = TaskRequest(
        **{"task_id": "task-1", "caller": "billing", **declared},
        content=ContentRef(digest="a" * 64, bytes=len(text.encode()), media_type="text/plain"),
        submitted_at=datetime(2026, 3, 4, tzinfo=UTC),
    )
    return request, activities.classify(request)
