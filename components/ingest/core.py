"""ingest: a dataset's original archives in, the dataset artifact out."""

import tempfile
import time
from pathlib import Path

from components import dataset as artifact
from components.errors import StorageError
from components.ingest import archives, augment, download, idx, limits, mirrors

_BUNDLED_DIR = Path(__file__).parent / "bundled"


def ingest(
    *,
    dataset: str,
    mirror: str,
    pixel_scale: float,
    validation_rows: int,
    holdout: bool,
    augment_factor: int,
    data_version: str,
    data_dir: str | Path,
) -> artifact.Facts:
    """Verifies, checks and normalises a dataset, and writes it as a dataset artifact.

    Args:
      dataset: TFDS name: mnist, fashion_mnist or kmnist.
      mirror: a directory, gs://bucket/prefix or http(s)://base that holds the four archives; empty
        for the bundled copy or, when there is none, for TFDS's own source.
      pixel_scale: what pixels 0..255 are divided by.
      validation_rows: how many of the last training rows validate.
      holdout: whether those rows are kept out of training.
      augment_factor: how often each training row is there: once as it is, further times shifted by up
        to 2 pixels and rotated by up to 10 degrees. Validation rows are not augmented.
      data_version: the caller's name for what the source holds now; changes nothing in the artifact, but a
        platform's cache takes it for another task.
      data_dir: where the artifact goes; made if it doesn't exist. Untouched unless every check passes.

    Raises:
      UsageError: a parameter is out of its range.
      StorageError: the archives cannot be had, or the artifact cannot be written.
      DataError: an archive is not what its registered checksum or its format says.
    """
    limits.check(
        dataset=dataset,
        mirror=mirror,
        pixel_scale=pixel_scale,
        validation_rows=validation_rows,
        holdout=holdout,
        augment_factor=augment_factor,
    )
    validation_rows, augment_factor = int(validation_rows), int(augment_factor)
    started = time.perf_counter()
    try:
        with tempfile.TemporaryDirectory(prefix="ingest-") as scratch:
            source, arrays = _load(dataset, mirror, Path(scratch))
    except OSError as error:
        where = error.filename or mirror or dataset
        raise StorageError(f"{where}: {error.strerror or error}") from error
    duplicates = idx.shared_images(arrays["train_data"], arrays["test_data"])
    print(
        f"ingest: {dataset} from {source}: {len(arrays['train_data'])} training and "
        f"{len(arrays['test_data'])} test images verified, {duplicates} in both"
    )
    trained = limits.training_rows(validation_rows, holdout, augment_factor=1)
    facts = artifact.write(
        data_dir,
        name=dataset,
        source=source,
        pixel_scale=pixel_scale,
        validation_rows=validation_rows,
        holdout=holdout,
        augment_factor=augment_factor,
        images=augment.repeated_images(arrays["train_data"], trained, augment_factor),
        labels=augment.repeated_labels(arrays["train_labels"], trained, augment_factor),
        test_images=arrays["test_data"],
        test_labels=arrays["test_labels"],
        duplicates=duplicates,
    )
    print(
        f"ingest: rows {facts['train_rows']} to train, {facts['validation_rows']} to validate, "
        f"pixels / {pixel_scale:g}, fingerprint {facts['fingerprint'][:12]}, "
        f"{f'data version {data_version}, ' if data_version else ''}"
        f"{time.perf_counter() - started:.1f} s"
    )
    return facts


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
    }


def _load(dataset: str, mirror: str, scratch_dir: Path) -> tuple[str, dict[str, artifact.RawImages]]:
    """Returns where the archives came from, and their arrays by the builder's own keys."""
    registered = archives.registered(dataset)
    folder: Path | None = None
    if mirror:
        source, folder = mirror, mirrors.gather(mirror, registered, scratch_dir)
    elif (_BUNDLED_DIR / dataset).is_dir():
        source, folder = "the bundled copy", _BUNDLED_DIR / dataset
    else:
        source = f"TFDS ({registered[0].url.rpartition('/')[0]})"
        download.fill_cache(dataset, registered, scratch_dir)
    manager = archives.download_manager(dataset, scratch_dir, folder)
    origin = mirror or str(folder)
    paths = {archive: archives.verified(archive, manager, folder, origin) for archive in registered}
    arrays = {archive.role: archives.read(archive, path) for archive, path in paths.items()}
    return source, arrays
