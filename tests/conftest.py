"""What several test files share: real MNIST, ingested once, and a model trained on a little of it."""

import gc
import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import docker
import pytest
from docker.errors import DockerException, ImageNotFound

from components.ingest import core as ingest_core
from pipeline.images import build, references

pytest_plugins = ["tests.fakes.gcs_fixtures"]

TRAINING_ROWS = 1_000  # of the real 60,000; the rest validates
FEW_ROWS: dict[str, Any] = {"validation_rows": 60_000 - TRAINING_ROWS, "holdout": True, "augment_factor": 1}
TRAINS_ALONE: dict[str, Any] = {"precision": "float32", "resident_bytes": 2_000_000_000, "checkpoint_uri": ""}


@pytest.fixture(scope="session")
def dataset_dir(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Real MNIST as a dataset artifact, with 1,000 rows to train on."""
    directory = str(tmp_path_factory.mktemp("dataset") / "data")
    ingest_core.ingest(
        dataset="mnist", mirror="", pixel_scale=255.0, data_version="", data_dir=directory, **FEW_ROWS
    )
    return directory


TrainModel = Callable[..., Path]


@pytest.fixture(scope="session")
def train_model(dataset_dir: str, tmp_path_factory: pytest.TempPathFactory) -> TrainModel:
    """Trains a small model into a folder of its own and returns the SavedModel's directory."""
    from components.train import core

    def train(**changes: Any) -> Path:
        directory = tmp_path_factory.mktemp("train")
        parameters: dict[str, Any] = {
            "model_style": "functional",
            "hidden_units": [32],
            "epochs": 1,
            "batch_size": 64,
            "learning_rate": 0.001,
            "seed": 0,
            **TRAINS_ALONE,
        }
        core.train(
            dataset_dir=dataset_dir,
            model_dir=str(directory / "model"),
            curves_path=str(directory / "curves.html"),
            events_dir=str(directory / "events"),
            **(parameters | changes),
        )
        return directory / "model"

    return train


@pytest.fixture(scope="session")
def model_dir(train_model: TrainModel) -> Path:
    """A small trained model; tests only read it."""
    return train_model(epochs=3)


def unavailable(reason: str) -> NoReturn:
    """Skips the test, or fails it where containers are required."""
    if os.environ.get("REQUIRE_CONTAINERS") == "1":
        pytest.fail(f"REQUIRE_CONTAINERS=1, but {reason}")
    pytest.skip(reason)


def connected() -> docker.DockerClient | str:
    """Returns a client, or why there is none."""
    try:
        client = docker.from_env()
        client.ping()
    except DockerException as error:
        return str(error)
    return client


@pytest.fixture(scope="session")
def engine() -> Iterator[docker.DockerClient]:
    with warnings.catch_warnings():
        # Where no engine answers, the client leaves the socket open that it tried.
        warnings.simplefilter("ignore", ResourceWarning)
        client = connected()
        gc.collect()
    if isinstance(client, str):
        unavailable(f"no container engine answers: {client}")
    yield client
    client.close()


@pytest.fixture(scope="session")
def base_image(engine: docker.DockerClient) -> str:
    dockerfile = (references.CHECKOUT / "containers" / "Dockerfile").read_text()
    reference = dockerfile.split("ARG BASE_IMAGE=")[1].split()[0]
    try:
        engine.images.get(reference)
    except ImageNotFound:
        unavailable(f"there is no {reference}: run containers/base-image.sh")
    return reference


@pytest.fixture(scope="session")
def built(base_image: str) -> dict[str, str]:
    """The checkout's images: component name to reference."""
    return build.build()
