"""What ingest's parameters may be: pure and quick, so a wrong one is refused before anything is launched."""

import urllib.parse

from components import limits
from components.errors import UsageError

DATASETS = ("mnist", "fashion_mnist", "kmnist")
TRAIN_ROWS = 60_000
TEST_ROWS = 10_000
MIRROR_FORMS = "empty, a directory, gs://bucket/prefix or http(s)://host/base"
_MAX_PIXEL_SCALE = 65_535


def check(*, dataset: str, mirror: str, pixel_scale: float, validation_rows: int, holdout: bool) -> None:
    """Checks every parameter of ingest; a mirror's form only, for it may live on another machine.

    Raises:
      UsageError: names the parameter, its value and what is allowed.
    """
    limits.one_of("dataset", dataset, DATASETS)
    _check_mirror(mirror)
    limits.positive("pixel_scale", pixel_scale)
    if not 1 <= pixel_scale <= _MAX_PIXEL_SCALE:
        raise UsageError(f"pixel_scale={pixel_scale!r}: must be from 1 to {_MAX_PIXEL_SCALE}")
    limits.whole_number("validation_rows", validation_rows, 1, TRAIN_ROWS - 1)


def training_rows(validation_rows: int, holdout: bool) -> int:
    """Returns how many rows train fits on."""
    return TRAIN_ROWS - validation_rows if holdout else TRAIN_ROWS


def _check_mirror(mirror: str) -> None:
    wrong = UsageError(f"mirror={mirror!r}: must be {MIRROR_FORMS}")
    if mirror != mirror.strip() or "\n" in mirror:
        raise wrong
    if "://" not in mirror:
        return
    try:
        parts = urllib.parse.urlsplit(mirror)
    except ValueError:
        raise wrong from None
    if parts.query or parts.fragment or parts.username or parts.password:
        raise UsageError(f"mirror: must be a plain base, without user, '?' or '#': {MIRROR_FORMS}")
    if parts.scheme not in ("gs", "http", "https", "file") or not (parts.netloc or parts.scheme == "file"):
        raise wrong
