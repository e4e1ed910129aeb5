"""Fields of a request that change nothing here, so that any client may send them.

Every other field that is not served is refused by its name: nothing degrades in silence.
"""

import json
from collections.abc import Mapping
from typing import Any, ClassVar, Self

from pydantic import model_validator
from pydantic_core import PydanticCustomError

from pointwork.gateway.wire_model import WireModel

NOT_SERVED = "not_served"
"""The type of the error; its context has the field's name as ``field``."""

Neutral = dict[str, tuple[Any, ...] | None]
"""By a field's name the values that say what holds anyway; None is for any value."""

_NAME_CHARACTERS_MAX = 64
_LEAVE_OUT = "leave it out"

NEUTRAL: Neutral = {
    "user": None,
    "metadata": None,
    "safety_identifier": None,
    "prompt_cache_key": None,
    "prompt_cache_options": None,
    "prompt_cache_retention": None,
    "store": (False,),
    "service_tier": ("auto", "default"),
    "n": (1,),
    "best_of": (1,),
    "stop": ([],),
    "top_p": (1,),
    "top_k": (-1, 0),
    "min_p": (0,),
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "repetition_penalty": (1,),
    "logit_bias": ({},),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "echo": (False,),
    "verbosity": ("medium",),
}
"""What holds on every surface."""


class Asking(WireModel):
    """A body, or a part of one, that holds beside its own fields only such as change nothing.

    A field that is null is as good as left out.
    """

    passed_over: ClassVar[Neutral] = NEUTRAL
    remedies: ClassVar[Mapping[str, str]] = {}
    """What to do instead, for fields that need more than to be left out."""

    @model_validator(mode="after")
    def _changes_nothing_silently(self) -> Self:
        for name, value in (self.model_extra or {}).items():
            if value is None:
                continue
            neutral = self.passed_over.get(name, ())
            if neutral is not None and value not in neutral:
                raise unserved(name, neutral, self.remedies.get(name, _LEAVE_OUT))
        return self


def unserved(
    name: str, neutral: tuple[Any, ...] = (), remedy: str = _LEAVE_OUT
) -> PydanticCustomError:
    """The error of a field that would change the answer; its value may be content, and is not told.

    Args:
        neutral: the values that would be taken.
    """
    taken = " or ".join(json.dumps(each) for each in neutral)
    besides = f", except as {taken}" if taken else ""
    return PydanticCustomError(
        NOT_SERVED,
        "is not served by Pointwork{besides}; {remedy}",
        {"field": name[:_NAME_CHARACTERS_MAX], "besides": besides, "remedy": remedy},
    )
