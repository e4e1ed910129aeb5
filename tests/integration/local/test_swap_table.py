"""Who of the codex pack's roles meets the card, and whether that ever costs a swap."""

from dataclasses import dataclass
from typing import Any

import pytest

from pointwork.contract.decision import Candidate
from pointwork.contract.names import TaskQueue
from pointwork.local.lane import LocalLane, Ticket
from pointwork.policy.decide import decide
from tests.fakes.local_runtime import FakeRuntime
from tests.fakes.policy_facts import Situation, shipped

CODEX = shipped("codex", "rtx5090")


@dataclass(frozen=True)
class Work:
    """What a role is asked to do."""

    role: str
    marks: tuple[str, ...] = ()
    lines: int = 40

    def candidate(self) -> Candidate:
        stated: dict[str, Any] = {"measures": {"scope_lines": self.lines}, "marks": self.marks}
        situation = Situation(task_class=self.role, conversation_id="notebook-7", **stated)
        return decide(situation.facts(CODEX), CODEX).candidates[0]


LOCAL = Work("tutor"), Work("implementer", marks=("first_pass",)), Work("librarian")
CLOUD = Work("architect"), Work("implementer", marks=("hr_cross_crate",), lines=400), Work("judge")


@pytest.mark.req("CX-79")
async def test_the_local_roles_share_one_model_and_the_cloud_roles_leave_the_card_alone() -> None:
    runtime = FakeRuntime()
    lane = LocalLane(runtime)
    for _ in range(3):
        for work in (*LOCAL, *CLOUD):
            candidate = work.candidate()
            assert (candidate.task_queue == TaskQueue.GPU) is (work in LOCAL), work
            if work in LOCAL:
                async with lane.place(Ticket(model=candidate.served_as, bound_seconds=15)):
                    pass
    assert runtime.loads == ["Qwen3-Coder-30B-A3B-Instruct"]
    status = lane.status()
    assert (status.served, status.swaps) == (9, 0)
    await lane.aclose()
