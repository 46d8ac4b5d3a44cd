"""Which code is running: the git revision that an image was built from, or that of the checkout."""

import os
import subprocess
from pathlib import Path

VARIABLE = "PIPELINE_GIT_REVISION"  # the images carry it
IMAGE_VARIABLE = "PIPELINE_TRAIN_IMAGE"  # a compiled pipeline tells export what trained the model
_CHECKOUT = Path(__file__).parents[1]


def current() -> str | None:
    """Returns the commit's SHA, with `-dirty` where the code differs from it; None if nothing says."""
    return os.environ.get(VARIABLE) or _of_checkout()


def _of_checkout() -> str | None:
    if not (_CHECKOUT / ".git").exists():
        return None
    command = ["git", "-C", str(_CHECKOUT), "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout.strip() or None
