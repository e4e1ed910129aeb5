"""The tasks that ``pointwork demo`` works through: one YAML document each, strictly read."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from pointwork.cli.declaring import declare
from pointwork.cli.errors import CliError
from pointwork.cli.reading import read_prompt
from pointwork.cli.watching import Submission
from pointwork.contract.decision import ClassSource, DecisionRecord, Site
from pointwork.contract.outcome import TaskOutcome, TaskStatus
from pointwork.contract.prompt import Prompt
from pointwork.contract.task import Constraints, Risk, Sensitivity, TaskDeclaration

CALLER = "demo"


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Declared(_Document):
    """What the task says about itself; the rest is left to be found."""

    task_class: str | None = None
    task_type: str | None = None
    marks: tuple[str, ...] = ()
    item_count: int = 1
    sensitivity: Sensitivity | None = None
    risk: Risk = Risk.ROUTINE
    max_output_tokens: int = 256
    temperature: float = 0.2
    seed: int | None = 7
    """The same draw each time, as far as the model can."""


class Expectation(_Document):
    """How the task must end for the demonstration to hold."""

    status: TaskStatus
    site: Literal["local", "none"]
    class_source: ClassSource


class DemoTask(_Document):
    title: Annotated[str, Field(min_length=3, max_length=120)]
    text: str | None = None
    text_file: Annotated[str | None, Field(pattern=r"^[A-Za-z0-9._-]+$")] = None
    """Name of a file beside this document."""
    instruction: str = ""
    """Stands before the text, with an empty line between; a small model follows it best there."""
    declare: Declared = Declared()
    answer_schema: dict[str, Any] | None = None
    skip_with_cloud_key: bool = False
    """The task shows what happens without a key, and the demonstration spends no money."""
    expect: Expectation

    @model_validator(mode="after")
    def _one_text(self) -> Self:
        if (self.text is None) == (self.text_file is None):
            msg = "text and text_file are both given or both missing; give one of them"
            raise ValueError(msg)
        return self


def load_tasks(folder: Path) -> dict[str, DemoTask]:
    """Every task of the folder, by file name without ending, in the names' order.

    Raises:
        CliError: the folder is missing or holds no task.
        PolicyError: a document is wrong; names the file, the place and the remedy.
    """
    from pointwork.policy.documents.strict_yaml import read_document

    if not folder.is_dir():
        raise CliError(f"--tasks {folder} is not a folder", "give a folder of task documents")
    paths = sorted(folder.glob("*.yaml"))
    if not paths:
        raise CliError(f"--tasks {folder} holds no .yaml file", "add one; see examples/tasks")
    return {path.stem: read_document(path, DemoTask) for path in paths}


def submission(name: str, task: DemoTask, folder: Path, run_id: str) -> Submission:
    """The task ready to be submitted, under an id that no earlier demonstration used."""
    text_file = folder / task.text_file if task.text_file else None
    limits = {
        field: getattr(task.declare, field)
        for field in Constraints.model_fields
        if field in Declared.model_fields
    }
    fields = {
        field: getattr(task.declare, field)
        for field in TaskDeclaration.model_fields
        if field in Declared.model_fields
    }
    declaration = declare(
        limits, **fields, task_id=f"{name}-{run_id}", caller=CALLER, description=task.title
    )
    text = read_prompt(task.text, text_file, "", []).text
    prompt = Prompt.from_text(f"{task.instruction}\n\n{text}" if task.instruction else text)
    return Submission(declaration, prompt, task.answer_schema)


def differences(
    expected: Expectation, outcome: TaskOutcome, record: DecisionRecord | None
) -> list[str]:
    """In what the task ended otherwise than its document says; empty where it did not."""
    found = {
        "status": (expected.status.value, outcome.status.value),
        "site": (expected.site, _site(outcome, record)),
        "class source": (expected.class_source.value, outcome.class_source.value),
    }
    return [
        f"{name} is {actual}, expected {wanted}"
        for name, (wanted, actual) in found.items()
        if wanted != actual
    ]


def _site(outcome: TaskOutcome, record: DecisionRecord | None) -> str:
    if outcome.served_model is None:
        return "none"
    candidates = record.plan.candidates if record else ()
    sites = [each.site for each in candidates if each.model == outcome.served_model]
    return sites[0].value if sites else "unknown"


def has_cloud_key(record: DecisionRecord) -> bool:
    """Whether some endpoint outside the house had a key when this was decided."""
    local = {c.endpoint for c in record.plan.candidates if c.site is Site.LOCAL}
    signals = record.input.snapshot.endpoints
    return any(each.has_credentials and each.endpoint not in local for each in signals)
