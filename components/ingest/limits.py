"""What ingest's parameters may be: pure and quick, so a wrong one is refused before anything is launched."""

import urllib.parse

from components import ranges
from components.errors import UsageError
from components.storage import uri

DATASETS = ("mnist", "fashion_mnist", "kmnist")
TRAIN_ROWS = 60_000
TEST_ROWS = 10_000
MIRROR_FORMS = "empty, a directory, gs://bucket/prefix or http(s)://host/base"
_MAX_PIXEL_SCALE = 65_535
_MAX_AUGMENT_FACTOR = 100  # 6 million rows, 19 GB


def check(
    *,
    dataset: str,
    mirror: str,
    pixel_scale: float,
    validation_rows: int,
    holdout: bool,
    augment_factor: int,
) -> None:
    """Checks every parameter of ingest; a mirror's form only, for it may live on another machine.

    Raises:
      UsageError: names the parameter, its value and what is allowed.
    """
    ranges.one_of("dataset", dataset, DATASETS)
    _check_mirror(mirror)
    ranges.positive("pixel_scale", pixel_scale)
    if not 1 <= pixel_scale <= _MAX_PIXEL_SCALE:
        raise UsageError(f"pixel_scale={pixel_scale!r}: must be from 1 to {_MAX_PIXEL_SCALE}")
    ranges.whole_number("validation_rows", validation_rows, 1, TRAIN_ROWS - 1)
    ranges.whole_number("augment_factor", augment_factor, 1, _MAX_AUGMENT_FACTOR)


def training_rows(validation_rows: int, holdout: bool, augment_factor: int) -> int:
    """Returns how many rows train fits on, copies included."""
    return augment_factor * (TRAIN_ROWS - validation_rows if holdout else TRAIN_ROWS)


def _check_mirror(mirror: str) -> None:
    if mirror != mirror.strip() or not mirror.isprintable():
        raise UsageError(f"mirror={mirror!r}: must be {MIRROR_FORMS}")
    if mirror.startswith("gs://"):
        uri.parse(mirror, "mirror")
        return
    if "://" not in mirror:
        return
    try:
        parts = urllib.parse.urlsplit(mirror)
        parts.port  # noqa: B018  # reading it is what checks it
    except ValueError as error:
        raise UsageError(f"mirror={mirror!r}: {error}; must be {MIRROR_FORMS}") from None
    if parts.query or parts.fragment or "@" in parts.netloc:  # not echoed: it may hold a secret
        raise UsageError(f"mirror: has a user, '?' or '#'; must be {MIRROR_FORMS}")
    if not _is_known(parts):
        raise UsageError(f"mirror={mirror!r}: must be {MIRROR_FORMS}")


def _is_known(parts: urllib.parse.SplitResult) -> bool:
    if parts.scheme == "file":
        return not parts.netloc and len(parts.path) > 1
    return parts.scheme in ("http", "https") and bool(parts.hostname)
