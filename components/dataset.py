"""The dataset artifact: one directory that ingest writes and that train and evaluate map into memory.

images.npy       float32 [N, 784]     normalised, training rows and then validation rows
labels.npy       uint8   [N]          0..9
test_images.npy  uint8   [M, 28, 28]  raw, as the serving signature takes them
test_labels.npy  uint8   [M]          0..9
dataset.json     `Facts`; written last, so a directory without it is not a dataset

data = Dataset.open(dataset_dir)
images, labels = data.train()
"""

import dataclasses
import hashlib
import json
import mmap
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NotRequired, TypedDict, cast

import numpy as np
from numpy.typing import NDArray

from components.errors import DataError, StorageError
from components.model.contract import CLASSES, IMAGE_SHAPE, PIXELS
from components.model.normalisation import normalise

FORMAT = 1
FACTS_FILE = "dataset.json"
_CHUNK_ROWS = 4096

Images = NDArray[np.float32]
Labels = NDArray[np.uint8]
RawImages = NDArray[np.uint8]


class Slice(TypedDict):
    """Where some of the rows came from, and which test rows are theirs.

    `test_rows` is [first, last) over test_images.npy; `dropped` counts rows that were kept out, by reason;
    `drift` is the population stability index by feature, against the base dataset's rows.
    """

    name: str
    synthetic: bool
    train_rows: int
    validation_rows: int
    test_rows: list[int]
    dropped: dict[str, int]
    drift: dict[str, float]
    findings: list[str]


class Facts(TypedDict):
    """What dataset.json says. Row ranges are [first, last), over images.npy."""

    format: int
    name: str
    source: str
    pixel_scale: float
    holdout: bool
    train_rows: list[int]
    validation_rows: list[int]
    test_rows: int
    train_class_counts: list[int]
    test_class_counts: list[int]
    duplicates: int
    augment_factor: NotRequired[int]  # how often each training row is there; absent for once
    slices: NotRequired[list[Slice]]  # absent where all rows are the base dataset's
    fingerprint: str


@dataclasses.dataclass(frozen=True)
class Dataset:
    """An opened dataset artifact; its arrays are read-only views of the files."""

    facts: Facts
    _images: Images
    _labels: Labels
    _test_images: RawImages
    _test_labels: Labels

    @classmethod
    def open(cls, directory: str | Path) -> "Dataset":
        """Maps a dataset artifact into memory and checks that its parts fit together.

        Raises:
          DataError: a file is missing, damaged, or of another shape or type than the format's.
        """
        directory = Path(directory)
        facts = _read_facts(directory / FACTS_FILE)
        rows = max(facts["train_rows"][1], facts["validation_rows"][1])
        test_rows = facts["test_rows"]
        return cls(
            facts=facts,
            _images=_map(directory / "images.npy", np.float32, (rows, PIXELS)),
            _labels=_map(directory / "labels.npy", np.uint8, (rows,)),
            _test_images=_map(directory / "test_images.npy", np.uint8, (test_rows, *IMAGE_SHAPE)),
            _test_labels=_map(directory / "test_labels.npy", np.uint8, (test_rows,)),
        )

    @property
    def fingerprint(self) -> str:
        """SHA-256, hex, of the arrays and of the facts that change what a model learns."""
        return self.facts["fingerprint"]

    @property
    def pixel_scale(self) -> float:
        """What the training images were divided by."""
        return self.facts["pixel_scale"]

    def train(self) -> tuple[Images, Labels]:
        """Returns normalised images float32 [N, 784] and labels uint8 [N] to fit on."""
        rows = slice(*self.facts["train_rows"])
        return self._images[rows], self._labels[rows]

    def validation(self) -> tuple[Images, Labels]:
        """Returns normalised images float32 [V, 784] and labels uint8 [V].

        They are training rows too when `facts["holdout"]` is false, as in the notebook.
        """
        rows = slice(*self.facts["validation_rows"])
        return self._images[rows], self._labels[rows]

    def test(self) -> tuple[RawImages, Labels]:
        """Returns raw images uint8 [M, 28, 28] and labels uint8 [M]; for evaluate only."""
        return self._test_images, self._test_labels

    def test_slices(self) -> dict[str, slice]:
        """Returns which test rows came from where; {} where all are the base dataset's."""
        return {each["name"]: slice(*each["test_rows"]) for each in self.facts.get("slices", [])}

    def verify(self) -> None:
        """Reads every byte and compares with the fingerprint.

        Raises:
          DataError: the content is not what was ingested.
        """
        digest = _Fingerprint(self.facts)
        for array in (self._images, self._labels, self._test_images, self._test_labels):
            digest.begin(array.dtype, array.shape)
            for first in range(0, len(array), _CHUNK_ROWS):
                digest.update(array[first : first + _CHUNK_ROWS])
        if digest.hexdigest() != self.fingerprint:
            raise DataError(
                f"dataset {self.facts['name']}: content has fingerprint {digest.hexdigest()}, "
                f"expected {self.fingerprint} as {FACTS_FILE} says"
            )


def write(
    directory: str | Path,
    *,
    name: str,
    source: str,
    pixel_scale: float,
    validation_rows: int,
    holdout: bool,
    augment_factor: int,
    images: Iterable[RawImages],
    labels: Labels,
    test_images: RawImages,
    test_labels: Labels,
    duplicates: int,
    slices: list[Slice] | None = None,
) -> Facts:
    """Writes a dataset artifact; the same arguments give the same bytes.

    Args:
      directory: made if it doesn't exist; a dataset that is there is replaced.
      name: the dataset's TFDS name.
      source: where its archives came from, for people.
      pixel_scale: see `normalise`.
      validation_rows: how many of the last rows validate.
      holdout: whether those rows are kept out of the training rows.
      augment_factor: how often each training row is among the images: 1 for as it is and no more.
      images: raw uint8 [., 28, 28], training and validation rows in chunks; one is in memory at a time.
      labels: uint8 [N] in 0..9.
      test_images: raw uint8 [M, 28, 28].
      test_labels: uint8 [M] in 0..9.
      duplicates: test images that are also among the training images.
      slices: where the rows came from, if not all from the base dataset.

    Raises:
      StorageError: the directory cannot be written to. No dataset.json is left in it.
    """
    rows = len(labels)
    facts = Facts(
        format=FORMAT,
        name=name,
        source=source,
        pixel_scale=float(pixel_scale),
        holdout=holdout,
        train_rows=[0, rows - validation_rows if holdout else rows],
        validation_rows=[rows - validation_rows, rows],
        test_rows=len(test_images),
        train_class_counts=class_counts(labels),
        test_class_counts=class_counts(test_labels),
        duplicates=duplicates,
        fingerprint="",
    )
    if augment_factor > 1:
        facts["augment_factor"] = augment_factor
    if slices:
        facts["slices"] = slices
    directory = Path(directory)
    digest = _Fingerprint(facts)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        (directory / FACTS_FILE).unlink(missing_ok=True)
        _write_images(directory / "images.npy", images, (rows, PIXELS), pixel_scale, digest)
        _write_array(directory / "labels.npy", labels, digest)
        _write_array(directory / "test_images.npy", test_images, digest)
        _write_array(directory / "test_labels.npy", test_labels, digest)
        facts["fingerprint"] = digest.hexdigest()
        (directory / FACTS_FILE).write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise StorageError(f"dataset directory {directory}: cannot be written: {error.strerror}") from error
    return facts


def forget_pages(array: NDArray[Any]) -> None:
    """Gives a memory-mapped array's pages back to the system; it reads them again when they are asked for.

    Otherwise every row that was read once counts as this process's memory until the end.
    """
    _advise(array, mmap.MADV_DONTNEED)


def read_ahead(array: NDArray[Any]) -> None:
    """Asks the system to read a memory-mapped array's file in one go, if it is not in memory yet.

    Otherwise rows that are used in random order are read one by one, which network file systems
    are slow at.
    """
    _advise(array, mmap.MADV_WILLNEED)


def _advise(array: NDArray[Any], advice: int) -> None:
    base: Any = array
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, mmap.mmap):
        base.madvise(advice)


def class_counts(labels: Labels) -> list[int]:
    """Returns how many rows each of the ten classes has."""
    return [int(count) for count in np.bincount(labels, minlength=CLASSES)]


class _Fingerprint:
    """SHA-256 over the facts that a model depends on, then each array's type, shape and bytes."""

    def __init__(self, facts: Facts) -> None:
        self._sha256 = hashlib.sha256()
        decisive = {
            key: facts[key] for key in ("format", "name", "pixel_scale", "train_rows", "validation_rows")
        }
        self._sha256.update(json.dumps(decisive, sort_keys=True).encode())

    def begin(self, dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
        self._sha256.update(f"\n{dtype.str}{list(shape)}\n".encode())

    def update(self, rows: NDArray[Any]) -> None:
        self._sha256.update(np.ascontiguousarray(rows).data)

    def hexdigest(self) -> str:
        return self._sha256.hexdigest()


def _write_images(
    path: Path, chunks: Iterable[RawImages], shape: tuple[int, int], pixel_scale: float, digest: _Fingerprint
) -> None:
    """Writes normalised float32 [N, 784], a chunk at a time: 188 MB and more are never in memory at once."""
    digest.begin(np.dtype("<f4"), shape)
    with path.open("wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        written = 0
        for chunk in chunks:
            rows = normalise(chunk.reshape(-1, PIXELS).astype("<f4"), pixel_scale)
            file.write(rows.data)
            digest.update(rows)
            written += len(rows)
    if written != shape[0]:
        raise ValueError(f"{written} images for {shape[0]} labels")


def _write_array(path: Path, array: NDArray[np.uint8], digest: _Fingerprint) -> None:
    digest.begin(array.dtype, array.shape)
    digest.update(array)
    with path.open("wb") as file:
        np.lib.format.write_array(file, array, version=(1, 0), allow_pickle=False)


def _read_facts(path: Path) -> Facts:
    """Reads dataset.json and checks its version and the types that this module relies on."""
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"dataset {path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise DataError(f"dataset {path}: not JSON: {error}") from error
    if not isinstance(facts, dict) or facts.get("format") != FORMAT:
        found = facts.get("format") if isinstance(facts, dict) else type(facts).__name__
        raise DataError(f"dataset {path}: format {found!r}, expected {FORMAT}")
    missing = Facts.__required_keys__ - facts.keys()
    if missing:
        raise DataError(f"dataset {path}: lacks {', '.join(sorted(missing))}")
    for field in ("train_rows", "validation_rows"):
        if not _is_row_range(facts[field]):
            raise DataError(f"dataset {path}: {field} is {facts[field]!r}, expected [first, last]")
    return cast(Facts, facts)


def _is_row_range(value: object) -> bool:
    if not isinstance(value, list) or len(value) != 2:
        return False
    first, last = value
    return type(first) is int and type(last) is int and 0 <= first < last


def _map(path: Path, dtype: type[np.generic], shape: tuple[int, ...]) -> NDArray[Any]:
    try:
        # "c" and not "r": NumPy passes only what could be written to on to TensorFlow.
        array: NDArray[Any] = np.load(path, mmap_mode="c", allow_pickle=False)
    except OSError as error:
        raise DataError(f"dataset {path}: cannot be read: {error.strerror or error}") from error
    except (ValueError, EOFError) as error:
        raise DataError(f"dataset {path}: damaged: {error}") from error
    if array.dtype != dtype or array.shape != shape:
        raise DataError(
            f"dataset {path}: {array.dtype} {list(array.shape)}, "
            f"expected {np.dtype(dtype)} {list(shape)} as {FACTS_FILE} says"
        )
    array.flags.writeable = False
    return array
