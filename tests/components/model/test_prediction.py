"""Models that run in a process of their own, honest ones and others."""

import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.dataset import Dataset
from components.errors import DataError, PipelineError
from components.model import prediction_process, serving
from components.model.prediction import packed, predict, unpacked
from tests.sweeps import models_sweep

STARTED: list[tuple[Any, ...]] = []
IMAGES = np.zeros((2, 28, 28), np.uint8)


def noting_processes(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "subprocess.Popen":
        STARTED.append(arguments)


def test_the_process_answers_as_the_model_does(model_dir: Path, dataset_dir: str) -> None:
    images, _ = Dataset.open(dataset_dir).test()
    probabilities = predict(str(model_dir), images[:2500])
    np.testing.assert_array_equal(probabilities[:1000], serving.load(str(model_dir))(images[:1000]))
    assert probabilities.shape == (2500, 10)


def test_the_process_gets_no_credentials_and_an_empty_folder(
    model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (
        "GOOGLE_APPLICATION_CREDENTIALS",
        "MODEL_SIGNING_KEY",
        "HTTPS_PROXY",
        "MNIST_PIPELINE_TOKEN",
    ):
        monkeypatch.setenv(name, "secret")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    sys.addaudithook(noting_processes)
    STARTED.clear()
    predict(str(model_dir), IMAGES)
    [(_, _, folder, environment)] = STARTED
    assert "secret" not in environment.values()
    assert environment["OMP_NUM_THREADS"] == "1"
    assert environment["HOME"] == environment["TMPDIR"] == folder
    assert not Path(folder).exists()


def children() -> set[int]:
    """The processes that this one has started."""
    listings = [path.read_text(encoding="utf-8") for path in Path("/proc/self/task").glob("*/children")]
    return {int(child) for listing in listings for child in listing.split()}


@contextmanager
def killed_as_soon_as_it_runs() -> Iterator[None]:
    """Kills the first child process that this one starts from now on, and none that other tests need."""
    others = children()

    def kill() -> None:
        give_up = time.monotonic() + 30
        while time.monotonic() < give_up:
            for child in children() - others:
                os.kill(child, signal.SIGKILL)
                return
            time.sleep(0.01)  # between two looks at what the system says of us: nothing else tells

    killer = threading.Thread(target=kill)
    killer.start()
    yield
    killer.join()


def test_a_process_that_is_killed_is_said_so(model_dir: Path) -> None:
    with killed_as_soon_as_it_runs(), pytest.raises(DataError, match=r"took too much memory \(SIGKILL\)"):
        predict(str(model_dir), IMAGES)


def test_a_model_that_hangs_is_given_up(model_dir: Path) -> None:
    with pytest.raises(DataError, match=r"no predictions after 0\.01 s"):
        predict(str(model_dir), IMAGES, seconds=0.01)


def test_what_the_process_says_of_a_model_is_said_here(model_dir: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(model_dir, tmp_path / "model")
    data = next((copy / "variables").glob("variables.data*"))
    data.write_bytes(data.read_bytes()[:100])
    with pytest.raises(DataError, match="not a SavedModel with serving_default: ") as error:
        predict(str(copy), IMAGES)
    assert "\n" not in str(error.value)


def test_a_failure_that_is_not_the_models_is_one_line_too(
    model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = "raise ModuleNotFoundError(\"No module named 'numpy'\")"
    (tmp_path / "numpy.py").write_text(broken, encoding="utf-8")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    with pytest.raises(PipelineError, match=r"the process that runs it failed: .*No module named") as error:
        predict(str(model_dir), IMAGES)
    assert not isinstance(error.value, DataError)
    assert "\n" not in str(error.value)


def test_arrays_are_passed_as_bytes_and_nothing_else_is() -> None:
    np.testing.assert_array_equal(unpacked(packed(IMAGES[:, ::2])), IMAGES[:, ::2])
    with pytest.raises(ValueError, match=r"allow_pickle|Object arrays"):
        packed(np.array([print], object))
    for answer in (b"", b"\x80\x04N.", packed(IMAGES)[:50], packed(IMAGES)[:200]):
        with pytest.raises(ValueError, match=r"magic string|expected|array|reshape"):
            unpacked(answer)


def test_rows_are_asked_in_batches_and_every_row_counts(
    model_dir: Path, dataset_dir: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, _ = Dataset.open(dataset_dir).test()
    whole = prediction_process.predict(str(model_dir), images[:50])
    monkeypatch.setattr(prediction_process, "BATCH_ROWS", 7)
    batched = prediction_process.predict(str(model_dir), images[:50])
    assert batched.shape == (50, 10)
    np.testing.assert_allclose(batched, whole, rtol=1e-5)


def test_graphs_changed_at_random_end_in_one_line_or_answer(tmp_path: Path) -> None:
    """`python -m tests.sweeps.models_sweep` tries more."""
    seen, bad = models_sweep.sweep(tmp_path, 40, seed=1)
    assert bad == []
    assert seen["refused"] + seen["answered"] == 40
    assert min(seen.values()) > 5
