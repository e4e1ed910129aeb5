"""From a request to a declaration: the model's name, the headers and the ``pointwork`` object.

A header wins over nothing: what both say must be the same. A request for one model is a wish, and
the policy of the pack decides as it does for every task.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from fastapi import Request
from pydantic import ValidationError

from pointwork.contract.identity import Identity
from pointwork.contract.task import Constraints, TaskDeclaration, new_task_id
from pointwork.gateway.permissions import Right, rights_of
from pointwork.gateway.problems import ProblemError, bad_request
from pointwork.policy.bundle import PolicyLibrary, UnknownPackError

AUTO = "auto"
IDEMPOTENCY_HEADER = "idempotency-key"
IDEMPOTENCY_CHARACTERS_MAX = 255
WAIT_SECONDS_MAX = 3600

_OURS = "pointwork-"
HEADERS = {
    "pointwork-class": "task_class",
    "pointwork-task-type": "task_type",
    "pointwork-sensitivity": "sensitivity",
    "pointwork-pack": "pack",
    "pointwork-caller": "caller",
    "pointwork-worker": "worker",
    "pointwork-conversation": "conversation",
    "pointwork-justification": "justification",
    "pointwork-wait-seconds": "wait_seconds",
}
"""What may be said in a header, for clients that cannot add to the body."""

DECLARED = frozenset(TaskDeclaration.model_fields) - {"task_id", "requested_model", "constraints"}
"""What the ``pointwork`` object may say of a task: the fields of a declaration, by their names."""
_OTHER = frozenset({"wait_seconds", "deadline_seconds"})


@dataclass(frozen=True)
class Declared:
    """A task as it will be submitted, and how long the caller waits for a person."""

    declaration: TaskDeclaration
    wait_seconds: float | None
    """None answers at once where a person must decide."""


@dataclass(frozen=True)
class Asked:
    """What a body says of its task, beside the content."""

    model: str
    stated: Mapping[str, Any]
    """The ``pointwork`` object."""
    limits: Mapping[str, Any]
    """Fields of ``Constraints``; those that are None were not given."""


@dataclass(frozen=True)
class Defaults:
    """What holds for a request that does not say."""

    pack: str = "omega"
    max_output_tokens: int = 1024


def declare(
    request: Request,
    caller: Identity,
    library: PolicyLibrary,
    asked: Asked,
    defaults: Defaults,
) -> Declared:
    """The declaration of a request.

    Raises:
        ProblemError: something is unknown, not allowed, or said twice and differently.
    """
    fields = _stated(request, asked.stated)
    wait = _wait_seconds(fields.pop("wait_seconds", None))
    limits = {
        "max_output_tokens": defaults.max_output_tokens,
        **_given(**asked.limits),
        **_given(deadline_seconds=fields.pop("deadline_seconds", None)),
    }
    fields |= _routed(asked.model, library, fields, defaults.pack)
    draft = _checked(caller, library, fields, limits)
    task_id = _task_id(request, caller)
    return Declared(draft.model_copy(update={"task_id": task_id}), wait)


def declare_task(
    request: Request,
    caller: Identity,
    library: PolicyLibrary,
    stated: TaskDeclaration,
    defaults: Defaults,
) -> TaskDeclaration:
    """The declaration of a task that is stated in Pointwork's own terms.

    Its ``task_id`` is the idempotency key. What it leaves out has the gateway's defaults.

    Raises:
        ProblemError: something is unknown, not allowed, or said twice and differently.
    """
    given = stated.model_dump(mode="json", exclude_unset=True)
    key, wished = given.pop("task_id"), given.pop("requested_model", None)
    limits = {"max_output_tokens": defaults.max_output_tokens, **given.pop("constraints", {})}
    fields = {"pack": defaults.pack, **_stated(request, given)}
    if "wait_seconds" in fields:
        raise bad_request(
            "not_served",
            "pointwork-wait-seconds: this request never waits; ask for the task with "
            "`GET /v1/tasks/ID?wait_seconds=…`",
            "pointwork-wait-seconds",
        )
    if _header(request, IDEMPOTENCY_HEADER) not in (None, key):
        raise bad_request(
            "said_twice", f"{IDEMPOTENCY_HEADER} and task.task_id differ; give one", "task_id"
        )
    draft = _checked(caller, library, fields, limits)
    if wished is not None and wished not in library.active(draft.pack).models:
        raise _no_model(wished, packs_of(library, wished))
    return draft.model_copy(
        update={"task_id": task_id_of(caller.name, key), "requested_model": wished}
    )


def _checked(
    caller: Identity, library: PolicyLibrary, fields: dict[str, Any], limits: Mapping[str, Any]
) -> TaskDeclaration:
    """The declaration of ``fields``, still without its id."""
    stated = fields | {"caller": _budget_caller(caller, fields.get("caller"))}
    try:
        constraints = Constraints(**limits)
        draft = TaskDeclaration(task_id="none", constraints=constraints, **stated)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        param = ".".join(str(each) for each in first["loc"])
        raise bad_request(
            "invalid_declaration", f"pointwork.{param}: {first['msg']}", param
        ) from None
    _check_class(library, draft)
    return draft


def _stated(request: Request, stated: Mapping[str, Any]) -> dict[str, Any]:
    fields = dict(stated)
    if unknown := sorted(set(fields) - DECLARED - _OTHER):
        known = ", ".join(sorted(DECLARED | _OTHER))
        raise bad_request(
            "unknown_field", f"pointwork.{unknown[0]} is not known; use one of {known}", unknown[0]
        )
    for header in request.headers:
        if header.startswith(_OURS) and header not in HEADERS:
            known = ", ".join(HEADERS)
            raise bad_request(
                "unknown_header", f"{header} is not known; use one of {known}", header
            )
    for header, name in HEADERS.items():
        value = _header(request, header)
        if value is None:
            continue
        if name in fields and str(fields[name]) != value:
            raise bad_request(
                "said_twice", f"{header} and pointwork.{name} differ; give one of them", name
            )
        fields[name] = value
    return fields


def _header(request: Request, name: str) -> str | None:
    """What a header says, which is UTF-8.

    Raises:
        ProblemError: it is there twice and differs, or is other bytes.
    """
    values = set(request.headers.getlist(name))
    if not values:
        return None
    if len(values) > 1:
        raise bad_request("said_twice", f"{name} is there {len(values)} times; give one", name)
    try:
        return values.pop().encode("latin-1").decode()
    except UnicodeDecodeError:
        raise bad_request(
            "invalid_header", f"{name}: is not UTF-8; encode it so, or say it in the body", name
        ) from None


def _routed(
    model: str, library: PolicyLibrary, fields: Mapping[str, Any], default_pack: str
) -> dict[str, Any]:
    """Pack, class and wished model that the model's name stands for."""
    pack = str(fields.get("pack", default_pack))
    if model == AUTO:
        return {"pack": pack}
    head, _, tail = model.partition("/")
    if head in library.packs:
        if "pack" in fields and pack != head:
            raise bad_request(
                "said_twice", f"model {model!r} and the pack {pack!r} differ", "model"
            )
        if tail == AUTO:
            return {"pack": head}
        if tail in library.active(head).pack.classes:
            if fields.get("task_class", tail) != tail:
                raise bad_request("said_twice", f"model {model!r} and the class differ", "model")
            return {"pack": head, "task_class": tail}
        raise _no_model(model)
    try:
        known = library.active(pack).models
    except UnknownPackError as error:
        raise bad_request("unknown_pack", str(error), "pack") from None
    if model in known:
        return {"pack": pack, "requested_model": model}
    raise _no_model(model, packs_of(library, model))


def packs_of(library: PolicyLibrary, model: str) -> tuple[str, ...]:
    """The packs whose catalogue has the model."""
    return tuple(pack for pack in library.packs if model in library.active(pack).models)


def _no_model(model: str, packs: Sequence[str] = ()) -> ProblemError:
    """The refusal of a name that is no model here, though it may be one of other ``packs``."""
    detail = f"model {model!r} is not known; use 'auto', PACK/CLASS, or an id that /v1/models lists"
    if packs:
        belongs = f"pack {packs[0]}" if len(packs) == 1 else f"packs {', '.join(packs)}"
        detail = f"model {model!r} belongs to {belongs}; send pointwork-pack: {packs[0]}"
    return ProblemError(404, "model_not_found", detail, "model")


def _check_class(library: PolicyLibrary, draft: TaskDeclaration) -> None:
    try:
        classes = library.active(draft.pack).pack.classes
    except UnknownPackError as error:
        raise bad_request("unknown_pack", str(error), "pack") from None
    if draft.task_class is not None and draft.task_class not in classes:
        known = ", ".join(sorted(classes))
        raise bad_request(
            "unknown_class",
            f"class {draft.task_class!r} is not one of pack {draft.pack!r}; use one of {known}",
            "task_class",
        )


def _budget_caller(caller: Identity, stated: object) -> str:
    """Whose budget pays: the account itself, or a group or service that it belongs to."""
    if stated is None or stated == caller.name:
        return caller.name
    if str(stated) in caller.belongs_to or Right.GOVERN in rights_of(caller):
        return str(stated)
    raise ProblemError(
        403,
        "not_permitted",
        f"pointwork.caller: {caller.name!r} may not spend the budget of {str(stated)[:64]!r}; an "
        "owner adds it with `pointwork person change`",
        "caller",
    )


def _wait_seconds(value: object) -> float | None:
    if value is None:
        return None
    try:
        seconds = float(str(value))
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= WAIT_SECONDS_MAX:
        raise bad_request(
            "invalid_wait",
            f"wait_seconds: give a number from 0 to {WAIT_SECONDS_MAX}",
            "wait_seconds",
        )
    return seconds


def _task_id(request: Request, caller: Identity) -> str:
    """The id that the caller's idempotency key stands for, one for each account; else a new one."""
    key = _header(request, IDEMPOTENCY_HEADER)
    if key is None:
        return new_task_id(datetime.now(UTC))
    if not 1 <= len(key) <= IDEMPOTENCY_CHARACTERS_MAX:
        raise bad_request(
            "invalid_idempotency_key",
            f"{IDEMPOTENCY_HEADER}: give 1 to {IDEMPOTENCY_CHARACTERS_MAX} characters",
            IDEMPOTENCY_HEADER,
        )
    return task_id_of(caller.name, key)


def task_id_of(caller: str, key: str) -> str:
    """The task that an account's idempotency key stands for, for ever."""
    digest = hashlib.sha256(f"{len(caller)}:{caller}:{key}".encode()).hexdigest()
    return f"idem-{digest[:40]}"


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
