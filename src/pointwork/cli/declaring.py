"""From the options of ``pointwork run`` to a declaration that the policy can decide on."""

from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from pointwork.cli.errors import CliError
from pointwork.cli.screen import listed
from pointwork.contract.task import (
    DESCRIPTION_CHARACTERS_MAX,
    OUTPUT_TOKENS_MAX,
    Constraints,
    DataClass,
    TaskDeclaration,
)

if TYPE_CHECKING:
    from pointwork.policy.bundle import PolicyBundle, PolicyLibrary

_NAME = "use 1 to 128 letters, digits and . _ : - starting with a letter or digit"
_OPTIONS: dict[str, tuple[str, str]] = {
    "task_id": ("--id", _NAME),
    "caller": ("--caller", _NAME),
    "description": (
        "--description",
        f"give one printable line of at most {DESCRIPTION_CHARACTERS_MAX} characters",
    ),
    "justification": ("--justification", "give one printable line of at most 500 characters"),
    "pack": ("--pack", "see `pointwork policy list`"),
    "task_class": ("--class", "see `pointwork policy show PACK`"),
    "task_type": ("--type", "see `pointwork policy show PACK`"),
    "marks": ("--mark", _NAME),
    "residency": ("--residency", _NAME),
    "item_count": ("--items", "give a whole number from 1 to 10000000"),
    "requested_model": ("--model", _NAME),
    "priority": ("--priority", "give a number from 1, served first, to 5"),
    "conversation": ("--conversation", _NAME),
    "max_output_tokens": ("--max-tokens", f"give a whole number from 1 to {OUTPUT_TOKENS_MAX}"),
    "temperature": ("--temperature", "give a number from 0 to 2"),
    "deadline_seconds": ("--deadline", "give a whole number of seconds from 1 to 2592000"),
}
_PRIVATE = frozenset({"description", "justification"})
"""Fields whose value a person may have filled with content; an error does not repeat it."""


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
    _known("--class", declaration.task_class, pack.classes, bundle)
    _known("--type", declaration.task_type, pack.task_types, bundle)
    _known("--model", declaration.requested_model, models, bundle)
    for mark in declaration.marks:
        _known("--mark", mark, (*pack.local_marks, *pack.mark_routes), bundle)


def _known(option: str, name: str | None, names: Any, bundle: "PolicyBundle") -> None:
    if name is not None and name not in names:
        pack = f"pack {bundle.pack.pack} {bundle.pack.version}"
        raise CliError(
            f"{option} {name!r} is not known to {pack}", f"use one of: {listed(sorted(names))}"
        )


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
