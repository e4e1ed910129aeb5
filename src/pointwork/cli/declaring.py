"""From the options of ``pointwork run`` to a declaration that the policy can decide on."""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from pointwork.cli.errors import CliError
from pointwork.cli.evidence import gather, parse_gates, spec_facts
from pointwork.cli.screen import listed
from pointwork.contract.task import (
    DESCRIPTION_CHARACTERS_MAX,
    OUTPUT_TOKENS_MAX,
    Constraints,
    DataClass,
    TaskDeclaration,
    new_task_id,
)

if TYPE_CHECKING:
    from pointwork.policy.bundle import PolicyBundle, PolicyLibrary
    from pointwork.policy.documents.pack import Pack

_NAME = "use 1 to 128 letters, digits and . _ : - starting with a letter or digit"
_OPTIONS: dict[str, tuple[str, str]] = {
    "task_id": ("--id", _NAME),
    "caller": ("--caller", _NAME),
    "worker": ("--worker", _NAME),
    "description": (
        "--description",
        f"give one printable line of at most {DESCRIPTION_CHARACTERS_MAX} characters",
    ),
    "justification": ("--justification", "give one printable line of at most 500 characters"),
    "pack": ("--pack", "see `pointwork policy list`"),
    "task_class": ("--class", "see `pointwork policy show PACK`"),
    "task_type": ("--type", "see `pointwork policy show PACK`"),
    "marks": ("--mark", _NAME),
    "measures": ("--measure", "give NAME=NUMBER of at most 12 digits before the point and 6 after"),
    "gate_results": ("--gate", "give each gate once, 32 at most"),
    "stage": ("--stage", "see `pointwork policy show PACK`"),
    "escalation_reason": ("--escalation-reason", "see `pointwork policy show PACK`"),
    "tools": ("--tool", _NAME),
    "subject": ("--subject", _NAME),
    "reviews": ("--reviews", _NAME),
    "corpus": ("--corpus", _NAME),
    "sources": ("--source", _NAME),
    "residency": ("--residency", _NAME),
    "item_count": ("--items", "give a whole number from 1 to 10000000"),
    "requested_model": ("--model", _NAME),
    "priority": ("--priority", "give a number from 1, served first, to 5"),
    "conversation": ("--conversation", _NAME),
    "max_output_tokens": ("--max-tokens", f"give a whole number from 1 to {OUTPUT_TOKENS_MAX}"),
    "temperature": ("--temperature", "give a number from 0 to 2"),
    "seed": ("--seed", "give a whole number of at most 63 bits"),
    "deadline_seconds": ("--deadline", "give a whole number of seconds from 1 to 2592000"),
}
_PRIVATE = frozenset({"description", "justification"})
"""Fields whose value a person may have filled with content; an error does not repeat it."""


_CONSTRAINTS = {"max_tokens": "max_output_tokens", "deadline": "deadline_seconds"}
_LIMITS = ("max_tokens", "temperature", "seed", "deadline")
_AS_THEY_ARE = (
    *("caller", "description", "justification", "pack", "task_class", "task_type", "complexity"),
    *("sensitivity", "risk", "priority", "conversation", "stage", "previous_lane"),
    *("escalation_reason", "subject", "reviews", "corpus", "worker"),
)
_LISTS = {
    "data_class": "data_classes",
    "residency": "residency",
    "tool": "tools",
    "source": "sources",
}
_RENAMED = {"items": "item_count", "tier": "privacy_tier", "model": "requested_model"}


def declared(options: Mapping[str, Any], library: "PolicyLibrary") -> TaskDeclaration:
    """The declaration that the options of ``pointwork run`` make, by their parameters' names.

    Raises:
        UnknownPackError, CliError: a value is not allowed, or a file cannot be read.
    """
    limits = {_CONSTRAINTS.get(each, each): options[each] for each in _LIMITS}
    fields = {each: options[each] for each in _AS_THEY_ARE}
    fields |= {field: options[each] for each, field in _RENAMED.items()}
    fields |= {field: tuple(options[each] or ()) for each, field in _LISTS.items()}
    task_id = options["task_id"]
    fields["task_id"] = task_id if task_id is not None else new_task_id(datetime.now(UTC))
    bundle = library.active(options["pack"])
    marks, measures = options["mark"] or (), options["measure"] or ()
    fields |= gather(bundle, marks, measures, options["diff"])
    fields["gate_results"] = parse_gates(options["gate"] or ())
    return declare(limits, **fields, spec=spec_facts(bundle, options["spec"]))


def declare(constraints: dict[str, Any], **fields: Any) -> TaskDeclaration:
    """The declaration of a task.

    Raises:
        CliError: a value is not allowed; names the option, the value and what is.
    """
    if fields.get("task_class") is not None and fields.get("task_type") is not None:
        raise CliError("--class and --type are both given", "declare one of them")
    try:
        return TaskDeclaration(**fields, constraints=Constraints(**constraints))
    except ValidationError as error:
        place = error.errors(include_url=False, include_input=False)[0]["loc"]
        raise _refused(str(place[0]), constraints | fields) from None


def _refused(field: str, values: dict[str, Any]) -> CliError:
    option, remedy = _OPTIONS[field]
    if field in _PRIVATE:
        return CliError(f"{option} is not allowed as it stands", remedy)
    return CliError(f"{option} {_shown(values.get(field))} is not allowed", remedy)


def _shown(value: object) -> str:
    if isinstance(value, dict):
        value = tuple(f"{name}={each}" for name, each in value.items())
    text = listed([str(each) for each in value]) if isinstance(value, tuple) else str(value)
    text = text if len(text) <= 40 else f"{text[:40]}… ({len(text)} characters)"
    return repr(text) if not isinstance(value, int | float) else text


def check_against_policy(declaration: TaskDeclaration, library: "PolicyLibrary") -> None:
    """Refuse a name that the pack does not know, before anything starts.

    The workflow would deny or ignore it too, but a misspelling is better told at once.

    Raises:
        UnknownPackError, CliError: the name is unknown; the text lists the names there are.
    """
    bundle = library.active(declaration.pack)
    pack, models = bundle.pack, bundle.models
    tools = {tool for lane in pack.lanes.values() for tool in lane.tools}
    for option, given, known in (
        ("--class", (declaration.task_class,), pack.classes),
        ("--type", (declaration.task_type,), pack.task_types),
        ("--model", (declaration.requested_model,), models),
        ("--mark", declaration.marks, _marks(pack)),
        ("--measure", declaration.measures, pack.facts.measures if pack.facts else ()),
        ("--stage", (declaration.stage,), pack.stages),
        ("--escalation-reason", (declaration.escalation_reason,), pack.escalation_reasons),
        ("--tool", declaration.tools, tools),
        ("--gate", [each.name for each in declaration.gate_results], _gates(pack)),
    ):
        for name in given:
            _known(option, name, known, bundle)


def _gates(pack: "Pack") -> Collection[str]:
    stages = pack.pipeline.stages if pack.pipeline else ()
    return [f"{stage.name}.{gate}" for stage in stages for gate in stage.gates]


def _marks(pack: "Pack") -> Collection[str]:
    """Marks a task of the pack may carry: those it declares, else those it reads."""
    if pack.facts is not None:
        return pack.facts.marks
    read = {*pack.local_marks, *pack.mark_routes, *pack.high_risk_marks}
    return {*read, pack.offline_mark} if pack.offline_mark else read


def _known(option: str, name: str | None, names: Collection[str], bundle: "PolicyBundle") -> None:
    if name is None or name in names:
        return
    pack = f"pack {bundle.pack.pack} {bundle.pack.version}"
    remedy = f"use one of: {listed(sorted(names))}" if names else "leave it out; it reads none"
    raise CliError(f"{option} {name!r} is not known to {pack}", remedy)


def check_plain_fields(declaration: TaskDeclaration) -> None:
    """Refuse a credential in the two fields that are stored in the clear."""
    refuse_credentials("--description", declaration.description)
    refuse_credentials("--justification", declaration.justification)


def refuse_credentials(option: str, text: str) -> None:
    """Refuse a credential where text is stored in the clear.

    Raises:
        CliError: a detector found one; its kind is named, never the text.
    """
    from pointwork.privacy.detect import scan

    found = scan(text).findings if text else ()
    kinds = sorted({each.kind for each in found if each.data_class is DataClass.CREDENTIAL})
    if kinds:
        raise CliError(
            f"{option} seems to contain a credential ({listed(kinds)}) and is stored in plain text",
            "put it into the task's text, which is sealed",
        )
