"""The process that runs one model: raw images come in, probabilities go out, and it can change nothing else.

python -m components.model.prediction_process MODEL_DIR < images.npy > probabilities.npy

Started by `components.model.prediction`, which says what its environment holds.
"""

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.errors import reported
from components.model import confinement, graph_check, serving
from components.model.prediction import packed, unpacked

BATCH_ROWS = 1_000  # rows that the serving signature takes at once, which bounds its memory


def predict(model_dir: str, images: NDArray[np.uint8]) -> NDArray[Any]:
    """Returns what a SavedModel's serving signature gives raw images [N, 28, 28].

    Raises:
      DataError: a graph that no digit classifier has, not such a SavedModel, or one that fails.
    """
    graph_check.check_graph(model_dir)  # before TensorFlow loads it: a SavedModel is code
    signature = serving.load(model_dir)
    firsts = range(0, len(images), BATCH_ROWS)
    return np.concatenate([signature(images[first : first + BATCH_ROWS]) for first in firsts])


def main() -> None:
    """Reads images from stdin, and writes probabilities to stdout or one line that says why not to stderr."""
    answer = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what TensorFlow prints is no part of the answer
    tempfile.tempdir = str(Path.cwd())  # TensorFlow asks for one, and trying them out will not work any more
    confinement.confine()
    images = unpacked(sys.stdin.buffer.read())
    with reported():
        probabilities = predict(sys.argv[1], images)
    with answer:
        answer.write(packed(probabilities))


if __name__ == "__main__":
    main()
