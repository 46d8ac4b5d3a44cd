"""What ingest can be told, each parameter once; pure, so a launcher refuses what is wrong."""

import dataclasses
import urllib.parse

from components.errors import UsageError, quoted
from components.parameters import Flag, Number, OneOf, Parameters, Text, WholeNumber, parameter
from components.storage import uri

DATASETS = ("mnist", "fashion_mnist", "kmnist")
MIRROR_FORMS = "empty, a directory, gs://bucket/prefix or http(s)://host/base"


def _check_mirror(field: str, value: str) -> None:
    """Checks a mirror's form only, for it may live on another machine."""
    if value != value.strip() or not value.isprintable():
        raise UsageError(f"{field}={quoted(value)}: must be {MIRROR_FORMS}")
    if value.startswith("gs://"):
        uri.parse(value, field)
        return
    if "://" not in value:
        uri.check_home(value, field)
        return
    try:
        parts = urllib.parse.urlsplit(value)
        parts.port  # noqa: B018  # reading it is what checks it
    except ValueError as error:
        raise UsageError(f"{field}={quoted(value)}: {error}; must be {MIRROR_FORMS}") from None
    if parts.query or parts.fragment or "@" in parts.netloc:  # not echoed: it may hold a secret
        raise UsageError(f"{field}: has a user, '?' or '#'; must be {MIRROR_FORMS}")
    if not _is_known(parts):
        raise UsageError(f"{field}={quoted(value)}: must be {MIRROR_FORMS}")


def _is_known(parts: urllib.parse.SplitResult) -> bool:
    if parts.scheme == "file":
        return not parts.netloc and len(parts.path) > 1
    return parts.scheme in ("http", "https") and bool(parts.hostname)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings(Parameters):
    """What decides the dataset artifact."""

    dataset: str = parameter(OneOf(DATASETS), "TensorFlow Datasets' name of the dataset.", "mnist")
    mirror: str = parameter(
        Text(MIRROR_FORMS, _check_mirror),
        "Where the four archives are; empty for the bundled MNIST, else the dataset's own site.",
        "",
    )
    pixel_scale: float = parameter(
        Number(1, 65_535), "What pixels 0..255 are divided by; the notebook has 225.", 255.0
    )
    validation_rows: int = parameter(
        WholeNumber(1, 1_000_000_000), "The last training rows, scored after every epoch.", 10_000
    )
    holdout: bool = parameter(
        Flag(),
        "Whether the validation rows are kept out of training; the notebook trains on them too.",
        True,
    )
    augment_factor: int = parameter(
        WholeNumber(1, 100),  # 6 million rows, 19 GB
        "How often each training row is there: once as it is, further times shifted by up to 2 pixels and "
        "rotated by up to 10 degrees; validation and test rows are never augmented.",
        1,
    )
    max_drift: float = parameter(
        Number(0, 1_000_000),
        "Refuse a batch whose population stability index is above this; 0 to report it only.",
        0.0,
    )
