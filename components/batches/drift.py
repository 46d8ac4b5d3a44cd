"""How unlike two sets of digits are: a few plain features of each image, and how their distribution moved.

    reference = measure(base_images, base_labels)
    psi(reference, measure(batch_images, batch_labels))   # {"ink": 0.02, "border": 3.1, …}

The population stability index compares shares of bins: below 0.1 nothing has moved, from 0.25 on it has.
"""

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.errors import DataError
from components.json_objects import JsonObject
from components.model.contract import CLASSES, IMAGE_SHAPE, PIXELS

WATCH, DRIFTED = 0.1, 0.25  # the usual thresholds of the index
BINS = 32  # of every feature's whole range; `psi` merges those that the reference hardly fills
_SMALLEST_SHARE = 1e-4  # an empty bin must not make the index infinite
_NOTHING = 1e-9
_ROWS_AT_ONCE = 256  # which stay in the processor's cache as float32: an eighth of the time of 4,096
_HALF = 127  # of white
_HEIGHT, _WIDTH = IMAGE_SHAPE
_RING = np.ones(IMAGE_SHAPE, bool)
_RING[2:-2, 2:-2] = False
_DOWN, _ACROSS = np.mgrid[:_HEIGHT, :_WIDTH]
# Mass, border mass and both first moments of an image are one product with this, float32 [784, 4].
_WEIGHTS = np.stack([np.ones(IMAGE_SHAPE), _RING, _ACROSS, _DOWN], axis=-1).reshape(-1, 4).astype(np.float32)
# What a feature can be; images are 0..255, and 28 pixels wide and high.
RANGES = {
    "ink": (0.0, 255.0),  # mean brightness
    "border": (
        0.0,
        255.0,
    ),  # mean brightness of the outermost two rings: high where ink and paper are swapped
    "contrast": (0.0, 128.0),  # standard deviation of the pixels
    "stroke": (0.0, 1.0),  # share of pixels brighter than half
    "centre_x": (0.0, float(_WIDTH - 1)),  # centre of mass, in pixels from the left
    "centre_y": (0.0, float(_HEIGHT - 1)),  # in pixels from the top
}


@dataclasses.dataclass(frozen=True)
class Statistics:
    """What is remembered of some rows.

    Attributes:
      rows: how many they are.
      histograms: feature to counts in BINS equal bins over its range in RANGES.
      class_counts: how many of each digit.
    """

    rows: int
    histograms: dict[str, list[int]]
    class_counts: list[int]

    def as_dict(self) -> dict[str, Any]:
        """Returns what `read` reads."""
        return dataclasses.asdict(self)

    @classmethod
    def read(cls, fields: JsonObject) -> "Statistics":
        """Reads statistics; raises DataError if they are not what `as_dict` gives."""
        rows, histograms = fields.integer("rows"), fields.nested("histograms")
        read = {name: _counts(histograms, name, BINS, rows) for name in RANGES}
        return cls(rows, read, _counts(fields, "class_counts", CLASSES, rows))

    def __add__(self, other: "Statistics") -> "Statistics":
        """Of both sets of rows together."""
        return Statistics(
            self.rows + other.rows,
            {name: _sum(counts, other.histograms[name]) for name, counts in self.histograms.items()},
            _sum(self.class_counts, other.class_counts),
        )


def features(images: NDArray[np.uint8]) -> dict[str, NDArray[np.float64]]:
    """Returns each feature of RANGES for images uint8 [N, 28, 28], float64 [N].

    An empty image has its centre of mass in the middle.
    """
    pixels = images.reshape(-1, PIXELS).astype(np.float32)
    mass, border, moment_x, moment_y = (pixels @ _WEIGHTS).T.astype(np.float64)
    mean = mass / PIXELS
    squares = np.einsum("ij,ij->i", pixels, pixels, dtype=np.float32).astype(np.float64)
    safe = np.where(mass > 0, mass, 1.0)
    return {
        "ink": mean,
        "border": border / _RING.sum(),
        "contrast": np.sqrt(np.maximum(squares / PIXELS - mean**2, 0.0)),
        "stroke": np.count_nonzero(images.reshape(-1, PIXELS) > _HALF, axis=1) / PIXELS,
        "centre_x": np.where(mass > 0, moment_x / safe, (_WIDTH - 1) / 2),
        "centre_y": np.where(mass > 0, moment_y / safe, (_HEIGHT - 1) / 2),
    }


def measure(images: NDArray[np.uint8], labels: NDArray[np.uint8]) -> Statistics:
    """Measures rows, some hundreds at a time.

    Args:
      images: uint8 [N, 28, 28].
      labels: uint8 [N] in 0..9.
    """
    histograms = {name: np.zeros(BINS, np.int64) for name in RANGES}
    for first in range(0, len(images), _ROWS_AT_ONCE):
        for name, values in features(images[first : first + _ROWS_AT_ONCE]).items():
            low, high = RANGES[name]
            places = ((values - low) / (high - low) * BINS).astype(np.int64).clip(0, BINS - 1)
            histograms[name] += np.bincount(places, minlength=BINS)
    return Statistics(
        rows=len(images),
        histograms={name: counts.tolist() for name, counts in histograms.items()},
        class_counts=[int(count) for count in np.bincount(labels, minlength=CLASSES)],
    )


def psi(reference: Statistics, other: Statistics) -> dict[str, float]:
    """Returns the population stability index of every feature, and of the digits' shares as `digits`.

    psi(a, a)  # {"ink": 0.0, …}
    """
    moved = {name: _index(counts, other.histograms[name]) for name, counts in reference.histograms.items()}
    return moved | {"digits": _index(reference.class_counts, other.class_counts)}


def worst(moved: dict[str, float]) -> tuple[str, float]:
    """Returns the feature that moved most, and its index."""
    return max(moved.items(), key=lambda item: item[1])


def in_words(index: float) -> str:
    """Returns what an index means."""
    if index < WATCH:
        return "as before"
    return "to be watched" if index < DRIFTED else "drifted"


def _index(reference: list[int], other: list[int]) -> float:
    """Of two histograms over the same bins; bins are merged until each holds a tenth of the reference."""
    expected, found = _merged(np.array(reference, float), np.array(other, float))
    expected = (expected / expected.sum()).clip(_SMALLEST_SHARE)
    found = (found / found.sum()).clip(_SMALLEST_SHARE)
    return float(((found - expected) * np.log(found / expected)).sum())


def _merged(
    reference: NDArray[np.float64], other: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Deciles, as far as the bins allow: neighbours are taken together until they hold a tenth.

    What lies below or above everything in the reference stays apart: nothing of it was expected.
    """
    above = reference.cumsum() / reference.sum()
    below = above - reference / reference.sum()
    groups = np.where(above < _NOTHING, -1, np.where(below > 1 - _NOTHING, 10, (below * 10).astype(int)))
    starts = np.flatnonzero(np.diff(groups, prepend=-2))
    return np.add.reduceat(reference, starts), np.add.reduceat(other, starts)


def _counts(fields: JsonObject, name: str, length: int, rows: int) -> list[int]:
    counts: list[Any] = fields.array(name)
    if len(counts) != length or any(type(count) is not int or count < 0 for count in counts):
        raise DataError(f"{fields.where}: {name} must be {length} whole numbers")
    if rows < 1 or sum(counts) != rows:
        raise DataError(
            f"{fields.where}: {name} counts {sum(counts)} rows of rows={rows}, must be all of 1 or more"
        )
    return counts


def _sum(one: list[int], other: list[int]) -> list[int]:
    return [mine + theirs for mine, theirs in zip(one, other, strict=True)]
