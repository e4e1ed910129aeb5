"""``compose-review``: a task and an answer to it become one sealed prompt.

A workflow never sees a prompt, so what a critic, a judge or the author itself is given is put
together here.
"""

from collections.abc import Sequence
from typing import Protocol

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.classify import prompt_tokens_max
from pointwork.contract.failures import FailureType
from pointwork.contract.names import ActivityName
from pointwork.contract.prompt import Prompt
from pointwork.contract.steps import Compose, Composed, ReviewKind
from pointwork.contract.task import ContentRef


class ReviewContent(Protocol):
    def prompt(self, task_id: str, ref: ContentRef) -> Prompt: ...
    def answer_text(self, task_id: str, ref: ContentRef) -> str: ...
    def seal_prompt(self, task_id: str, prompt: Prompt) -> ContentRef | None:
        """None where it is larger than the vault takes."""
        ...


class ReviewPrompts(Protocol):
    def write(self, kind: ReviewKind, task: Prompt, answers: Sequence[str]) -> Prompt: ...


class ComposeActivities:
    def __init__(self, content: ReviewContent, prompts: ReviewPrompts) -> None:
        self._content = content
        self._prompts = prompts

    @activity.defn(name=ActivityName.COMPOSE_REVIEW)
    def compose_review(self, step: Compose) -> Composed:
        """Seal the prompt beside the task's content.

        Raises:
            ApplicationError: CONTENT_UNAVAILABLE, never retried; task and answer together are
                larger than the vault takes.
        """
        task = self._content.prompt(step.task_id, step.content)
        answers = [self._content.answer_text(step.task_id, each) for each in step.answers]
        prompt = self._prompts.write(step.kind, task, answers)
        sealed = self._content.seal_prompt(step.task_id, prompt)
        if sealed is None:
            failure = FailureType.CONTENT_UNAVAILABLE
            raise ApplicationError(failure.sentence, type=failure, non_retryable=True)
        return Composed(content=sealed, input_tokens_max=prompt_tokens_max(prompt))
