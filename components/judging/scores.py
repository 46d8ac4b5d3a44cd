"""What a model's probabilities say about the test rows. Pure NumPy."""

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.model.contract import CLASSES

SMALLEST_PROBABILITY = 1e-7  # Keras clips here too, so that one certain mistake does not cost infinity


@dataclasses.dataclass(frozen=True)
class Scores:
    """Scores over `rows` rows. Fractions are 0..1, `loss` in nats; a digit's place in a list is the digit.

    `confusion[truth][prediction]` counts rows. The precision of a digit that was never predicted is 0.
    """

    rows: int
    accuracy: float
    loss: float
    recall: list[float]
    precision: list[float]
    confusion: list[list[int]]


def predicted_digits(probabilities: NDArray[np.float32]) -> NDArray[np.intp]:
    """Returns the likeliest digit of each row, [N], from probabilities [N, 10]; a tie goes to the smaller."""
    digits: NDArray[np.intp] = probabilities.argmax(axis=1)
    return digits


def score(probabilities: NDArray[np.float32], labels: NDArray[Any]) -> Scores:
    """Scores probabilities float32 [N, 10] against labels [N]; every row counts."""
    predictions = predicted_digits(probabilities)
    confusion = np.zeros((CLASSES, CLASSES), np.int64)
    np.add.at(confusion, (labels, predictions), 1)
    right = confusion.diagonal()
    of_truth = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return Scores(
        rows=len(labels),
        accuracy=float(right.sum() / len(labels)),
        loss=float(-np.log(of_truth.clip(SMALLEST_PROBABILITY, 1.0)).mean()),
        recall=_ratio(right, confusion.sum(axis=1)),
        precision=_ratio(right, confusion.sum(axis=0)),
        confusion=confusion.tolist(),
    )


def _ratio(part: NDArray[np.int64], whole: NDArray[np.int64]) -> list[float]:
    return [float(value) for value in part / np.maximum(whole, 1)]
