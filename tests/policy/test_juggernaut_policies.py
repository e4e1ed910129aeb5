"""The seed's policy structure as a model, and the pack rendered in it."""

import json
from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from pointwork.juggernaut.routing_policies import ListedModel, RoutingPolicy, routing_policies
from tests.fakes.policy_facts import shipped

EXAMPLE = """
{
    "name": "normal",
    "description": "Balanced cost and performance",
    "models": [
        {"provider": "openai", "model": "gpt-4o-mini", "priority": 1},
        {"provider": "anthropic", "model": "claude-3-5-sonnet", "priority": 2}
    ],
    "max_cost_per_task": 0.10,
    "max_tokens": 4000,
    "temperature": 0.7
}
"""
"""As the source document gives it."""
JUGGERNAUT = shipped("juggernaut")


def example(**fields: Any) -> str:
    return json.dumps(json.loads(EXAMPLE) | fields)


@pytest.mark.req("JG-4")
def test_the_example_of_the_source_document_round_trips() -> None:
    policy = RoutingPolicy.model_validate_json(EXAMPLE)
    assert policy.model_dump(mode="json") == json.loads(EXAMPLE)
    assert RoutingPolicy.model_validate_json(policy.model_dump_json()) == policy
    assert (policy.max_cost_per_task, policy.temperature) == (Decimal("0.1"), Decimal("0.7"))


@pytest.mark.req("JG-4")
@pytest.mark.parametrize("key", sorted(json.loads(EXAMPLE)))
def test_a_policy_without_one_of_its_keys_is_rejected(key: str) -> None:
    rest = {name: value for name, value in json.loads(EXAMPLE).items() if name != key}
    with pytest.raises(ValidationError, match=key):
        RoutingPolicy.model_validate_json(json.dumps(rest))


@pytest.mark.req("JG-4")
@pytest.mark.parametrize("key", ["provider", "model", "priority"])
def test_a_listed_model_without_one_of_its_keys_is_rejected(key: str) -> None:
    models = json.loads(EXAMPLE)["models"]
    del models[1][key]
    with pytest.raises(ValidationError, match=key):
        RoutingPolicy.model_validate_json(example(models=models))


@pytest.mark.req("JG-4")
def test_two_models_of_one_priority_are_rejected() -> None:
    models = json.loads(EXAMPLE)["models"]
    models[1]["priority"] = 1
    with pytest.raises(ValidationError, match="priority 1 is given twice; give each model its own"):
        RoutingPolicy.model_validate_json(example(models=models))


@pytest.mark.parametrize(
    "fields",
    [
        {"models": []},
        {"models": [json.loads(EXAMPLE)["models"][0]] * 2},
        {"max_cost_per_task": -0.01},
        {"max_tokens": 0},
        {"temperature": 2.1},
        {"name": ""},
        {"name": "n" * 51},
        {"budget": 1},
    ],
)
def test_a_policy_with_an_impossible_value_is_rejected(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        RoutingPolicy.model_validate_json(example(**fields))


@pytest.mark.req("JG-5")
def test_the_pack_renders_its_normal_policy_as_the_example() -> None:
    by_name = {each.name: each for each in routing_policies(JUGGERNAUT)}
    assert by_name["normal"] == RoutingPolicy.model_validate_json(EXAMPLE)


def test_the_pack_renders_every_policy_with_its_models_in_order_and_its_cap() -> None:
    found = {
        each.name: (each.models, each.max_cost_per_task) for each in routing_policies(JUGGERNAUT)
    }
    openai, anthropic = "openai", "anthropic"
    rows = {
        "normal": ("gpt-4o-mini", "claude-3-5-sonnet", "0.10"),
        "deep_research": ("gpt-4o", "claude-3-opus", "1.00"),
        "code": ("gpt-4o", "claude-3-5-sonnet", "0.50"),
        "ops": ("gpt-3.5-turbo", "claude-3-haiku", "0.01"),
    }
    assert found == {
        name: (
            (
                ListedModel(provider=openai, model=primary, priority=1),
                ListedModel(provider=anthropic, model=fallback, priority=2),
            ),
            Decimal(cap),
        )
        for name, (primary, fallback, cap) in rows.items()
    }


def test_a_pack_of_another_kind_has_no_such_policies() -> None:
    with pytest.raises(ValueError, match=r"omega 1\.0 states no ceiling"):
        routing_policies(shipped("omega"))
