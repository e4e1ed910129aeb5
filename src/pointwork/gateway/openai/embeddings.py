"""``POST /v1/embeddings``: vectors from the model of this house while it serves (CX-24)."""

import base64
import json
from functools import partial
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from fastapi import APIRouter, Request, Response
from pydantic import Field

from pointwork.contract.outcome import TaskOutcome, TokenUsage
from pointwork.contract.prompt import Answer, Prompt, Speaker, TextPart, Turn
from pointwork.contract.task import TaskDeclaration
from pointwork.executors.embeddings import TEXTS_MAX
from pointwork.gateway.access import KeyFirst, Submitter
from pointwork.gateway.answered import governance
from pointwork.gateway.declaring import AUTO, Asked
from pointwork.gateway.passed_over import Asking, Neutral
from pointwork.gateway.problems import ProblemError, bad_request
from pointwork.gateway.question import Question
from pointwork.gateway.rules import Rules
from pointwork.gateway.wire_model import Items
from pointwork.policy.bundle import PolicyLibrary

router = APIRouter(tags=["OpenAI"], route_class=KeyFirst)
_NEEDS = "embedding"

Texts = Annotated[Items[Annotated[str, Field(min_length=1)]], Field(min_length=1)]


class EmbeddingRequest(Asking):
    """The body of ``POST /v1/embeddings``. Token lists are not taken: no model is known yet."""

    passed_over: ClassVar[Neutral] = {"user": None}

    model: Annotated[str, Field(min_length=1, max_length=200)]
    input: Annotated[str, Field(min_length=1)] | Texts
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = None
    pointwork: dict[str, Any] = Field(default_factory=dict)

    @property
    def texts(self) -> list[str]:
        return [self.input] if isinstance(self.input, str) else self.input


@router.post("/embeddings", response_model=None)
async def create_embeddings(
    body: EmbeddingRequest, request: Request, caller: Submitter, rules: Rules
) -> Response:
    """Embed up to 64 texts as one task. The space they lie in stands under ``pointwork``.

    Raises:
        ProblemError: 400 for too many texts, or a number of dimensions, which the model sets.
    """
    if len(body.texts) > TEXTS_MAX:
        detail = f"input: has {len(body.texts)} texts; give at most {TEXTS_MAX} at a time"
        raise bad_request("too_many_texts", detail, "input")
    if body.dimensions is not None:
        detail = "dimensions: the serving model sets them; leave it out"
        raise bad_request("unsupported_parameter", detail, "dimensions")
    model, stated = _route(rules, body.model, body.pointwork)
    turns = (Turn(speaker=Speaker.USER, parts=(TextPart(text=each),)) for each in body.texts)
    asked = Asked(model, stated, {})
    question = Question(request, caller, rules, asked, Prompt(turns=tuple(turns)))
    _check_class(rules, question.declaration)
    return await question.whole(partial(_embedded, encoding=body.encoding_format))


def _route(
    library: PolicyLibrary, model: str, stated: dict[str, Any]
) -> tuple[str, dict[str, Any]]:
    """The model's name and declarations, led to a class for embeddings where none was named."""
    if stated.get("task_class") or (model.split("/")[0] in library.packs and model[-5:] != "/auto"):
        return model, stated
    pack = stated.get("pack") or (model.split("/")[0] if "/" in model else None)
    packs = [pack] if pack in library.packs else library.packs
    for each in packs:
        for name, row in library.active(each).pack.classes.items():
            if _NEEDS in row.needs:
                chosen = AUTO if model.endswith(AUTO) else model
                return chosen, stated | {"pack": each, "task_class": name}
    raise ProblemError(
        404, "no_embeddings", "no class of the packs is for embeddings; name one as the model"
    )


def _check_class(library: PolicyLibrary, declaration: TaskDeclaration) -> None:
    row = library.active(declaration.pack).pack.classes.get(declaration.task_class or "")
    if row is None or _NEEDS not in row.needs:
        named = f"{declaration.pack}/{declaration.task_class or AUTO}"
        detail = f"model: {named} makes no embeddings; use 'auto', or a class that does"
        raise bad_request("no_embeddings", detail, "model")


def _embedded(
    outcome: TaskOutcome, answer: Answer, tokens: TokenUsage, encoding: str
) -> dict[str, Any]:
    made = json.loads(answer.text)
    data = [
        {"object": "embedding", "index": index, "embedding": _vector(text, encoding)}
        for index, text in enumerate(made["vectors"])
    ]
    return {
        "object": "list",
        "data": data,
        "model": outcome.served_model,
        "usage": {"prompt_tokens": tokens.input_tokens, "total_tokens": tokens.input_tokens},
        "pointwork": governance(outcome) | {"space": made["space"]},
    }


def _vector(text: str, encoding: str) -> str | list[float]:
    """As OpenAI sends it: base64 of little-endian float32, or numbers."""
    if encoding == "base64":
        return text
    return [float(each) for each in np.frombuffer(base64.b64decode(text), dtype="<f4")]
