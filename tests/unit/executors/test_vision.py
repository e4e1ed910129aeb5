"""A detector of this host, or a refusal that says what to do; overlapping boxes are one object."""

import hashlib
import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointwork.executors.boxes import Candidates, kept
from pointwork.executors.vision import (
    Detection,
    HostDetector,
    ImageRefusedError,
    OnnxDetector,
    VisionUnavailableError,
)
from tests.fakes.tiny_onnx import constant_detector

# Boxes by columns: a cat, the same cat again, a dog in its place, and one nobody is sure of.
OUTPUT = [
    [32.0, 33.0, 32.0, 10.0],
    [32.0, 32.0, 32.0, 10.0],
    [20.0, 20.0, 20.0, 4.0],
    [10.0, 10.0, 10.0, 4.0],
    [0.9, 0.8, 0.1, 0.1],
    [0.1, 0.1, 0.7, 0.2],
]
SCORES = st.floats(0.25, 1.0)
SIDES = st.floats(0.0, 100.0)
WITHOUT_RUNTIME = """
import sys
from pathlib import Path
sys.modules["onnxruntime"] = None
from pointwork.executors.vision import OnnxDetector, VisionUnavailableError
try:
    OnnxDetector.load(Path(sys.argv[1]), sys.argv[2])
except VisionUnavailableError as error:
    print(error)
"""


def written(path: Path, data: bytes) -> tuple[Path, str]:
    path.write_bytes(data)
    return path, hashlib.sha256(data).hexdigest()


def image(width: int = 128, height: int = 64, kind: str = "PNG") -> bytes:
    from PIL import Image

    out = io.BytesIO()
    Image.new("RGB", (width, height), (200, 100, 50)).save(out, kind)
    return out.getvalue()


def test_without_a_model_every_image_is_refused_with_the_setting_to_make() -> None:
    with pytest.raises(VisionUnavailableError, match=r"_MODEL is not set, .*; set it"):
        HostDetector(None, "").detect(b"anything")


def test_a_missing_file_is_refused_by_its_setting(tmp_path: Path) -> None:
    with pytest.raises(VisionUnavailableError, match=r"POINTWORK_VISION_MODEL: .*no\.onnx cannot"):
        HostDetector(tmp_path / "no.onnx", "0" * 64).detect(b"anything")


@pytest.mark.parametrize("sha256", ["", "0" * 64])
def test_another_file_than_the_one_meant_is_never_loaded(tmp_path: Path, sha256: str) -> None:
    path, found = written(tmp_path / "m.onnx", b"anything")
    with pytest.raises(VisionUnavailableError, match=f"SHA256: .* has the sha256 {found}, not"):
        HostDetector(path, sha256).detect(b"anything")


def test_a_host_without_the_extra_is_told_to_install_it(tmp_path: Path) -> None:
    path, sha256 = written(tmp_path / "m.onnx", constant_detector(OUTPUT))
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_RUNTIME, str(path), sha256],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "onnxruntime is not installed; install pointwork[vision]" in done.stdout


def candidates(rows: list[tuple[float, float, float, float, float, int]]) -> Candidates:
    table = np.array(rows, dtype=np.float64).reshape(-1, 6)
    corners = np.hstack([table[:, :2], table[:, :2] + table[:, 2:4]])
    return Candidates(corners, table[:, 4], table[:, 5].astype(np.int64))


@given(
    st.lists(st.tuples(SIDES, SIDES, SIDES, SIDES, SCORES, st.integers(0, 2)), max_size=12),
    st.integers(1, 12),
)
def test_what_is_kept_is_sure_first_and_free_of_repetition(
    rows: list[tuple[float, float, float, float, float, int]], most: int
) -> None:
    found = candidates(rows)
    result = kept(found, 0.45, most)
    assert len(result.scores) <= most
    assert result.scores.tolist() == sorted(result.scores.tolist(), reverse=True)
    again = kept(result, 0.45, most)
    assert np.array_equal(again.boxes, result.boxes)
    if rows:
        assert result.scores[0] == found.scores.max()


def test_the_same_place_may_hold_two_objects_of_different_labels() -> None:
    rows = [(0.0, 0.0, 10.0, 10.0, 0.9, 0), (1.0, 0.0, 10.0, 10.0, 0.8, 0)]
    result = kept(candidates([*rows, (0.0, 0.0, 10.0, 10.0, 0.5, 1)]), 0.45, 10)
    assert result.labels.tolist() == [0, 1]


def test_boxes_are_given_in_the_pixels_of_the_image_as_it_was(tmp_path: Path) -> None:
    detector = HostDetector(*written(tmp_path / "m.onnx", constant_detector(OUTPUT)))
    assert detector.detect(image(128, 64)) == (
        Detection("cat", 0.9, (44.0, 22.0, 84.0, 42.0)),
        Detection("dog", 0.7, (44.0, 22.0, 84.0, 42.0)),
    )
    assert detector.detect(image(64, 64, "JPEG"))[0].box == (22.0, 27.0, 42.0, 37.0)


def test_a_class_without_a_name_is_numbered(tmp_path: Path) -> None:
    model = constant_detector(OUTPUT, names="__import__('os')")
    detector = HostDetector(*written(tmp_path / "m.onnx", model))
    assert [each.label for each in detector.detect(image())] == ["class-0", "class-1"]


@pytest.mark.parametrize(
    "model", [b"", b"junk" * 50, constant_detector(OUTPUT)[:60], constant_detector(OUTPUT[:4])]
)
def test_a_file_that_is_no_detector_is_refused(tmp_path: Path, model: bytes) -> None:
    with pytest.raises(VisionUnavailableError, match=r"POINTWORK_VISION_MODEL: .*; export"):
        OnnxDetector.load(*written(tmp_path / "m.onnx", model))


@pytest.mark.parametrize("cut", [0, 20, 60])
def test_bytes_that_are_no_image_are_refused(tmp_path: Path, cut: int) -> None:
    detector = HostDetector(*written(tmp_path / "m.onnx", constant_detector(OUTPUT)))
    with pytest.raises(ImageRefusedError, match="is no PNG, JPEG, WebP or GIF, or is damaged"):
        detector.detect(image()[:cut])


def test_an_image_of_too_many_pixels_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    detector = HostDetector(*written(tmp_path / "m.onnx", constant_detector(OUTPUT)))
    with pytest.raises(ImageRefusedError, match="7000 x 7000 pixels, and 40000000 are the most"):
        detector.detect(image(7000, 7000))
