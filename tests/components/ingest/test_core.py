import gzip
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.dataset import Dataset, Facts
from components.errors import DataError, StorageError, UsageError
from components.ingest import core
from components.ingest.settings import Settings

BUNDLED = Path(core.__file__).parent / "bundled" / "mnist"


def ingest(data_dir: Path, *, dataset: str = "mnist", mirror: str = "", **change: Any) -> Facts:
    return core.ingest(Settings(**{"dataset": dataset, "mirror": mirror} | change), data_dir)


def test_bundled_mnist_becomes_a_dataset(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    facts = ingest(tmp_path / "data")
    opened = Dataset.open(tmp_path / "data")
    assert opened.facts == facts
    assert (facts["train_rows"], facts["validation_rows"]) == ([0, 50_000], [50_000, 60_000])
    # The counts that are published with MNIST.
    assert facts["train_class_counts"] == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert facts["test_class_counts"] == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert facts["duplicates"] == 0
    images, labels = opened.train()
    assert (images.min(), images.max()) == (0.0, 1.0)
    assert labels[:5].tolist() == [5, 0, 4, 1, 9]
    raw, _ = opened.test()
    assert raw.tobytes() == gzip.decompress((BUNDLED / "t10k-images-idx3-ubyte.gz").read_bytes())[16:]
    assert float(np.mean(images)) == pytest.approx(0.1307, abs=5e-4)  # of all 60,000 rows
    opened.verify()
    assert "60000 training and 10000 test images" in capsys.readouterr().out


def mirror_of(tmp_path: Path, name: str = "", change: Callable[[bytes], bytes] | None = None) -> Path:
    """Copies the bundled archives, and changes one of them."""
    mirror = tmp_path / "mirror"
    shutil.copytree(BUNDLED, mirror)
    if change:
        (mirror / name).write_bytes(change((mirror / name).read_bytes()))
    return mirror


def test_the_source_does_not_change_the_data_and_two_runs_give_the_same_bytes(tmp_path: Path) -> None:
    mirror = mirror_of(tmp_path)
    assert ingest(tmp_path / "one", mirror=str(mirror))["source"] == str(mirror)
    ingest(tmp_path / "two", mirror=mirror.as_uri())
    one, two = tmp_path / "one", tmp_path / "two"
    arrays = sorted(path.name for path in one.glob("*.npy"))
    assert len(arrays) == 4
    assert all((one / name).read_bytes() == (two / name).read_bytes() for name in arrays)
    assert Dataset.open(one).fingerprint == Dataset.open(two).fingerprint
    ingest(tmp_path / "two", mirror=str(mirror))
    assert (one / "dataset.json").read_bytes() == (two / "dataset.json").read_bytes()


def test_the_notebooks_scale_and_overlap(tmp_path: Path) -> None:
    facts = ingest(tmp_path / "data", pixel_scale=225.0, holdout=False)
    images, _ = Dataset.open(tmp_path / "data").train()
    assert images.shape == (60_000, 784)
    assert images[0].max() == np.float32(255 / 225)
    assert facts["validation_rows"] == [50_000, 60_000]


def repacked(change: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    return lambda content: gzip.compress(change(gzip.decompress(content)), 1)


def flip(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 0x10]) + content[middle + 1 :]


@pytest.mark.parametrize(
    ("name", "change", "problem"),
    [
        (
            "train-images-idx3-ubyte.gz",
            lambda content: content[:5000],
            "5000 bytes, expected 9912422; dam",
        ),
        ("t10k-images-idx3-ubyte.gz", flip, "sha256 [0-9a-f]{64}, expected 8d422c7b0a1c.*; "),
        ("t10k-labels-idx1-ubyte.gz", repacked(lambda raw: b"\0\0\x08\3" + raw[4:]), "magic 0x00000803, exp"),
        ("train-labels-idx1-ubyte.gz", lambda _: gzip.compress(bytes(1 << 26)), "more than 60008 bytes"),
        ("train-labels-idx1-ubyte.gz", repacked(lambda raw: raw), "readable, but not the registered"),
        ("t10k-labels-idx1-ubyte.gz", lambda _: b"", "0 bytes, expected 4542"),
    ],
    ids=["truncated", "flipped", "magic", "bomb", "repacked", "empty"],
)
def test_a_bad_archive_is_named_and_nothing_is_written(
    tmp_path: Path, name: str, change: Callable[[bytes], bytes], problem: str
) -> None:
    mirror = mirror_of(tmp_path, name, change)
    with pytest.raises(DataError, match=rf"{name}: .*{problem}") as error:
        ingest(tmp_path / "data", mirror=str(mirror))
    assert "\n" not in str(error.value)
    assert not (tmp_path / "data").exists()


def test_a_mirror_that_lacks_an_archive_is_not_completed_from_elsewhere(tmp_path: Path) -> None:
    mirror = mirror_of(tmp_path)
    (mirror / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(StorageError, match=r"^mirror='.*': lacks t10k-labels-idx1-ubyte\.gz$"):
        ingest(tmp_path / "data", mirror=str(mirror))


def test_another_datasets_archives_are_not_taken_for_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected 18165135; readable, but not the registered archive"):
        ingest(tmp_path / "data", dataset="kmnist", mirror=str(BUNDLED))


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"mirror='/no/such/mirror': no such directory"):
        ingest(tmp_path / "data", mirror="/no/such/mirror")


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs a file whose reading fails")
def test_a_mirror_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    mirror = mirror_of(tmp_path)
    (mirror / "t10k-labels-idx1-ubyte.gz").unlink()
    (mirror / "t10k-labels-idx1-ubyte.gz").symlink_to("/proc/self/mem")
    with pytest.raises(StorageError, match=rf"^{mirror}: Input/output error$"):
        ingest(tmp_path / "data", mirror=str(mirror))


def test_more_validation_rows_than_there_are_is_said_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="validation_rows=60000: must be from 1 to 59999, for mnist has"):
        ingest(tmp_path / "data", validation_rows=60_000)
    assert not (tmp_path / "data").exists()


def test_neither_tensorflow_nor_kfp_is_imported_and_home_stays_clean(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    code = (
        "import sys; from components.ingest import core; from components.ingest.settings import Settings;"
        "core.ingest(Settings(), sys.argv[1]);"
        "assert not {'tensorflow', 'kfp', 'keras'} & sys.modules.keys()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "data")],
        env={"HOME": str(tmp_path / "home"), "TMPDIR": str(tmp_path / "home")},
        cwd=Path(core.__file__).parents[2],
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert list((tmp_path / "home").iterdir()) == []


def test_images_in_both_splits_are_counted_exactly() -> None:
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (300, 28, 28), np.uint8)
    test_images = random.integers(0, 256, (100, 28, 28), np.uint8)
    assert core.shared_images(images, test_images) == 0
    test_images[[3, 50, 99]] = images[[7, 7, 299]]
    almost = images[20].copy()
    almost[27, 27] ^= 1
    test_images[60] = almost
    assert core.shared_images(images, test_images) == 3
