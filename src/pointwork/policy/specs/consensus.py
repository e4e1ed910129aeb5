"""Single owners by default; the legacy consensus of several agents only behind its flag.

The names are those of the policy's first home, where other tools know them (CX-37 to CX-42). The
flags are passed in: a decision never reads the environment.
"""

import logging
import threading
from collections.abc import Iterable
from dataclasses import dataclass

from pointwork.policy.specs.pipeline import Pipeline

_LOG = logging.getLogger(__name__)
_AGENTS_MIN = 2


@dataclass(frozen=True)
class ConsensusFlags:
    """``SPEC_KIT_CONSENSUS`` and ``SPEC_KIT_CRITIC``; both are off unless set."""

    consensus: bool = False
    """Legacy mode: several agents a stage. Not recommended."""
    critic: bool = False
    """The critic that comments beside a stage and holds nothing up."""


@dataclass(frozen=True)
class AgentOutput:
    """One agent's answer, by digest: agreement is told without the text."""

    agent: str
    digest: str


@dataclass(frozen=True)
class ConsensusResult:
    consensus_ok: bool
    is_validated: bool
    """Several answers were compared; False where there was nothing to compare."""
    disagreement: bool = False

    @property
    def needs_human(self) -> bool:
        """A person chooses: nothing here picks, ranks or merges (R-32)."""
        return not self.consensus_ok


class UnknownStageError(LookupError):
    """The pipeline has no stage of this name."""


class DeprecationNotice:
    """Tells once, however often and from however many threads legacy mode is used (CX-42)."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_given = False

    def give(self) -> None:
        with self._lock:
            is_first, self._is_given = not self._is_given, True
        if is_first:
            _LOG.warning(
                "SPEC_KIT_CONSENSUS is deprecated and not recommended: several agents run per "
                "stage, and a disagreement waits for a person; unset it for one owner per stage"
            )


def expected_agents_for_stage(
    stage: str, pipeline: Pipeline, flags: ConsensusFlags
) -> tuple[str, ...]:
    """The stage's one preferred agent; in legacy mode its legacy agents after it (CX-40).

    Raises:
        UnknownStageError: ``pipeline`` has no such stage.
    """
    for each in pipeline.stages:
        if each.name == stage:
            return (each.owner, *each.legacy_agents) if flags.consensus else (each.owner,)
    known = ", ".join(each.name for each in pipeline.stages)
    raise UnknownStageError(f"stage {stage!r} is not in the pipeline; its stages are {known}")


def run_spec_consensus(
    flags: ConsensusFlags, outputs: Iterable[AgentOutput], notice: DeprecationNotice
) -> ConsensusResult:
    """Without the flag: fine, and ``outputs`` is not even read, so no agent runs for it (CX-41).

    With it: whether two or more agents gave the same answer. A disagreement, or too few answers to
    compare, is for a person.
    """
    if not flags.consensus:
        return ConsensusResult(consensus_ok=True, is_validated=False)
    notice.give()
    answers = tuple(outputs)
    digests = {answer.digest for answer in answers}
    is_validated = len({answer.agent for answer in answers}) >= _AGENTS_MIN
    disagreement = len(digests) > 1
    return ConsensusResult(
        consensus_ok=is_validated and not disagreement,
        is_validated=is_validated,
        disagreement=disagreement,
    )
