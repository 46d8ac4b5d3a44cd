"""What a published model is: a SavedModel that takes raw digits and gives probabilities.

`serving_default` maps images, uint8 [N, 28, 28] of raw pixels, to probabilities, float32 [N, 10].
"""

from pathlib import Path

CLASSES = 10
IMAGE_SHAPE = (28, 28)
PIXELS = 28 * 28
SIGNATURE = "serving_default"
GRAPH_FILE = "saved_model.pb"
# TensorFlow's own place for files that travel with a SavedModel and that its loader ignores.
PROVENANCE = Path("assets.extra") / "model.json"
