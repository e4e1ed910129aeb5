"""The two documents describe what the JSON they accompany names."""

import re
from pathlib import Path

import pytest

from tests.unit.contracts.documents import OPTIMIZER, POLICY, ROOT, shipped

POLICY_TEXT = ROOT / "docs/agent-execution-model-routing-policy.md"
OPTIMIZER_TEXT = ROOT / "docs/budget-resource-optimizer.md"
LINK = re.compile(r"\[[^\]]*\]\(([^)#]+)\)")


def rows(document: Path) -> dict[str, list[str]]:
    """Cells of every table row by the name in its first cell, code marks taken off."""
    found: dict[str, list[str]] = {}
    for line in document.read_text().splitlines():
        if line.startswith("| `"):
            first, *rest = (cell.strip().replace("`", "") for cell in line.strip("|").split("|"))
            found.setdefault(first, rest)
    return found


@pytest.mark.req("SP-25")
def test_every_lane_and_reason_of_the_policy_is_described() -> None:
    described, text, policy = rows(POLICY_TEXT), POLICY_TEXT.read_text(), shipped(POLICY)
    for lane in policy["lanes"]:
        limit = lane["context_tokens_max"]
        assert described[lane["name"]][:3] == [
            lane["site"],
            str(limit) if limit else "",
            ", ".join(lane["tool_rights"]),
        ]
        assert re.search(rf"^- `{lane['name']}`: .+\.$", text, re.MULTILINE)
    for reason in policy["escalation"]["reasons"]:
        assert re.search(rf"^\| `{reason['name']}` \| \w.+ \|$", text, re.MULTILINE)
    assert set(policy["evidence"]["parts"]) <= set(described)
    assert policy["operating_rule"] in text


def test_every_class_and_stage_of_the_policy_is_described() -> None:
    text = POLICY_TEXT.read_text()
    for each in shipped(POLICY)["task_classes"]:
        stages = ", ".join(f"`{stage}`" for stage in each["chain_stages"])
        assert f"| `{each['name']}` | `{each['default_lane']}` | {stages} | " in text
    for each in shipped(POLICY)["chain_stages"]:
        irreversible = "yes" if each["irreversible"] else "no"
        lanes = f"`{each['default_lane']}` | `{each['maximum_lane']}`"
        assert f"| `{each['name']}` | {lanes} | {irreversible} | " in text


@pytest.mark.req("SP-30")
def test_every_constraint_of_the_optimiser_is_described() -> None:
    described = rows(OPTIMIZER_TEXT)
    names = [each["name"] for each in shipped(OPTIMIZER)["constraints"]]
    assert [name for name in described if name in names] == names
    for each in shipped(OPTIMIZER)["constraints"]:
        reads, meaning = described[each["name"]]
        assert reads == ", ".join(each["reads"])
        assert len(meaning.split()) >= 4


def test_every_figure_of_the_optimiser_is_described() -> None:
    described, text, optimizer = (
        rows(OPTIMIZER_TEXT),
        OPTIMIZER_TEXT.read_text(),
        shipped(OPTIMIZER),
    )
    for floor in optimizer["quality_floors"]:
        assert described[floor["task_class"]] == [f"{floor['evaluation_pass_ratio_min']:.2f}"]
    for lane, ceiling_ms in optimizer["latency_ceilings_ms"].items():
        assert described[lane] == [str(ceiling_ms)]
    for profile in optimizer["local_profiles"]:
        memory, load, _ = described[profile["profile"]]
        assert memory == f"{profile['free_memory_mb_min']} or more"
        ratio = profile.get("load_ratio_max")
        assert load == (f"{ratio:.2f} or less" if ratio else "")
    for signal in optimizer["required_signals"]:
        assert f"`{signal['name']}`" in text


@pytest.mark.parametrize("document", [POLICY_TEXT, OPTIMIZER_TEXT], ids=lambda path: path.stem)
@pytest.mark.req("SP-25", "SP-30")
def test_every_link_of_the_document_leads_to_a_file(document: Path) -> None:
    links = LINK.findall(document.read_text())
    assert len(links) >= 3
    assert all((document.parent / link).is_file() for link in links)
