"""The order of a pack's stages, each with one owner, and what may stand beside them (GR-001)."""

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from pointwork.contract.task import Name
from pointwork.policy.documents.document import Document

StageKind = Literal["stage0", "architect", "implementer", "judge"]
SidecarKind = Literal["critic", "second_opinion", "self_critique"]
Gate = Literal["compiler_and_tests", "constitution", "judge_audit"]
SecondOpinionTrigger = Literal["confidence_below_threshold", "repeated_failures", "user_request"]

_ORDER: tuple[StageKind, ...] = ("stage0", "architect", "implementer", "judge")
_MANY_VOICES = ("debate", "vote", "voting", "swarm", "merge", "consensus", "committee", "synthesis")
_AGREEMENT = ("agree", "consensus", "majority", "quorum", "unanim", "vote")
_SYNTHESIZERS = ("synthesizer", "synthesiser")


def _no_many_voices(kind: object) -> object:
    """Debate, vote, swarm (CX-28), merge and consensus (CX-29) are no kinds of step."""
    if isinstance(kind, str) and any(word in kind.casefold() for word in _MANY_VOICES):
        msg = f"{kind!r:.60} is forbidden by GR-001; give the work to one owner"
        raise ValueError(msg)
    return kind


def _one_owner(owner: object) -> object:
    if isinstance(owner, list | tuple):
        msg = "several owners are forbidden by GR-001; name the one who owns the stage"
        raise ValueError(msg)  # noqa: TRY004 - pydantic turns ValueError into a field error
    return owner


def _not_agreement(gate: object) -> object:
    """Progress never waits for several models to agree (CX-30)."""
    if isinstance(gate, str) and any(word in gate.casefold() for word in _AGREEMENT):
        msg = (
            f"{gate!r:.60} waits for models to agree, which GR-001 forbids; "
            "gate on compiler_and_tests, constitution or judge_audit"
        )
        raise ValueError(msg)
    return gate


class PipelineStage(Document):
    """One stage and the role that owns it."""

    name: Name
    kind: Annotated[StageKind, BeforeValidator(_no_many_voices)]
    owner: Annotated[Name, BeforeValidator(_one_owner)]
    """The pack's role whose model does the stage."""
    model_inputs: tuple[Name, ...] = ()
    """Stages whose model output the owner reads."""
    gates: tuple[Annotated[Gate, BeforeValidator(_not_agreement)], ...] = ()
    """What must pass before the next stage; tests and audits, never votes (CX-36)."""
    legacy_agents: Annotated[tuple[Name, ...], Field(max_length=4)] = ()
    """Asked besides the owner in legacy mode only (CX-38)."""

    @model_validator(mode="after")
    def _merges_nothing(self) -> Self:
        """A synthesiser over one output only rewrites; over several it merges (CX-31)."""
        if self.owner.casefold().startswith(_SYNTHESIZERS) and len(self.model_inputs) > 1:
            msg = (
                f"owner {self.owner!r} would merge {len(self.model_inputs)} models' outputs, "
                "which GR-001 forbids; leave it one of model_inputs"
            )
            raise ValueError(msg)
        return self


class Sidecar(Document):
    """A voice beside a stage. It advises; the owner's output stands as it is (CX-32 to CX-34)."""

    kind: Annotated[SidecarKind, BeforeValidator(_no_many_voices)]
    stage: Name
    owner: Annotated[Name, BeforeValidator(_one_owner)]
    triggers: tuple[SecondOpinionTrigger, ...] = ()
    """Any one of these asks for a second opinion; the other kinds have none."""

    @model_validator(mode="after")
    def _triggers_belong_to_a_second_opinion(self) -> Self:
        if bool(self.triggers) != (self.kind == "second_opinion"):
            msg = "triggers are what a second_opinion has, and nothing else; add or remove them"
            raise ValueError(msg)
        return self


class Pipeline(Document):
    """Stage 0, one Architect, one Implementer, one Judge, in that order (CX-35)."""

    stages: Annotated[tuple[PipelineStage, ...], Field(min_length=1, max_length=len(_ORDER))]
    sidecars: Annotated[tuple[Sidecar, ...], Field(max_length=8)] = ()

    @model_validator(mode="after")
    def _one_of_each_in_order(self) -> Self:
        kinds = [stage.kind for stage in self.stages]
        for kind in kinds:
            if kinds.count(kind) > 1:
                msg = f"stages: two of kind {kind!r}; GR-001 allows one owner a stage, keep one"
                raise ValueError(msg)
        if kinds != sorted(kinds, key=_ORDER.index):
            msg = f"stages: {', '.join(kinds)} is out of order; use {', '.join(_ORDER)}"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _names_resolve(self) -> Self:
        owners: dict[str, str] = {}
        for stage in self.stages:
            if stage.name in owners:
                msg = f"stages: {stage.name!r} names two stages; rename one"
                raise ValueError(msg)
            if unknown := [each for each in stage.model_inputs if each not in owners]:
                msg = f"stages: {unknown[0]!r} is no stage before {stage.name!r}; correct it"
                raise ValueError(msg)
            owners[stage.name] = stage.owner
        for sidecar in self.sidecars:
            if sidecar.stage not in owners:
                msg = f"sidecars: {sidecar.stage!r} is no stage of this pipeline; correct it"
                raise ValueError(msg)
            if sidecar.kind == "self_critique" and sidecar.owner != owners[sidecar.stage]:
                msg = f"sidecars: self_critique of {sidecar.stage!r} is its owner's; name them"
                raise ValueError(msg)
        return self
