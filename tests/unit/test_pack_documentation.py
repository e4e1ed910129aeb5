"""Who writes a pack finds every field of it in `docs/packs.md`."""

import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from pointwork.policy.documents.agreement import AgreementRule, NumberRule, TextRule
from pointwork.policy.documents.conditions import Condition
from pointwork.policy.documents.pack import Pack, Privacy
from pointwork.policy.documents.routes import (
    Family,
    LaneFloor,
    LaneGuard,
    LaneRule,
    Stage,
    TaskClass,
)
from pointwork.policy.documents.voices import CriticRule, JudgeRule


@pytest.mark.parametrize(
    "document",
    [
        *(Pack, Privacy, Family, TaskClass, LaneRule, LaneGuard, LaneFloor, Stage, Condition),
        *(AgreementRule, NumberRule, TextRule, CriticRule, JudgeRule),
    ],
    ids=lambda document: document.__name__,
)
def test_every_field_is_explained(document: type[BaseModel], repository: Path) -> None:
    text = (repository / "docs" / "packs.md").read_text()
    named = {name for code in re.findall(r"`([^`\n]+)`", text) for name in re.findall(r"\w+", code)}
    assert set(document.model_fields) - named == set()


def test_every_shipped_pack_has_its_section(repository: Path) -> None:
    text = (repository / "docs" / "packs.md").read_text()
    for folder in (repository / "policies").iterdir():
        if any(folder.glob("[0-9]*.yaml")):
            assert f"### {folder.name}\n" in text
