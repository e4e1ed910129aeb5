"""``pointwork decide``: facts in, plan out. Nothing is called, read from a server or written."""

import sys
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pointwork.cli.deployment import load_policy
from pointwork.cli.errors import CliError, ExitCode
from pointwork.cli.evidence import parse_measures
from pointwork.cli.options import (
    HOST_DEFAULT,
    STATE_DIR_DEFAULT,
    AsJson,
    HostName,
    PoliciesDir,
    StateDir,
)
from pointwork.cli.plan_words import show_models
from pointwork.cli.route_task import (
    Class,
    Data,
    Hardness,
    HowRisky,
    Justification,
    Level,
    Mark,
    Measured,
    Model,
    PackName,
    Reason,
    Region,
    StageName,
    Tier,
    Tool,
    Type,
    WorkerName,
)
from pointwork.cli.screen import Screen, facts, listed
from pointwork.contract.decision import ClassSource, DecisionRecord, Effect
from pointwork.contract.task import PrivacyTier, Risk
from pointwork.policy.reading.plan_words import effect_words, plan_facts
from pointwork.policy.reading.remedies import remedies

if TYPE_CHECKING:
    from pointwork.contract.decision import DecisionInput
    from pointwork.policy.bundle import PolicyBundle
    from pointwork.policy.documents.pack import Pack
    from pointwork.policy.proving.situation import Situation

_DOCUMENT_BYTES_MAX = 1_000_000
_EXIT_CODES = {
    Effect.RUN: ExitCode.OK,
    Effect.HOLD: ExitCode.WAITING,
    Effect.DENY: ExitCode.NO_ANSWER,
}

FactsFile = Annotated[
    str | None,
    typer.Argument(
        metavar="[FACTS.yaml]",
        help="The situation, a YAML document; - reads stdin.",
        show_default=False,
    ),
]
Items = Annotated[int | None, typer.Option("--items", help="How many like items it makes.")]
MaxTokens = Annotated[int | None, typer.Option("--max-tokens", help="Longest answer, in tokens.")]
Bytes = Annotated[int | None, typer.Option("--bytes", help="Length of the text, in bytes.")]
Caller = Annotated[str | None, typer.Option(help="Who asks.")]


def decide(
    file: FactsFile = None,
    pack: PackName = "omega",
    task_class: Class = None,
    task_type: Type = None,
    sensitivity: Level = None,
    data_class: Data = None,
    tier: Tier = PrivacyTier.ANY,
    residency: Region = None,
    risk: HowRisky = Risk.ROUTINE,
    mark: Mark = None,
    measure: Measured = None,
    items: Items = None,
    stage: StageName = None,
    tool: Tool = None,
    escalation_reason: Reason = None,
    complexity: Hardness = None,
    model: Model = None,
    max_tokens: MaxTokens = None,
    text_bytes: Bytes = None,
    caller: Caller = None,
    worker: WorkerName = None,
    justification: Justification = "",
    state_dir: StateDir = STATE_DIR_DEFAULT,
    policies_dir: PoliciesDir = None,
    host: HostName = HOST_DEFAULT,
    as_json: AsJson = False,
) -> int:
    """Decide a task from its facts alone: which models might answer, and why no other.

    Options go before what the document says. Where neither says otherwise, every endpoint has a
    key and answers, and no budget is spent. Exits as `run` would: with 0 where the task would run,
    5 where a person would have to decide, 1 where it would be denied.
    """
    options = dict(locals())
    from pointwork.policy.decide import decide as decide_facts

    if task_class is not None and task_type is not None:
        raise CliError("--class and --type are both given", "declare one of them")
    bundle = load_policy(policies_dir, host, state_dir).active(pack)
    stated = _stated(options) | _mapped(task_type, bundle)
    situation, facts_given = _situation(file, stated, bundle)
    _check_names(situation, stated, file, bundle)
    plan = decide_facts(facts_given, bundle)
    record = DecisionRecord(
        decision_id="dry",
        task_id=facts_given.request.task_id,
        input=facts_given,
        plan=plan,
        decided_at=facts_given.snapshot.taken_at,
    )
    screen = Screen(as_json=as_json)
    if as_json:
        screen.document(plan.model_dump(mode="json"))
    else:
        _print(screen, record, bundle)
    return _EXIT_CODES[plan.effect]


_AS_THEY_ARE = (
    *("task_class", "sensitivity", "items", "stage", "escalation_reason", "complexity"),
    *("caller", "worker", "justification"),
)
_RENAMED = {"model": "requested_model", "max_tokens": "output_tokens", "text_bytes": "input_bytes"}
_LISTS = {"data_class": "data_classes", "residency": "residency", "mark": "marks", "tool": "tools"}


def _stated(options: Mapping[str, Any]) -> dict[str, Any]:
    """The situation's fields that the options state, by the situation's own names."""
    fields = {each: options[each] for each in _AS_THEY_ARE}
    fields |= {field: options[each] for each, field in _RENAMED.items()}
    fields |= {field: tuple(options[each] or ()) for each, field in _LISTS.items()}
    fields["measures"] = parse_measures(options["measure"] or ())
    if options["tier"] is not PrivacyTier.ANY:
        fields["privacy_tier"] = options["tier"]
    if options["risk"] is not Risk.ROUTINE:
        fields["risk"] = options["risk"]
    return {name: value for name, value in fields.items() if value not in (None, (), {}, "")}


_OPTIONS = {
    "task_class": "--class",
    "class_source": "--type",
    "data_classes": "--data-class",
    "marks": "--mark",
    "measures": "--measure",
    "tools": "--tool",
    "requested_model": "--model",
    "output_tokens": "--max-tokens",
    "input_bytes": "--bytes",
    "escalation_reason": "--escalation-reason",
}


def _option(field: str) -> str:
    return _OPTIONS.get(field, f"--{field.replace('_', '-')}")


def _mapped(task_type: str | None, bundle: "PolicyBundle") -> dict[str, Any]:
    if task_type is None:
        return {}
    _known("--type", task_type, bundle.pack.task_types, bundle)
    name = bundle.pack.task_types[task_type]
    return {"task_class": name, "class_source": ClassSource.MAPPED}


def _situation(
    file: str | None, stated: Mapping[str, Any], bundle: "PolicyBundle"
) -> "tuple[Situation, DecisionInput]":
    """The document's situation with what the options state over it, and the facts it makes.

    Raises:
        CliError: an option's value is not allowed.
        PolicyError: the document is missing or wrong; names its place.
    """
    from pydantic import ValidationError

    from pointwork.policy.proving.situation import Situation

    document = _document(file)
    fields = {name: getattr(document, name) for name in document.model_fields_set}
    merged = dict(stated)
    if "marks" in stated:
        merged["marks"] = (*document.marks, *stated["marks"])
    if "measures" in stated:
        merged["measures"] = {**document.measures, **stated["measures"]}
    try:
        situation = Situation.model_validate(fields | merged)
        return situation, situation.facts(bundle)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = _FIELDS.get(str(first["loc"][0]), str(first["loc"][0]))
        value = stated.get(field, fields.get(field))
        where = _option(field) if field in stated else f"{_called(file)}: {field}"
        shown = "" if field == "justification" else f" {str(value)!r:.60}"
        words = first["msg"].removeprefix("Value error, ")
        raise CliError(f"{where}{shown} is not allowed: {words}", "correct it") from None


_FIELDS = {"item_count": "items", "max_output_tokens": "output_tokens", "bytes": "input_bytes"}


def _document(file: str | None) -> "Situation":
    from pathlib import Path

    from pointwork.policy.documents.strict_yaml import parse_document, read_document
    from pointwork.policy.proving.situation import Situation

    if file is None:
        return Situation()
    if file != "-":
        path = Path(file)
        if not path.is_file():
            state = "is a folder" if path.is_dir() else "does not exist"
            raise CliError(f"FACTS {file} {state}", "give the path of a YAML document")
        return read_document(path, Situation)
    raw = sys.stdin.buffer.read(_DOCUMENT_BYTES_MAX + 1)
    if len(raw) > _DOCUMENT_BYTES_MAX:
        raise CliError(f"stdin holds more than {_DOCUMENT_BYTES_MAX} bytes", "shorten it")
    try:
        return parse_document(raw.decode("utf-8"), Situation, name="stdin")
    except UnicodeDecodeError as error:
        raise CliError(f"stdin is not UTF-8 at byte {error.start}", "send UTF-8") from None


def _called(file: str | None) -> str:
    return "stdin" if file == "-" else file or "FACTS"


def _check_names(
    situation: "Situation", stated: Mapping[str, Any], file: str | None, bundle: "PolicyBundle"
) -> None:
    """Refuse a name the pack does not know: a misspelt fact must not pass for a missing one."""
    pack = bundle.pack
    for field, given, known in (
        ("task_class", (situation.task_class,), pack.classes),
        ("marks", situation.marks, _marks(pack)),
        ("measures", situation.measures, pack.facts.measures if pack.facts else ()),
        ("stage", (situation.stage,), pack.stages),
        ("escalation_reason", (situation.escalation_reason,), pack.escalation_reasons),
        ("requested_model", (situation.requested_model,), bundle.models),
        ("failed", tuple(each.model for each in situation.failed), bundle.models),
        ("without_keys", situation.without_keys, bundle.index.endpoints),
        ("down", situation.down, bundle.index.endpoints),
    ):
        for name in given:
            by_option = field in stated and name in _names(stated[field])
            where = _option(field) if by_option else f"{_called(file)}: {field}"
            _known(where, name, known, bundle)


def _names(value: Any) -> Collection[Any]:
    return (value,) if isinstance(value, str) else value


def _marks(pack: "Pack") -> Collection[str]:
    if pack.facts is not None:
        return pack.facts.marks
    read = {*pack.local_marks, *pack.mark_routes, *pack.high_risk_marks}
    return {*read, pack.offline_mark} if pack.offline_mark else read


def _known(where: str, name: str | None, names: Collection[str], bundle: "PolicyBundle") -> None:
    if name is None or name in names:
        return
    pack = f"pack {bundle.pack.pack} {bundle.pack.version}"
    remedy = f"use one of: {listed(sorted(names))}" if names else "leave it out; it reads none"
    raise CliError(f"{where} {name!r} is not known to {pack}", remedy)


def _print(screen: Screen, record: DecisionRecord, bundle: "PolicyBundle") -> None:
    plan = record.plan
    screen.show(
        facts(
            [
                ("effect", effect_words(plan)),
                ("class", f"{plan.task_class or 'unknown'} ({plan.class_source})"),
                ("sensitivity", plan.sensitivity or "none"),
                *plan_facts(plan, record.input),
                ("policy", f"{plan.policy.pack} {plan.policy.version} on {bundle.host.host}"),
            ]
        )
    )
    screen.line()
    show_models(screen, plan, record.input, bundle)
    screen.show(facts([("would change it", each) for each in remedies(record, bundle)]))
