"""What several test files share: real MNIST, ingested once, and a model trained on a little of it."""

import dataclasses
import gc
import os
import signal
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import docker
import pytest
from docker.errors import DockerException

from components.errors import StorageError
from components.ingest import core as ingest_core
from components.ingest.settings import Settings as IngestSettings
from components.train.settings import Execution, Settings
from pipeline.images import build

pytest_plugins = ["tests.fakes.gcs_fixtures"]

TRAINING_ROWS = 1_000  # of the real 60,000; the rest validates
FEW_ROWS: dict[str, Any] = {"validation_rows": 60_000 - TRAINING_ROWS}


@pytest.fixture(scope="session")
def dataset_dir(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Real MNIST as a dataset artifact, with 1,000 rows to train on."""
    directory = str(tmp_path_factory.mktemp("dataset") / "data")
    ingest_core.ingest(IngestSettings(**FEW_ROWS), directory)
    return directory


SMALL = Settings(model_style="functional", hidden_units=[32], epochs=1)
TrainModel = Callable[..., Path]


def untrained(model_style: str, hidden_units: list[int], seed: int = 0, precision: str = "float32") -> Any:
    """An untrained Keras model."""
    from components.train import models

    return models.build(
        Settings(model_style=model_style, hidden_units=hidden_units, seed=seed, precision=precision)
    )


@pytest.fixture(scope="session")
def train_model(dataset_dir: str, tmp_path_factory: pytest.TempPathFactory) -> TrainModel:
    """Trains a small model into a folder of its own and returns the SavedModel's directory."""
    from components.train import core

    def train(**changes: Any) -> Path:
        directory = tmp_path_factory.mktemp("train")
        core.train(
            dataclasses.replace(SMALL, **changes),
            Execution(),
            dataset_dir=dataset_dir,
            model_dir=str(directory / "model"),
            curves_path=str(directory / "curves.html"),
            events_dir=str(directory / "events"),
        )
        return directory / "model"

    return train


@pytest.fixture(scope="session")
def model_dir(train_model: TrainModel) -> Path:
    """A small trained model; tests only read it."""
    return train_model(epochs=3)


def heed_signals() -> None:
    """For a new process, before it is a program: whoever runs the tests may ignore some, as `nohup` does."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


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
    try:
        return build.base_image(make=False)
    except StorageError as error:
        unavailable(str(error))


@pytest.fixture(scope="session")
def built(base_image: str) -> dict[str, str]:
    """The checkout's images: component name to reference."""
    return build.build()
