"""Which of a detector's overlapping boxes are kept: pure, and equal for equal input."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Candidates:
    """``boxes`` is (n, 4): left, top, right, bottom in pixels; one score and one label each."""

    boxes: NDArray[np.float64]
    scores: NDArray[np.float64]
    labels: NDArray[np.int64]


def kept(found: Candidates, overlap_max: float, most: int) -> Candidates:
    """The surest boxes, at most ``most``: one that overlaps a surer one of its own label by more
    than ``overlap_max`` of their union is the same object seen twice."""
    order = np.argsort(-found.scores, kind="stable")
    boxes, labels = found.boxes[order], found.labels[order]
    is_open = np.ones(len(order), dtype=bool)
    chosen: list[int] = []
    for at in range(len(order)):
        if len(chosen) == most:
            break
        if is_open[at]:
            chosen.append(at)
            is_same = (labels == labels[at]) & (_overlaps(boxes[at], boxes) > overlap_max)
            is_open &= ~is_same
    rows = order[chosen]
    return Candidates(found.boxes[rows], found.scores[rows], found.labels[rows])


def _overlaps(box: NDArray[np.float64], boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Intersection over union of ``box`` with each of ``boxes``; 0 where both are empty."""
    sides = np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2])
    shared = np.prod(np.clip(sides, 0.0, None), axis=1)
    union = _area(box) + _area(boxes) - shared
    ratio: NDArray[np.float64] = np.divide(
        shared, union, out=np.zeros_like(shared), where=union > 0
    )
    return ratio


def _area(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    area: NDArray[np.float64] = np.prod(
        np.clip(boxes[..., 2:] - boxes[..., :2], 0.0, None), axis=-1
    )
    return area
