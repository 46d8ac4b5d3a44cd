"""Where a row belongs: a function of its pixels alone, so it never moves when other rows come.

A copy of a row goes where the row went, whoever labels it and whichever batch it comes in.
"""

import hashlib
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

TRAIN, VALIDATION, TEST = range(3)
TRAIN_SHARE, VALIDATION_SHARE = 0.70, 0.15  # the rest tests
KEY_BYTES = 16


def keys(images: NDArray[np.uint8]) -> Iterator[bytes]:
    """Yields what tells one image from another: 16 bytes of the SHA-256 of its pixels.

    Args:
      images: uint8 [N, 28, 28].
    """
    for image in images:
        yield hashlib.sha256(image.tobytes()).digest()[:KEY_BYTES]


def place(key: bytes) -> int:
    """Returns TRAIN, VALIDATION or TEST for a row with this key."""
    share = int.from_bytes(key[:8], "big") / 2**64
    if share < TRAIN_SHARE:
        return TRAIN
    return VALIDATION if share < TRAIN_SHARE + VALIDATION_SHARE else TEST
