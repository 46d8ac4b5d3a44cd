import gzip
from pathlib import Path

import numpy as np
import pytest

from components.dataset import Dataset, Facts
from components.ingest import core

BUNDLED = Path(core.__file__).parent / "bundled" / "mnist"


def ingest(data_dir: Path, *, dataset: str = "mnist", mirror: str = "", **change: object) -> Facts:
    arguments = {"pixel_scale": 255.0, "validation_rows": 10_000, "holdout": True} | change
    return core.ingest(dataset=dataset, mirror=mirror, data_dir=data_dir, **arguments)  # type: ignore[arg-type]


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
