"""Objects in an image, by a YOLO-style detector on this host and no language model (CX-25).

The weights are the host's own: without a model file whose sha256 is the configured one, every
image is refused, in words.
"""

import ast
import hashlib
import io
import threading
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pointwork.contract.failures import PointworkError
from pointwork.executors.boxes import Candidates, kept

IMAGE_PIXELS_MAX = 40_000_000
SCORE_MIN = 0.25
OVERLAP_MAX = 0.45
OBJECTS_MAX = 300
"""The usual values of this family of detectors."""

_PROVIDERS = ("TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider")
"""In the order of preference; what this host has not is left out."""
_PADDING = (114, 114, 114)
_SIDE_DEFAULT = 640


class VisionUnavailableError(PointworkError):
    """There is no detector to ask; the text names the setting and the remedy."""


class ImageRefusedError(PointworkError):
    """The bytes are no image a detector can look at; nothing of them is quoted."""


@dataclass(frozen=True, slots=True)
class Detection:
    """``box`` is left, top, right, bottom in pixels of the image as it was given."""

    label: str
    score: float
    box: tuple[float, float, float, float]


class Detector(Protocol):
    def detect(self, image_bytes: bytes) -> tuple[Detection, ...]:
        """The objects in a PNG, JPEG, WebP or GIF image, the surest first.

        Raises:
            VisionUnavailableError: there is no model.
            ImageRefusedError: the bytes are no such image, or too large a one.
        """
        ...


class HostDetector:
    """The detector that the host's settings name, loaded with the first image. Thread-safe.

    A host without one serves the queue all the same and refuses each image, in words.
    """

    def __init__(self, model: Path | None, sha256: str) -> None:
        self._model = model
        self._sha256 = sha256
        self._lock = threading.Lock()
        self._detector: Detector | None = None

    def detect(self, image_bytes: bytes) -> tuple[Detection, ...]:
        """As ``OnnxDetector.detect``.

        Raises:
            VisionUnavailableError: no model is configured, or it cannot be used.
        """
        if self._model is None:
            raise VisionUnavailableError(
                "POINTWORK_VISION_MODEL is not set, so no image can be looked at; set it to the "
                "path of an ONNX detector and POINTWORK_VISION_MODEL_SHA256 to its hash"
            )
        with self._lock:
            if self._detector is None:
                self._detector = OnnxDetector.load(self._model, self._sha256)
        return self._detector.detect(image_bytes)


class OnnxDetector:
    """A detector whose output is (1, 4 + classes, boxes), as YOLOv8 to v12 are exported."""

    def __init__(self, session: Any, labels: tuple[str, ...], side: int) -> None:
        self._session = session
        self._input = session.get_inputs()[0].name
        self._labels = labels
        self._side = side

    @classmethod
    def load(cls, model: Path, sha256: str) -> "OnnxDetector":
        """Verify the file, then load it. Labels and input size are read from the model itself.

        Raises:
            VisionUnavailableError: the file is missing, has another hash, or is no such detector;
                or the ``vision`` extra is not installed.
        """
        data = _verified(model, sha256)
        try:
            import onnxruntime
        except ImportError:
            raise VisionUnavailableError(
                "POINTWORK_VISION_MODEL is set but onnxruntime is not installed; "
                "install pointwork[vision]"
            ) from None
        onnxruntime.set_default_logger_severity(4)
        available = set(onnxruntime.get_available_providers())
        errors = _errors_of(onnxruntime)
        try:
            session = onnxruntime.InferenceSession(
                data, providers=[name for name in _PROVIDERS if name in available]
            )
        except errors:
            raise _malformed(model, "is no ONNX model this runtime can load") from None
        side = _input_side(session, model)
        blank = np.zeros((1, 3, side, side), dtype=np.float32)
        try:
            (output, *_) = session.run(None, {session.get_inputs()[0].name: blank})
        except errors:
            raise _malformed(model, f"does not take an image of {side} x {side}") from None
        if np.ndim(output) != 3 or output.shape[0] != 1 or output.shape[1] < 5:
            raise _malformed(model, "does not give (1, 4 + classes, boxes)")
        return cls(session, _labels(session, output.shape[1] - 4), side)

    def detect(self, image_bytes: bytes) -> tuple[Detection, ...]:
        """The objects in the image, the surest first; equal bytes give equal detections."""
        pixels, scale, left, top, size = _letterboxed(image_bytes, self._side)
        (output, *_) = self._session.run(None, {self._input: pixels})
        found = kept(_candidates(np.asarray(output, dtype=np.float64)[0]), OVERLAP_MAX, OBJECTS_MAX)
        boxes = (found.boxes - [left, top, left, top]) / scale
        limits = np.array([*size, *size], dtype=np.float64)
        boxes = np.clip(boxes, 0.0, limits)
        return tuple(
            Detection(
                self._labels[label],
                round(float(score), 4),
                (
                    round(float(box[0]), 1),
                    round(float(box[1]), 1),
                    round(float(box[2]), 1),
                    round(float(box[3]), 1),
                ),
            )
            for label, score, box in zip(found.labels, found.scores, boxes, strict=True)
        )


def _verified(model: Path, sha256: str) -> bytes:
    try:
        data = model.read_bytes()
    except OSError as error:
        raise VisionUnavailableError(
            f"POINTWORK_VISION_MODEL: {model} cannot be read ({error.strerror}); "
            "put the ONNX file there or correct the path"
        ) from None
    found = hashlib.sha256(data).hexdigest()
    if found != sha256.lower():
        raise VisionUnavailableError(
            f"POINTWORK_VISION_MODEL_SHA256: {model} has the sha256 {found}, not the one set; "
            "fetch the file again, or set the hash if you trust this one"
        )
    return data


def _errors_of(onnxruntime: Any) -> tuple[type[Exception], ...]:
    """The runtime derives its errors from Exception alone, one class for each status."""
    state = onnxruntime.capi.onnxruntime_pybind11_state
    names = ("Fail", "InvalidArgument", "InvalidGraph", "InvalidProtobuf", "NotImplemented")
    return (RuntimeError, *(getattr(state, name) for name in names))


def _malformed(model: Path, problem: str) -> VisionUnavailableError:
    return VisionUnavailableError(
        f"POINTWORK_VISION_MODEL: {model} {problem}; export the detector to ONNX with one image "
        "of fixed size in and (1, 4 + classes, boxes) out"
    )


def _input_side(session: Any, model: Path) -> int:
    shape = session.get_inputs()[0].shape
    if len(session.get_inputs()) != 1 or len(shape) != 4 or shape[1] != 3:
        raise _malformed(model, "does not take one image of (1, 3, side, side)")
    if all(isinstance(each, int) for each in shape[2:]):
        if shape[2] != shape[3]:
            raise _malformed(model, "takes images that are not square")
        return int(shape[2])
    # A size left open at the export stands in the model's own notes.
    noted = _noted(session, "imgsz")
    return int(noted[0]) if isinstance(noted, list) and noted else _SIDE_DEFAULT


def _labels(session: Any, classes: int) -> tuple[str, ...]:
    names = _noted(session, "names")
    known = names if isinstance(names, dict) else {}
    return tuple(str(known.get(number, f"class-{number}")) for number in range(classes))


def _noted(session: Any, name: str) -> object:
    """A note that the exporter left in the model, written as a Python literal; None without."""
    text = session.get_modelmeta().custom_metadata_map.get(name, "")
    try:
        value: object = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    return value


def _letterboxed(
    image_bytes: bytes, side: int
) -> tuple[NDArray[np.float32], float, int, int, tuple[int, int]]:
    """The image in a square of ``side``: its pixels as (1, 3, side, side) from 0 to 1, the scale,
    the left and top margin, and its own width and height."""
    image = _opened(image_bytes)
    from PIL import Image

    width, height = image.size
    scale = min(side / width, side / height)
    fitted = image.resize(
        (max(1, round(width * scale)), max(1, round(height * scale))), Image.Resampling.BILINEAR
    )
    left, top = (side - fitted.width) // 2, (side - fitted.height) // 2
    square = Image.new("RGB", (side, side), _PADDING)
    square.paste(fitted, (left, top))
    pixels = np.asarray(square, dtype=np.float32).transpose(2, 0, 1)[np.newaxis] / 255.0
    return np.ascontiguousarray(pixels), scale, left, top, (width, height)


def _opened(image_bytes: bytes) -> Any:
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError:
        raise VisionUnavailableError("pillow is not installed; install pointwork[vision]") from None
    try:
        with warnings.catch_warnings():
            # Checked below, and as a refusal.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(image_bytes), formats=("PNG", "JPEG", "WEBP", "GIF"))
        width, height = image.size
        if width * height <= IMAGE_PIXELS_MAX:
            return image.convert("RGB")
        problem = f"has {width} x {height} pixels, and {IMAGE_PIXELS_MAX} are the most; shrink it"
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        problem = "is no PNG, JPEG, WebP or GIF, or is damaged; convert it"
    raise ImageRefusedError(f"the image {problem}")


def _candidates(output: NDArray[np.float64]) -> Candidates:
    """Boxes as corners with the surest class of each, of those above ``SCORE_MIN``."""
    centre_x, centre_y, width, height = output[:4]
    classes = output[4:]
    labels = classes.argmax(axis=0)
    scores = classes.max(axis=0)
    corners = np.stack(
        [
            centre_x - width / 2,
            centre_y - height / 2,
            centre_x + width / 2,
            centre_y + height / 2,
        ],
        axis=1,
    )
    is_sure = scores >= SCORE_MIN
    return Candidates(corners[is_sure], scores[is_sure], labels[is_sure])
