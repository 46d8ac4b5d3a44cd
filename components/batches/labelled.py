"""Labelled digits in memory: what a person adds, and what ingest learns from."""

import dataclasses

import numpy as np
from numpy.typing import NDArray

from components.errors import DataError
from components.model.contract import CLASSES, IMAGE_SHAPE

MAX_ROWS = 1_000_000

RawImages = NDArray[np.uint8]
Labels = NDArray[np.uint8]


@dataclasses.dataclass(frozen=True)
class Labelled:
    """Raw images uint8 [N, 28, 28] and their labels uint8 [N] in 0..9; N is at least 1."""

    images: RawImages
    labels: Labels

    def __len__(self) -> int:
        """How many rows there are."""
        return len(self.labels)


def checked(images: NDArray[np.generic], labels: NDArray[np.generic], where: str) -> Labelled:
    """Returns images and labels as they must be.

    Args:
      images: any array; [N, 28, 28] or [N, 784] of whole numbers 0..255 passes.
      labels: any array; [N] of whole numbers 0..9 passes.
      where: what error messages call them.

    Raises:
      DataError: another shape, type or range; no rows, or more than MAX_ROWS.
    """
    flat = (int(np.prod(IMAGE_SHAPE)),)
    if images.ndim < 2 or images.shape[1:] not in (IMAGE_SHAPE, flat):
        raise DataError(f"{where}: images are {list(images.shape)}, must be [N, 28, 28]")
    if not 1 <= len(images) <= MAX_ROWS:
        raise DataError(f"{where}: {len(images)} images, must be from 1 to {MAX_ROWS}")
    if labels.shape != (len(images),):
        raise DataError(
            f"{where}: labels are {list(labels.shape)}, must be one for each of {len(images)} images"
        )
    return Labelled(
        _bytes_of(images, f"{where}: pixels", 255).reshape(-1, *IMAGE_SHAPE),
        _bytes_of(labels, f"{where}: labels", CLASSES - 1),
    )


def _bytes_of(values: NDArray[np.generic], where: str, maximum: int) -> NDArray[np.uint8]:
    if values.dtype.kind not in "ui":
        raise DataError(f"{where}: are {values.dtype}, must be whole numbers from 0 to {maximum}")
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > maximum:
        wrong = low if low < 0 else high
        raise DataError(f"{where}: {wrong} is among them, must be from 0 to {maximum}")
    return np.ascontiguousarray(values, np.uint8)
