"""What is odd about labelled digits, in words: empty, inverted or shifted images, classes that are absent.

A digit is light on dark, with nothing at the border and its mass in the middle: that is how MNIST was made.
"""

import numpy as np

from components.batches import drift
from components.batches.labelled import Labelled
from components.model.contract import CLASSES

BRIGHT_BORDER = 128.0  # mean of the outermost two rings; of MNIST's 70,000 images it is at most 11
CENTRE = 14.0  # pixels from the left and the top: MNIST's 70,000 images have their mass there, within 0.53
FAR_FROM_CENTRE = 3.0  # pixels, of the mean of many images
FEW_ROWS = 200  # the index of ten bins is 0.045 by chance alone there, and 0.25 with 36 rows
_ROWS_AT_ONCE = 256


def findings(rows: Labelled) -> list[str]:
    """Returns one line for each oddity, none where there is nothing to say."""
    constant = inverted = 0
    across = down = 0.0
    for first in range(0, len(rows), _ROWS_AT_ONCE):
        images = rows.images[first : first + _ROWS_AT_ONCE]
        flat = images.reshape(len(images), -1)
        constant += int((flat.min(axis=1) == flat.max(axis=1)).sum())
        features = drift.features(images)
        inverted += int((features["border"] >= BRIGHT_BORDER).sum())
        across += float((features["centre_x"] - CENTRE).sum() / len(rows))
        down += float((features["centre_y"] - CENTRE).sum() / len(rows))
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
    if len(rows) < FEW_ROWS:
        found.append(f"{len(rows)} rows are too few to tell drift from chance")
    return found
