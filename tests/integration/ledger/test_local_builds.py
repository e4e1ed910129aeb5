"""Which build of a local model a host loaded last, and the line of the chain when it changed."""

from datetime import timedelta

import pytest

from pointwork.contract.local_run import ModelBuild
from pointwork.ledger.local_builds import CHANGED, LocalBuilds
from tests.integration.ledger.conftest import Ledger
from tests.integration.ledger.records import NOW

BUILD = ModelBuild(
    revision="sha256:aa", quantisation="Q4_1", runtime="llama_cpp", runtime_version="xllamacpp 1"
)


@pytest.mark.req("CX-13")
@pytest.mark.parametrize(
    "change",
    [{"revision": "sha256:bb"}, {"quantisation": "Q8_0"}, {"runtime_version": "xllamacpp 2"}],
    ids=lambda change: next(iter(change)),
)
def test_a_build_that_changed_is_told_once_with_what_it_was(
    ledger: Ledger, change: dict[str, str]
) -> None:
    builds, other = LocalBuilds(ledger.engine, "card-1"), BUILD.model_copy(update=change)
    told = [
        builds.note("qwen3", build, NOW + timedelta(hours=at))
        for at, build in enumerate((BUILD, BUILD, other, other))
    ]
    assert told == [False, False, True, False]
    (line,) = ledger.chain.latest(10, kind=CHANGED)
    assert line.body == {
        "host": "card-1",
        "model": "qwen3",
        "from": BUILD.model_dump(mode="json"),
        "to": other.model_dump(mode="json"),
    }


def test_what_a_server_does_not_tell_for_once_is_no_change(ledger: Ledger) -> None:
    builds = LocalBuilds(ledger.engine, "card-1")
    silent = BUILD.model_copy(update={"runtime_version": ""})
    changed = BUILD.model_copy(update={"runtime_version": "xllamacpp 2"})
    told = [builds.note("qwen3", build, NOW) for build in (silent, BUILD, silent, BUILD, changed)]
    assert told == [False, False, False, False, True]
    (line,) = ledger.chain.latest(10, kind=CHANGED)
    assert line.body["from"] == BUILD.model_dump(mode="json")


def test_each_host_model_and_runtime_is_compared_with_itself(ledger: Ledger) -> None:
    vllm = ModelBuild(revision="3f2a", runtime="vllm", runtime_version="0.32.0")
    told = [
        LocalBuilds(ledger.engine, host).note(model, build, NOW)
        for host, model, build in (
            ("card-1", "qwen3", BUILD),
            ("card-1", "qwen3", vllm),
            ("card-2", "qwen3", BUILD.model_copy(update={"revision": "sha256:cc"})),
            ("card-1", "ministral", BUILD.model_copy(update={"revision": "sha256:dd"})),
            ("card-1", "qwen3", BUILD),
        )
    ]
    assert told == [False] * 5
    assert ledger.chain.latest(10, kind=CHANGED) == []
