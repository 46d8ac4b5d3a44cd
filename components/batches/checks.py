"""What is odd about labelled digits, in words: empty, inverted or shifted images, classes that are absent.

A digit is light on dark, with nothing at the border and its mass in the middle: that is how MNIST was made.
"""

import numpy as np

from components.batches import drift
from components.batches.labelled import Labelled
from components.model.contract import CLASSES, IMAGE_SHAPE

BRIGHT_BORDER = 128.0  # mean of the outermost two rings; of MNIST's 70,000 images none reaches 40
FAR_FROM_CENTRE = 3.0  # pixels, of the mean of many images; MNIST's are centred by their mass


def findings(rows: Labelled) -> list[str]:
    """Returns one line for each oddity, none where there is nothing to say."""
    features = drift.features(rows.images)
    flat = rows.images.reshape(len(rows), -1)
    constant = int((flat.min(axis=1) == flat.max(axis=1)).sum())
    inverted = int((features["border"] >= BRIGHT_BORDER).sum())
    middle = [(side - 1) / 2 for side in IMAGE_SHAPE]
    across = float(features["centre_x"].mean() - middle[1])
    down = float(features["centre_y"].mean() - middle[0])
    absent = [str(digit) for digit in np.flatnonzero(np.bincount(rows.labels, minlength=CLASSES) == 0)]
    found = []
    if constant:
        found.append(f"{constant} of {len(rows)} images are of one brightness, so there is nothing on them")
    if inverted:
        found.append(f"{inverted} of {len(rows)} images have a bright border: dark digits on light paper")
    if max(abs(across), abs(down)) > FAR_FROM_CENTRE:
        found.append(f"the images' centre is {across:+.1f} pixels to the right and {down:+.1f} down")
    if absent:
        found.append(f"no image of {', '.join(absent)}")
    return found
