"""The order of a dataset artifact's rows, and their images, a chunk in memory at a time.

    copies of what trains, copy after copy | base, batches: to train | base, batches: to validate

Without batches the base dataset's rows keep their order, and the last of them validate.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from components.batches.labelled import Labelled, Labels, RawImages
from components.batches.sorting import Rows, Sorted
from components.ingest import augment
from components.model.contract import IMAGE_SHAPE

_CHUNK_ROWS = 512  # whose gathers stay in the processor's cache


@dataclasses.dataclass(frozen=True)
class Part:
    """Some rows of one source."""

    source: Labelled
    rows: Rows

    @property
    def labels(self) -> Labels:
        """The rows' labels."""
        return self.source.labels[self.rows]

    def chunks(self) -> Iterator[tuple[int, RawImages]]:
        """Yields the number of a chunk's first row in this part, and its images."""
        for first in range(0, len(self.rows), _CHUNK_ROWS):
            yield first, self.source.images[self.rows[first : first + _CHUNK_ROWS]]


@dataclasses.dataclass(frozen=True)
class Layout:
    """What an artifact holds.

    Attributes:
      copied: what trains: augmented copies are made of these rows.
      plain: every row once, those that validate last.
      validation_rows: how many those are.
    """

    copied: Sequence[Part]
    plain: Sequence[Part]
    validation_rows: int

    def images(self, factor: int) -> Iterator[RawImages]:
        """Yields `factor` - 1 augmented copies of what trains, then all rows, raw uint8 [., 28, 28]."""
        for copy in range(1, factor):
            for part in self.copied:
                for first, chunk in part.chunks():
                    yield augment.augmented(chunk, first, copy)
        for part in self.plain:
            for _, chunk in part.chunks():
                yield chunk

    def labels(self, factor: int) -> Labels:
        """Returns the labels of `images`, uint8 [N]."""
        copied = np.concatenate([part.labels for part in self.copied])
        return np.concatenate([np.tile(copied, factor - 1), *(part.labels for part in self.plain)])


def gathered(parts: Sequence[Part], scratch_dir: Path) -> RawImages:
    """Returns the images of all parts, in a file of `scratch_dir` that is mapped: not all are in memory."""
    count = sum(len(part.rows) for part in parts)
    images = np.memmap(scratch_dir / "gathered", np.uint8, "w+", shape=(count, *IMAGE_SHAPE))
    start = 0
    for part in parts:
        for first, chunk in part.chunks():
            images[start + first : start + first + len(chunk)] = chunk
        start += len(part.rows)
    return images


def lay_out(
    base: Labelled, validation_rows: int, *, holdout: bool, batches: Sequence[tuple[Labelled, Sorted]] = ()
) -> Layout:
    """Puts rows in order.

    Args:
      base: the base dataset; its last `validation_rows` rows validate.
      validation_rows: at least 1 and fewer than the base has.
      holdout: whether what validates is kept out of what trains.
      batches: their rows, and what becomes of them.
    """
    split = len(base) - validation_rows
    train = [Part(base, np.arange(split)), *(Part(rows, into.train) for rows, into in batches)]
    validation = [
        Part(base, np.arange(split, len(base))),
        *(Part(rows, into.validation) for rows, into in batches),
    ]
    copied = train
    if not holdout:  # rows of one source stay together, so that a row's number does not depend on others
        both = [np.concatenate([into.train, into.validation]) for _, into in batches]
        whole = [np.arange(len(base)), *both]
        copied = [Part(part.source, rows) for part, rows in zip(train, whole, strict=True)]
    return Layout(copied, [*train, *validation], sum(len(part.rows) for part in validation))
