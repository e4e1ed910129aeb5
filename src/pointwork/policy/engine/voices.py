"""Who criticises and who judges an answer, where the class asks for it (CX-32, CX-36)."""

from collections.abc import Iterable
from dataclasses import dataclass

from pointwork.policy.documents.conditions import met
from pointwork.policy.documents.voices import JudgeRule
from pointwork.policy.engine.facts import Facts
from pointwork.policy.engine.filters import Refused
from pointwork.policy.engine.index import Entry
from pointwork.policy.engine.obligations import WHOSE_TURN
from pointwork.policy.engine.ranking import Ranked, codes

CRITIC_FLAG = "SPEC_KIT_CRITIC"


@dataclass(frozen=True, slots=True)
class Voices:
    """Beside the owner. ``on_fail`` is empty where nobody judges."""

    critic: Entry | None = None
    judge: Entry | None = None
    on_fail: str = ""
    is_self_critical: bool = False

    @property
    def models(self) -> tuple[Entry, ...]:
        return tuple(each for each in (self.critic, self.judge) if each is not None)


def voices_of(facts: Facts, refused: Refused, ranked: Ranked) -> Voices:
    """Permitted models of other vendors than the owner's.

    None beside an executor, and none where several models answer: a person settles that.
    """
    owner = ranked.chosen[0]
    if ranked.branches > 1 or owner.priced.model.kind != "llm":
        return Voices()
    judge = _judge_rule(facts)
    judges = _others(facts, refused, owner, judge.families) if judge else []
    return Voices(
        critic=next(iter(_others(facts, refused, owner, _critics(facts))), None),
        judge=next((e for e in judges if judge and not (judge.cloud_only and e.is_local)), None),
        on_fail=judge.on_fail if judge else "",
        is_self_critical=facts.row.self_critique,
    )


def _judge_rule(facts: Facts) -> JudgeRule | None:
    """The class's own rule; else the pipeline's judge for other roles' High-Risk work (CX-81).

    Where that judge does not pass it, a person may judge the work himself (R-14).
    """
    rule, pack = facts.row.judge, facts.bundle.pack
    if rule is not None:
        is_owed = rule.when is None or met(rule.when, facts) is not None
        return rule if is_owed else None
    if not facts.is_high_risk or "judge" not in pack.verification or pack.pipeline is None:
        return None
    judges = [stage.owner for stage in pack.pipeline.stages if stage.kind == "judge"]
    if not judges or facts.task_class == judges[0]:
        return None
    return JudgeRule(families=pack.classes[judges[0]].families, on_fail="hold")


def _critics(facts: Facts) -> tuple[str, ...]:
    """The families of the class's own rule, or of the stage's critic where the flag is set."""
    rule = facts.row.critic
    if rule is not None:
        is_owed = rule.when is None or met(rule.when, facts) is not None
        return rule.families if is_owed else ()
    pack = facts.bundle.pack
    if CRITIC_FLAG not in facts.given.snapshot.flags or pack.pipeline is None:
        return ()
    owners = {stage.name: stage.owner for stage in pack.pipeline.stages}
    return tuple(
        family
        for sidecar in pack.pipeline.sidecars
        if sidecar.kind == "critic" and owners[sidecar.stage] == facts.task_class
        for family in pack.classes[sidecar.owner].families
    )


def _others(facts: Facts, refused: Refused, owner: Entry, families: Iterable[str]) -> list[Entry]:
    return [
        entry
        for family in families
        for entry in facts.bundle.index.by_family.get(family, ())
        if entry.vendor != owner.vendor
        and entry.priced.model.kind == "llm"
        and codes(refused, entry.name) <= WHOSE_TURN
    ]
