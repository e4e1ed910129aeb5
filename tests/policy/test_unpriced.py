"""A model whose cost has no bound is refused before anything could be sent (reliability 14)."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from activities.classify import TOKENS_PER_IMAGE_MAX
from pointwork.contract.decision import Effect
from pointwork.contract.reasons import ReasonCode
from pointwork.policy.decide import decide
from pointwork.policy.documents.catalogue import IMAGE_TOKENS_MAX, Catalogue
from pointwork.policy.documents.load import load_library
from pointwork.policy.documents.strict_yaml import PolicyError
from tests.fakes.policy_facts import POLICIES, Situation, changed, reasons, shipped

EVERY_MODEL = tuple(shipped().models)


def catalogue() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((POLICIES / "models.yaml").read_text())
    return document


def refusal_of(folder: Path, document: dict[str, Any]) -> str:
    """What loading the shipped packs over another catalogue says."""
    for each in POLICIES.iterdir():
        if each.name != "models.yaml":
            (folder / each.name).symlink_to(each)
    (folder / "models.yaml").write_text(yaml.safe_dump(document))
    with pytest.raises(PolicyError) as refused:
        load_library(folder, "embedded")
    return str(refused.value)


def test_without_any_price_no_model_is_called() -> None:
    unpriced = changed(shipped(), models={name: {"tiers": ()} for name in EVERY_MODEL})
    plan = decide(Situation(task_class="bulk_generation").facts(unpriced), unpriced)
    assert plan.effect is Effect.DENY
    assert plan.candidates == ()
    assert ReasonCode.NO_PRICE in reasons(plan).values()


@pytest.mark.parametrize("name", ["gpt-5.1-renamed", "gpt-99", "gpt-5.1-2099-01-01"], ids=str)
def test_a_renamed_model_has_no_price_and_the_catalogue_is_refused(
    tmp_path: Path, name: str
) -> None:
    document = catalogue()
    document["models"]["gpt-5.1"]["price"]["model"] = name
    assert "models.gpt-5.1.price: genai-prices" in refusal_of(tmp_path, document)


def test_a_name_that_the_library_takes_for_another_is_refused(tmp_path: Path) -> None:
    """It matches by prefix, and would price a new model like the old one of that line."""
    document = catalogue()
    document["models"]["claude-haiku-4-5"]["price"]["model"] = "claude-haiku-4-5-new"
    said = refusal_of(tmp_path, document)
    assert "takes claude-haiku-4-5-new for claude-haiku-4-5" in said


@pytest.mark.parametrize(
    "left_out",
    ["input_per_mtok", "output_per_mtok", "cached_input_per_mtok", "cache_write_per_mtok"],
)
def test_a_price_left_out_of_a_stated_tier_is_not_zero(tmp_path: Path, left_out: str) -> None:
    document = catalogue()
    del document["models"]["smollm2-135m"]["price"]["tiers"][0][left_out]
    assert left_out in refusal_of(tmp_path, document)


def test_a_vision_model_without_a_bound_for_an_image_is_refused(tmp_path: Path) -> None:
    document = catalogue()
    del document["models"]["gpt-5.1"]["image_tokens_max"]
    assert "models.gpt-5.1.image_tokens_max is missing" in refusal_of(tmp_path, document)


def test_a_vision_model_that_charges_more_than_is_held_for_an_image_is_refused(
    tmp_path: Path,
) -> None:
    document = catalogue()
    document["models"]["gpt-5.1"]["image_tokens_max"] = IMAGE_TOKENS_MAX + 1
    assert "image_tokens_max" in refusal_of(tmp_path, document)


def test_what_is_held_for_an_image_is_what_the_catalogue_promises() -> None:
    assert TOKENS_PER_IMAGE_MAX == IMAGE_TOKENS_MAX
    models = Catalogue.model_validate(catalogue()).models.values()
    assert all((each.image_tokens_max or 0) <= TOKENS_PER_IMAGE_MAX for each in models)
