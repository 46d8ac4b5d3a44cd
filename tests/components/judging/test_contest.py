"""Two models against each other, and what neither of them may do to the judge."""

import math
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from components.dataset import Dataset
from components.errors import DataError, StorageError
from components.judging import contest
from components.judging.evaluation import Evaluation
from components.judging.thresholds import Thresholds
from components.registry.files import hash_model
from components.registry.publishing import publish
from components.storage.opening import open_bucket
from components.train import saved_model
from tests.conftest import TrainModel, untrained

CHECKOUT = Path(__file__).parents[3]
NO_FLOORS = Thresholds(min_accuracy=0.0, min_digit_recall=0.0, min_improvement=0.0)
JUDGE = """
import sys
from components.dataset import Dataset
from components.judging import contest
from components.judging.thresholds import Thresholds
from components.storage.opening import open_bucket
_, dataset_dir, model_dir, bucket_dir = sys.argv
thresholds = Thresholds(min_accuracy=0.0, min_digit_recall=0.0, min_improvement=0.0)
found = contest.hold(Dataset.open(dataset_dir), model_dir, open_bucket(bucket_dir), thresholds)
print(found.champion.version)
print([name for name in sys.modules if name.partition(".")[0] in ("tensorflow", "keras")])
"""
ON_OPENING: dict[str, Any] = {}


def on_opening(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and ON_OPENING and str(arguments[0]).endswith(ON_OPENING["name"]):
        ON_OPENING.pop("do")() if "do" in ON_OPENING else None


@contextmanager
def when_opened(name: str, do: Any) -> Iterator[None]:
    """Calls `do` when this process first opens a file of that name."""
    sys.addaudithook(on_opening)
    ON_OPENING.update(name=name, do=do)
    yield
    assert "do" not in ON_OPENING
    ON_OPENING.clear()


def hold(dataset_dir: str, model_dir: Path, bucket_dir: Path) -> Evaluation:
    return contest.hold(Dataset.open(dataset_dir), str(model_dir), open_bucket(str(bucket_dir)), NO_FLOORS)


@pytest.fixture(scope="module")
def worse_dir(train_model: TrainModel) -> Path:
    return train_model(epochs=1, seed=3)


def test_the_judge_never_loads_a_model(
    dataset_dir: str, model_dir: Path, worse_dir: Path, tmp_path: Path
) -> None:
    version = publish(open_bucket(str(tmp_path / "bucket")), worse_dir, {}, 0).version
    command = [sys.executable, "-c", JUDGE, dataset_dir, str(model_dir), str(tmp_path / "bucket")]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, cwd=CHECKOUT, env=environment
    )  # as from a shell in the checkout, where "" stands in sys.path for it
    assert done.stdout.splitlines()[-2:] == [version, "[]"]


def test_the_verdict_is_about_the_model_as_it_was_before_any_ran(
    dataset_dir: str, model_dir: Path, worse_dir: Path, tmp_path: Path
) -> None:
    publish(open_bucket(str(tmp_path / "bucket")), worse_dir, {}, 0)
    challenger = shutil.copytree(model_dir, tmp_path / "challenger")
    before = hash_model(challenger)
    facts = challenger / "assets.extra" / "model.json"
    with when_opened(
        "champion.json", lambda: facts.write_text(facts.read_text(encoding="utf-8") + " ", encoding="utf-8")
    ):
        evaluation = hold(dataset_dir, challenger, tmp_path / "bucket")
    assert evaluation.model_sha256 == before != hash_model(challenger)


def test_a_champion_that_cannot_be_read_is_no_win(dataset_dir: str, model_dir: Path, tmp_path: Path) -> None:
    bucket_dir = tmp_path / "bucket"
    publish(open_bucket(str(bucket_dir)), model_dir, {}, 0)
    (bucket_dir / "champion.json").unlink()
    (bucket_dir / "champion.json").mkdir()
    with pytest.raises(StorageError, match=r"champion\.json: a directory, not a file"):
        hold(dataset_dir, model_dir, bucket_dir)


def test_a_champion_whose_graph_is_refused_is_no_win(
    dataset_dir: str, model_dir: Path, tmp_path: Path
) -> None:
    from tensorflow.core.protobuf import saved_model_pb2

    evil = shutil.copytree(model_dir, tmp_path / "evil")
    graph = saved_model_pb2.SavedModel.FromString((evil / "saved_model.pb").read_bytes())
    graph.meta_graphs[0].graph_def.node.add(name="x", op="WriteFile")
    (evil / "saved_model.pb").write_bytes(graph.SerializeToString())
    publish(open_bucket(str(tmp_path / "bucket")), evil, {}, 0)
    with pytest.raises(DataError, match="op WriteFile, which no digit classifier has; it is not loaded"):
        hold(dataset_dir, model_dir, tmp_path / "bucket")


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
