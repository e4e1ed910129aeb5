"""A door that lets every call out: for tests of what happens behind it."""

from pointwork.contract.outcome import Invoke
from pointwork.contract.prompt import AnswerSchema, Prompt
from pointwork.providers.departure import Clearance, Purpose


class OpenDoor:
    def clear(self, call: Invoke, prompt: Prompt, schema: AnswerSchema | None) -> Clearance:
        return cleared(call.candidate.endpoint)


def cleared(endpoint: str) -> Clearance:
    """What the door gives for a model call to ``endpoint``."""
    return Clearance(Purpose.MODEL_CALL, endpoint)
