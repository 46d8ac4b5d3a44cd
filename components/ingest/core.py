"""ingest: a dataset's original archives in, the dataset artifact out."""

import json
import tempfile
import time
from pathlib import Path

import numpy as np

from components import dataset as artifact
from components.batches.admission import Addition
from components.batches.labelled import Labelled, RawImages
from components.errors import StorageError, UsageError
from components.ingest import additions, archives, download, mirrors
from components.ingest.layout import Part, gathered, lay_out
from components.ingest.settings import Settings
from components.model.contract import PIXELS

_BUNDLED_DIR = Path(__file__).parent / "bundled"


def ingest(
    settings: Settings, data_dir: str | Path, *, batches_uri: str = "", batches_digest: str = ""
) -> artifact.Facts:
    """Verifies, checks and normalises a dataset and the batches that came since, and writes an artifact.

    Args:
      settings: which dataset, from where, and how it is split.
      data_dir: where the artifact goes; made if it doesn't exist. Untouched unless every check passes.
      batches_uri: where batches are, gs://bucket/prefix or a directory; "" for none.
      batches_digest: what scan found there.

    Raises:
      UsageError: more validation rows than the dataset has rows to give.
      StorageError: the archives or batches cannot be had, or the artifact cannot be written.
      DataError: an archive or a batch is not what its checksum or its format says, or drifted too far.
      RetryableError: other batches are there than scan found.
    """
    started = time.perf_counter()
    try:
        with tempfile.TemporaryDirectory(prefix="ingest-") as scratch:
            source, arrays = _load(settings.dataset, settings.mirror, Path(scratch))
            base = Labelled(arrays["train_data"], arrays["train_labels"])
            base_test = Labelled(arrays["test_data"], arrays["test_labels"])
            _check_rows(settings, len(base))
            duplicates = shared_images(base.images, base_test.images)
            print(
                f"ingest: {settings.dataset} from {source}: {len(base)} training and "
                f"{len(base_test)} test images verified, {duplicates} in both"
            )
            batches = additions.gather(
                batches_uri, batches_digest, base, base_test.images, Path(scratch), settings.max_drift
            )
            facts = _write(settings, data_dir, Path(scratch), source, base, base_test, batches, duplicates)
    except OSError as error:
        where = error.filename or settings.mirror or settings.dataset
        raise StorageError(f"{where}: {error.strerror or error}") from error
    print(
        f"ingest: rows {facts['train_rows']} to train, {facts['validation_rows']} to validate, "
        f"pixels / {settings.pixel_scale:g}, fingerprint {facts['fingerprint'][:12]}, "
        f"{time.perf_counter() - started:.1f} s"
    )
    return facts


def _check_rows(settings: Settings, rows: int) -> None:
    if settings.validation_rows >= rows:
        raise UsageError(
            f"validation_rows={settings.validation_rows}: must be from 1 to {rows - 1}, for "
            f"{settings.dataset} has {rows} rows beside its test rows"
        )


def _write(
    settings: Settings,
    data_dir: str | Path,
    scratch_dir: Path,
    source: str,
    base: Labelled,
    base_test: Labelled,
    batches: list[Addition],
    duplicates: int,
) -> artifact.Facts:
    layout = lay_out(
        base,
        settings.validation_rows,
        holdout=settings.holdout,
        batches=[(batch.rows, batch.into) for batch in batches],
    )
    base_rows = (len(base) - settings.validation_rows, settings.validation_rows, len(base_test))
    tests = [Part(base_test, np.arange(len(base_test)))]
    tests += [Part(batch.rows, batch.into.test) for batch in batches]
    return artifact.write(
        data_dir,
        name=settings.dataset,
        source=source,
        pixel_scale=settings.pixel_scale,
        validation_rows=layout.validation_rows,
        holdout=settings.holdout,
        augment_factor=settings.augment_factor,
        images=layout.images(settings.augment_factor),
        labels=layout.labels(settings.augment_factor),
        test_images=gathered(tests, scratch_dir) if batches else base_test.images,
        test_labels=np.concatenate([part.labels for part in tests]),
        duplicates=duplicates,
        slices=additions.slices(settings.dataset, base_rows, batches) if batches else None,
    )


def tell(facts: artifact.Facts, news_path: str) -> None:
    """Writes what lookup needs to know of the data, to say whether there is anything new to learn."""
    batches = facts.get("slices", [])[1:]
    news = {
        "fingerprint": facts["fingerprint"],
        "train_rows": facts["train_rows"][1] - facts["train_rows"][0],
        "batches": {batch["name"]: max(batch["drift"].values()) for batch in batches},
    }
    Path(news_path).write_text(json.dumps(news), encoding="utf-8")


def summary(facts: artifact.Facts) -> dict[str, str | float]:
    """Returns what travels as the artifact's metadata."""
    return {
        "dataset": facts["name"],
        "source": facts["source"],
        "fingerprint": facts["fingerprint"],
        "pixel_scale": facts["pixel_scale"],
        "train_rows": facts["train_rows"][1] - facts["train_rows"][0],
        "augment_factor": facts.get("augment_factor", 1),
        "validation_rows": facts["validation_rows"][1] - facts["validation_rows"][0],
        "test_rows": facts["test_rows"],
        "duplicates": facts["duplicates"],
        "batches": len(facts.get("slices", [None])) - 1,
    }


def _load(dataset: str, mirror: str, scratch_dir: Path) -> tuple[str, dict[str, artifact.RawImages]]:
    """Returns where the archives came from, and their arrays by the builder's own keys."""
    registered = archives.registered(dataset)
    bundled = {archive: _BUNDLED_DIR / dataset / archive.filename for archive in registered}
    at_hand = bundled if (_BUNDLED_DIR / dataset).is_dir() else {}
    if mirror:
        source = origin = mirror
        found = mirrors.gather(mirror, registered, scratch_dir, at_hand)
    elif at_hand:
        source, origin, found = "the bundled copy", str(_BUNDLED_DIR / dataset), bundled
    else:
        origin = registered[0].url.rpartition("/")[0]
        source = f"TFDS ({origin})"
        found = download.download(dataset, registered, scratch_dir)
    paths = {archive: archives.verified(archive, path, origin) for archive, path in found.items()}
    arrays = {archive.role: archives.read(archive, path) for archive, path in paths.items()}
    return source, arrays


def shared_images(images: RawImages, test_images: RawImages) -> int:
    """Counts the test images that are also, byte for byte, among the training images."""
    content = images.tobytes()
    known = {content[first : first + PIXELS] for first in range(0, len(content), PIXELS)}
    content = test_images.tobytes()
    return sum(content[first : first + PIXELS] in known for first in range(0, len(content), PIXELS))
