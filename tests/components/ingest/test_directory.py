"""The archives as people have them: every way must give the same artifact, or say what is in the way."""

import gzip
import shutil
from pathlib import Path

import pytest

from components.dataset import Dataset
from components.errors import DataError, StorageError
from components.ingest import archives, directory
from tests.components.ingest.test_core import BUNDLED, ingest
from tests.conftest import FEW_ROWS

ARCHIVES = sorted(path.name for path in BUNDLED.glob("*.gz"))


def dotted(name: str) -> str:
    return name.replace("-idx", ".idx")


def place(folder: Path, rename: str, *, packed: bool) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in ARCHIVES:
        own = {"own": name, "dotted": dotted(name), "any": f"{ARCHIVES.index(name)}.bin"}[rename]
        content = (BUNDLED / name).read_bytes()
        if packed:
            (folder / own).write_bytes(content)
        else:
            (folder / own.removesuffix(".gz")).write_bytes(gzip.decompress(content))


def found(mirror: Path, twins_dir: Path = BUNDLED) -> None:
    """Looks for MNIST's archives, as ingest does; what is found is verified."""
    registered = archives.registered("mnist")
    twins = {archive: twins_dir / archive.filename for archive in registered if twins_dir.is_dir()}
    paths = directory.find(str(mirror), mirror, registered, twins)
    assert list(paths) == registered
    for archive, path in paths.items():
        archives.verified(archive, path, str(mirror))


@pytest.mark.parametrize("packed", [True, False], ids=["packed", "unpacked"])
@pytest.mark.parametrize(
    ("where", "rename"),
    [
        (".", "own"),
        (".", "dotted"),
        (".", "any"),
        ("MNIST/raw", "own"),
        ("raw", "own"),
        ("MNIST/raw", "dotted"),
    ],
)
def test_real_mnist_is_found_by_what_it_holds(tmp_path: Path, where: str, rename: str, packed: bool) -> None:
    place(tmp_path / "mine" / where, rename, packed=packed)
    found(tmp_path / "mine")


@pytest.mark.parametrize("packed", [True, False], ids=["packed", "unpacked"])
def test_the_same_dataset_comes_of_it(tmp_path: Path, packed: bool, dataset_dir: str) -> None:
    place(tmp_path / "mine" / "MNIST" / "raw", "own", packed=packed)
    facts = ingest(tmp_path / "data", mirror=str(tmp_path / "mine"), **FEW_ROWS)
    assert facts["source"] == str(tmp_path / "mine")
    assert facts["fingerprint"] == Dataset.open(dataset_dir).fingerprint


def test_torchs_folder_with_both_forms_and_other_datasets_beside_it(tmp_path: Path) -> None:
    for packed in (True, False):
        place(tmp_path / "mine" / "MNIST" / "raw", "own", packed=packed)
    (tmp_path / "mine" / "FashionMNIST" / "raw").mkdir(parents=True)
    other = bytes(47_040_016)  # of the same size as MNIST's own
    (tmp_path / "mine" / "FashionMNIST" / "raw" / "train-images-idx3-ubyte").write_bytes(other)
    found(tmp_path / "mine")


def test_an_unpacked_archive_with_another_bit_in_it_is_not_taken(tmp_path: Path) -> None:
    place(tmp_path / "mine", "own", packed=False)
    path = tmp_path / "mine" / "t10k-labels-idx1-ubyte"
    content = bytearray(path.read_bytes())
    content[5_000] = (content[5_000] + 1) % 10
    path.write_bytes(content)
    with pytest.raises(StorageError) as refused:
        found(tmp_path / "mine")
    assert str(refused.value) == (
        f"mirror='{tmp_path / 'mine'}': lacks t10k-labels-idx1-ubyte.gz "
        "(t10k-labels-idx1-ubyte is unpacked, and only the packed one can be verified)"
    )


def test_without_a_packed_twin_an_unpacked_archive_is_named(tmp_path: Path) -> None:
    """As for the datasets that are not bundled."""
    place(tmp_path / "mine" / "MNIST" / "raw", "own", packed=False)
    with pytest.raises(
        StorageError, match=r"lacks train-images-idx3-ubyte\.gz \(MNIST/raw/train-images-idx3-u.* is unp"
    ):
        found(tmp_path / "mine", twins_dir=tmp_path / "none")


def test_a_file_of_nearly_the_name_is_named(tmp_path: Path) -> None:
    place(tmp_path / "mine", "own", packed=True)
    (tmp_path / "mine" / "train-labels-idx1-ubyte.gz").rename(
        tmp_path / "mine" / "train-labels.idx1-ubyte.gz"
    )
    (tmp_path / "mine" / "train-labels.idx1-ubyte.gz").write_bytes(b"something else")
    with pytest.raises(
        StorageError, match=r"lacks train-labels-idx1-ubyte\.gz \(train-labels\.idx1-ubyte\.gz is another"
    ):
        found(tmp_path / "mine")


def test_a_file_of_the_very_name_is_never_passed_over(tmp_path: Path) -> None:
    place(tmp_path / "mine" / "MNIST" / "raw", "own", packed=True)
    shutil.copy(tmp_path / "mine" / "MNIST" / "raw" / ARCHIVES[0], tmp_path / "mine" / ARCHIVES[1])
    with pytest.raises(DataError, match=rf"/mine/{ARCHIVES[1]}: "):
        found(tmp_path / "mine")
