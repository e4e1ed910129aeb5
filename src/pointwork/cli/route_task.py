"""``pointwork run``: one task from the command line to its answer."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from pointwork.cli.declaring import check_against_policy, check_plain_fields, declared
from pointwork.cli.deployment import connect, load_policy
from pointwork.cli.errors import CliError, ExitCode
from pointwork.cli.options import (
    HOST_DEFAULT,
    STATE_DIR_DEFAULT,
    AsJson,
    HostName,
    PoliciesDir,
    StateDir,
)
from pointwork.cli.reading import read_prompt, read_schema
from pointwork.cli.route import other_models, result_document, route_lines, short_reason
from pointwork.cli.screen import Screen
from pointwork.cli.watching import Submission, follow, step_display
from pointwork.contract.outcome import TaskStatus
from pointwork.contract.task import Complexity, DataClass, Lane, PrivacyTier, Risk, Sensitivity

Text = Annotated[str | None, typer.Argument(metavar="[TEXT]", help="The task; - reads stdin.")]
File = Annotated[Path | None, typer.Option("--file", "-f", help="File with the text.")]
System = Annotated[str, typer.Option(help="Instructions that stand before the text.")]
Image = Annotated[
    list[Path] | None, typer.Option(metavar="PATH", help="Image to look at; may repeat.")
]
PackName = Annotated[str, typer.Option("--pack", help="Rule set that decides.")]
Class = Annotated[str | None, typer.Option("--class", "-c", help="Class or role of the task.")]
Type = Annotated[str | None, typer.Option("--type", help="Your word, mapped to a class.")]
Hardness = Annotated[Complexity | None, typer.Option("--complexity", help="As you expect it.")]
Model = Annotated[str | None, typer.Option("--model", help="A wish; policy decides.")]
Mark = Annotated[
    list[str] | None,
    typer.Option("--mark", metavar="NAME", help="A fact the pack knows, as bulk; may repeat."),
]
Measured = Annotated[
    list[str] | None,
    typer.Option("--measure", metavar="NAME=NUMBER", help="A number it knows; may repeat."),
]
Items = Annotated[int, typer.Option("--items", help="How many like items it makes.")]
HowRisky = Annotated[Risk, typer.Option("--risk", help="What a wrong answer costs.")]
SpecFile = Annotated[
    Path | None, typer.Option("--spec", help="Spec it belongs to; its section on models binds.")
]
DiffFile = Annotated[
    Path | None, typer.Option("--diff", help="Unified diff: its risk is marked, its lines counted.")
]
GateSaid = Annotated[
    list[str] | None,
    typer.Option(
        "--gate", metavar="STAGE.GATE=pass|fail", help="What an earlier stage's gate said."
    ),
]
Reviews = Annotated[
    str | None, typer.Option("--reviews", metavar="ID", help="Task whose draft this one reviews.")
]
StageName = Annotated[str | None, typer.Option("--stage", help="Stage of the chain it is.")]
Previous = Annotated[
    Lane | None, typer.Option("--previous-lane", help="Lane the chain's last step ran on.")
]
Reason = Annotated[
    str | None, typer.Option("--escalation-reason", help="Why a lower lane will not do.")
]
Tool = Annotated[
    list[str] | None,
    typer.Option("--tool", metavar="KIND", help="Kind of tool the step uses; may repeat."),
]
Subject = Annotated[str | None, typer.Option(help="User whose personal model may serve.")]
CorpusName = Annotated[str | None, typer.Option("--corpus", help="Corpus that is searched.")]
Source = Annotated[
    list[str] | None,
    typer.Option("--source", metavar="ID", help="Source the text gives; may repeat."),
]
Level = Annotated[Sensitivity | None, typer.Option(help="How far the text may travel.")]
Data = Annotated[
    list[DataClass] | None, typer.Option("--data-class", help="What it is; may repeat.")
]
Tier = Annotated[PrivacyTier, typer.Option("--tier", help="Where the text may go at all.")]
Region = Annotated[
    list[str] | None,
    typer.Option("--residency", metavar="REGION", help="Where it may be processed; may repeat."),
]
Schema = Annotated[Path | None, typer.Option("--schema", help="JSON Schema of the answer.")]
MaxTokens = Annotated[int, typer.Option("--max-tokens", help="Longest answer, in tokens.")]
Temperature = Annotated[float, typer.Option(help="0 is the same answer each time.")]
Seed = Annotated[int | None, typer.Option(help="Repeats a draw where the model can.")]
Deadline = Annotated[int | None, typer.Option(help="Seconds after which it fails.")]
Priority = Annotated[int, typer.Option(help="1 is served first, 5 last.")]
Caller = Annotated[str, typer.Option(help="Who asks; approvals come from another.")]
WorkerName = Annotated[
    str | None, typer.Option("--worker", help="Which of the caller's workers asks.")
]
Conversation = Annotated[str | None, typer.Option(help="Sensitivity is kept over it.")]
TaskId = Annotated[str | None, typer.Option("--id", help="Your id; the same task runs once.")]
Description = Annotated[str, typer.Option(help="One line, stored in plain text.")]
Justification = Annotated[str, typer.Option(help="Why a frontier model is needed.")]
Wait = Annotated[float | None, typer.Option("--wait", min=0, help="Seconds to wait, holds too.")]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Print the id and leave.")]


def run(
    text: Text = None,
    file: File = None,
    system: System = "",
    image: Image = None,
    pack: PackName = "omega",
    task_class: Class = None,
    task_type: Type = None,
    complexity: Hardness = None,
    model: Model = None,
    mark: Mark = None,
    measure: Measured = None,
    items: Items = 1,
    risk: HowRisky = Risk.ROUTINE,
    spec: SpecFile = None,
    diff: DiffFile = None,
    gate: GateSaid = None,
    reviews: Reviews = None,
    stage: StageName = None,
    previous_lane: Previous = None,
    escalation_reason: Reason = None,
    tool: Tool = None,
    subject: Subject = None,
    corpus: CorpusName = None,
    source: Source = None,
    sensitivity: Level = None,
    data_class: Data = None,
    tier: Tier = PrivacyTier.ANY,
    residency: Region = None,
    schema: Schema = None,
    max_tokens: MaxTokens = 512,
    temperature: Temperature = 0.2,
    seed: Seed = None,
    deadline: Deadline = None,
    priority: Priority = 3,
    caller: Caller = "cli",
    worker: WorkerName = None,
    conversation: Conversation = None,
    task_id: TaskId = None,
    description: Description = "",
    justification: Justification = "",
    wait: Wait = None,
    no_wait: NoWait = False,
    state_dir: StateDir = STATE_DIR_DEFAULT,
    policies_dir: PoliciesDir = None,
    host: HostName = HOST_DEFAULT,
    as_json: AsJson = False,
) -> int:
    """Route one task: its answer on stdout, its route on stderr.

    The text is TEXT, a file or stdin. It is sealed before anything starts, and only the class,
    the sensitivity found in it and what is declared here decide which model may answer.
    """
    given = dict(locals())  # by name, because naming some forty options again invites a mix-up
    prompt = read_prompt(text, file, system, image or [])
    answer_schema = read_schema(schema) if schema is not None else None
    library = load_policy(policies_dir, host, state_dir)
    declaration = declared(given, library)
    check_against_policy(declaration, library)
    check_plain_fields(declaration)
    submission = Submission(declaration, prompt, answer_schema)
    return _carry_out(Screen(as_json=as_json), state_dir, submission, wait, no_wait=no_wait)


def _carry_out(
    screen: Screen,
    state_dir: Path,
    submission: Submission,
    wait_seconds: float | None,
    *,
    no_wait: bool,
) -> int:
    if wait_seconds is not None and no_wait:
        raise CliError("--wait and --no-wait are both given", "give one of them")
    if no_wait:
        return asyncio.run(_submit(screen, state_dir, submission))
    try:
        return asyncio.run(_run(screen, state_dir, submission, wait_seconds))
    except KeyboardInterrupt:
        raise _left(submission.declaration.task_id) from None


async def _submit(screen: Screen, state_dir: Path, submission: Submission) -> int:
    client = (await connect(state_dir)).client
    task_id = await client.submit(submission.prompt, submission.declaration, submission.schema)
    if screen.as_json:
        screen.document({"task_id": task_id, "status": "started"})
    else:
        screen.text(task_id)
    return ExitCode.OK


async def _run(
    screen: Screen, state_dir: Path, submission: Submission, wait_seconds: float | None
) -> int:
    running = await connect(state_dir)
    with step_display(screen) as display:
        ended = await follow(running.client, submission, display, wait_seconds)
    if ended.answer is not None and not screen.as_json:
        screen.text(ended.answer)
    outcome, record = ended.outcome, await running.last_decision(ended.outcome.task_id)
    if screen.as_json:
        screen.document(result_document(outcome, record, ended.answer))
    else:
        screen.say()
        screen.aside(route_lines(outcome, record))
        if record is not None and (record.plan.rejected or record.plan.candidates[1:]):
            screen.say()
            screen.aside(other_models(record.plan))
        if outcome.status is not TaskStatus.SUCCEEDED:
            screen.say()
            screen.error(
                f"{short_reason(outcome, record)} See `pointwork explain {outcome.task_id}`."
            )
    return ExitCode.OK if outcome.status is TaskStatus.SUCCEEDED else ExitCode.NO_ANSWER


def _left(task_id: str) -> CliError:
    return CliError(
        f"stopped waiting; task {task_id} goes on",
        f"see `pointwork show {task_id}`, or end it with `pointwork cancel {task_id}`",
        ExitCode.INTERRUPTED,
    )
