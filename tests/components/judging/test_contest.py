"""What is scored are the probabilities that a model gives; what gives none is no contestant."""

import math
from pathlib import Path

import numpy as np
import pytest

from components.dataset import Dataset
from components.errors import DataError
from components.judging import contest
from components.judging.thresholds import Thresholds
from components.registry.publishing import publish
from components.storage.opening import open_bucket
from components.train import saved_model
from tests.conftest import untrained

NO_FLOORS = Thresholds(min_accuracy=0.0, min_digit_recall=0.0, min_improvement=0.0)


def write_model(directory: Path, dataset: Dataset, bias: float) -> Path:
    """A model of this dataset whose last layer adds `bias` to one digit."""
    model = untrained("functional", [4])
    *weights, biases = model.get_weights()
    biases[3] = bias
    model.set_weights([*weights, biases])
    provenance = {"dataset_fingerprint": dataset.fingerprint}
    saved_model.write(model, str(directory), dataset.pixel_scale, provenance)
    return directory


@pytest.mark.parametrize("bias", [math.nan, math.inf])
def test_probabilities_that_are_not_finite_are_damage_and_no_score(
    dataset_dir: str, tmp_path: Path, bias: float
) -> None:
    """NumPy's argmax takes NaN for the largest: such a model would be scored, and be one digit's best."""
    dataset = Dataset.open(dataset_dir)
    broken = write_model(tmp_path / "broken", dataset, bias)
    fine = write_model(tmp_path / "fine", dataset, 0.0)
    with pytest.raises(DataError, match="broken: gives probabilities that are not finite"):
        contest.hold(dataset, str(broken), open_bucket(str(tmp_path / "empty")), NO_FLOORS)
    bucket = open_bucket(str(tmp_path / "bucket"))
    publish(bucket, broken, {}, 0)
    with pytest.raises(DataError, match="model: gives probabilities that are not finite"):
        contest.hold(dataset, str(fine), bucket, NO_FLOORS)


def test_rows_are_asked_in_batches_and_every_row_counts(
    dataset_dir: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = Dataset.open(dataset_dir)
    model_dir = write_model(tmp_path / "model", dataset, 0.0)
    images = dataset.test()[0][:50]
    whole = contest.predict(str(model_dir), images)
    monkeypatch.setattr(contest, "BATCH_ROWS", 7)
    batched = contest.predict(str(model_dir), images)
    assert batched.shape == (50, 10)
    np.testing.assert_allclose(batched, whole, rtol=1e-5)
