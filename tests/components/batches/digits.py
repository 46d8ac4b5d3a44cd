"""Digits for tests of batches: a few real ones, or noise with a seed."""

import gzip
import struct
from pathlib import Path

import numpy as np

from components.batches import formats
from components.batches.labelled import Labelled
from components.ingest import core

BUNDLED = Path(core.__file__).parent / "bundled" / "mnist"


def mnist(names: str) -> Labelled:
    """MNIST's `train` or `t10k` rows."""
    return formats.read(sorted(BUNDLED.glob(f"{names}-*")))


def noise(seed: int, rows: int) -> Labelled:
    """Rows that no other seed has."""
    random = np.random.default_rng(seed)
    return Labelled(
        random.integers(0, 256, (rows, 28, 28), np.uint8), random.integers(0, 10, rows).astype(np.uint8)
    )


def idx_pair(directory: Path, rows: Labelled) -> list[Path]:
    """Writes rows as a gzipped IDX file of images and a plain one of labels."""
    directory.mkdir(parents=True, exist_ok=True)
    images, labels = directory / "images-idx3-ubyte.gz", directory / "labels-idx1-ubyte"
    content = struct.pack(">4I", 0x803, len(rows), 28, 28) + rows.images.tobytes()
    images.write_bytes(gzip.compress(content, 1))
    labels.write_bytes(struct.pack(">2I", 0x801, len(rows)) + rows.labels.tobytes())
    return [images, labels]
