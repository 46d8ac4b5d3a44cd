"""ingest: a dataset's original archives in, the dataset artifact out."""

import tempfile
import time
from pathlib import Path

from components import dataset as artifact
from components.errors import StorageError
from components.ingest import archives, augment, download, idx, mirrors
from components.ingest.settings import Settings

_BUNDLED_DIR = Path(__file__).parent / "bundled"


def ingest(settings: Settings, data_dir: str | Path) -> artifact.Facts:
    """Verifies, checks and normalises a dataset, and writes it as a dataset artifact.

    Args:
      settings: which dataset, from where, and how it is split. `data_version` changes nothing in the
        artifact, but a platform's cache takes it for another task.
      data_dir: where the artifact goes; made if it doesn't exist. Untouched unless every check passes.

    Raises:
      StorageError: the archives cannot be had, or the artifact cannot be written.
      DataError: an archive is not what its registered checksum or its format says.
    """
    started = time.perf_counter()
    try:
        with tempfile.TemporaryDirectory(prefix="ingest-") as scratch:
            source, arrays = _load(settings.dataset, settings.mirror, Path(scratch))
    except OSError as error:
        where = error.filename or settings.mirror or settings.dataset
        raise StorageError(f"{where}: {error.strerror or error}") from error
    duplicates = idx.shared_images(arrays["train_data"], arrays["test_data"])
    print(
        f"ingest: {settings.dataset} from {source}: {len(arrays['train_data'])} training and "
        f"{len(arrays['test_data'])} test images verified, {duplicates} in both"
    )
    kept, copies = settings.distinct_training_rows, settings.augment_factor
    facts = artifact.write(
        data_dir,
        name=settings.dataset,
        source=source,
        pixel_scale=settings.pixel_scale,
        validation_rows=settings.validation_rows,
        holdout=settings.holdout,
        augment_factor=copies,
        images=augment.repeated_images(arrays["train_data"], kept, copies),
        labels=augment.repeated_labels(arrays["train_labels"], kept, copies),
        test_images=arrays["test_data"],
        test_labels=arrays["test_labels"],
        duplicates=duplicates,
    )
    print(
        f"ingest: rows {facts['train_rows']} to train, {facts['validation_rows']} to validate, "
        f"pixels / {settings.pixel_scale:g}, fingerprint {facts['fingerprint'][:12]}, "
        f"{f'data version {settings.data_version}, ' if settings.data_version else ''}"
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
