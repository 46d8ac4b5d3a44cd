"""What is measured, one job per process: `python -m tests.benchmarks.jobs NAME JSON-ARGUMENTS`.

A job imports what it needs, then starts its clock. Its result is the last line that it prints.
"""

import contextlib
import inspect
import io
import itertools
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

MATMUL_RUNS = 10


class EpochClock(io.TextIOBase):
    """Stands for stdout and takes the time of every line that train prints after an epoch."""

    def __init__(self) -> None:
        self.started = time.perf_counter()
        self.ends: list[float] = []

    def write(self, text: str) -> int:
        """Counts what begins a line; print writes whole lines."""
        if text.startswith("epoch "):
            self.ends.append(time.perf_counter() - self.started)
        return len(text)


def ingest(parameters: dict[str, Any], data_dir: str) -> dict[str, Any]:
    """Runs ingest's core."""
    from components.ingest import core
    from components.ingest.settings import Settings

    started = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        core.ingest(Settings.among(parameters), data_dir)
    return {"seconds": time.perf_counter() - started, "peak_bytes": _peak_bytes()}


def synthetic(data_dir: str, rows: int) -> dict[str, Any]:
    """Writes a tiny dataset of noise in no time: `rows` to train on and as many to validate."""
    import numpy as np

    from components import dataset
    from components.model import contract

    random = np.random.default_rng(0)
    images = random.integers(0, 256, (2 * rows, *contract.IMAGE_SHAPE), np.uint8)
    labels = (np.arange(2 * rows) % contract.CLASSES).astype(np.uint8)
    started = time.perf_counter()
    dataset.write(
        data_dir,
        name="mnist",
        source="noise",
        pixel_scale=255.0,
        validation_rows=rows,
        holdout=True,
        augment_factor=1,
        images=[images],
        labels=labels,
        test_images=images,
        test_labels=labels,
        duplicates=0,
    )
    return {"seconds": time.perf_counter() - started, "peak_bytes": _peak_bytes()}


def ours(parameters: dict[str, Any], dataset_dir: str) -> dict[str, Any]:
    """Runs train's core: model, epochs, validation after each, and the SavedModel."""
    from components.train import core
    from components.train.settings import Execution, Settings

    with tempfile.TemporaryDirectory() as scratch:
        outputs = {
            name: str(Path(scratch) / name)
            for name in inspect.signature(core.train).parameters
            if name.endswith(("_dir", "_path"))
        }
        clock = EpochClock()
        with contextlib.redirect_stdout(clock):
            core.train(
                Settings.among(parameters),
                Execution.among(parameters),
                **outputs | {"dataset_dir": dataset_dir},
            )
        whole = time.perf_counter() - clock.started
    return {"epochs": clock.ends, "whole": whole, "peak_bytes": _peak_bytes()}


def saving(parameters: dict[str, Any], dataset_dir: str) -> dict[str, Any]:
    """As `ours`, with a clock on everything that its checkpoints do between two chunks of steps."""
    from components.train.checkpoints import Checkpoints

    seconds = 0.0
    save_if_due = Checkpoints.save_if_due

    def timed(self: Checkpoints, *arguments: Any) -> None:
        nonlocal seconds
        started = time.perf_counter()
        save_if_due(self, *arguments)
        seconds += time.perf_counter() - started

    Checkpoints.save_if_due = timed  # type: ignore[assignment,method-assign]
    try:
        return ours(parameters, dataset_dir) | {"saving": seconds}
    finally:
        Checkpoints.save_if_due = save_if_due  # type: ignore[method-assign]


def fit(parameters: dict[str, Any], dataset_dir: str) -> dict[str, Any]:
    """Does the same as the notebook does it: NumPy arrays into plain Keras `fit`, then a SavedModel."""
    import keras
    import numpy as np

    from components.dataset import Dataset
    from components.train import models
    from components.train.settings import Settings

    dataset = Dataset.open(dataset_dir)
    images, labels, *validation = (np.array(part) for part in (*dataset.train(), *dataset.validation()))
    clock = EpochClock()
    ticks = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: clock.write("epoch "))
    model = models.build(Settings.among(parameters))
    model.compile(
        optimizer=keras.optimizers.RMSprop(learning_rate=parameters["learning_rate"]),
        loss=keras.losses.SparseCategoricalCrossentropy(),
        metrics=[keras.metrics.SparseCategoricalAccuracy()],
    )
    model.fit(
        images,
        labels,
        batch_size=parameters["batch_size"],
        epochs=parameters["epochs"],
        validation_data=tuple(validation),
        callbacks=[ticks],
        verbose=0,
    )
    with tempfile.TemporaryDirectory() as scratch, contextlib.redirect_stdout(io.StringIO()):
        model.export(f"{scratch}/model", verbose=False)
    return {"epochs": clock.ends, "whole": time.perf_counter() - clock.started, "peak_bytes": _peak_bytes()}


def matmul(size: int) -> dict[str, Any]:
    """Multiplies two big float32 matrices: what this machine's arithmetic can do at best."""
    import tensorflow as tf

    left, right = tf.random.normal((size, size)), tf.random.normal((size, size))
    taken = []
    for _ in range(MATMUL_RUNS):
        started = time.perf_counter()
        tf.matmul(left, right).numpy()
        taken.append(time.perf_counter() - started)
    return {"flops_per_second": 2 * size**3 / min(taken)}


def torch(hidden_units: list[int], parameters: dict[str, Any], dataset_dir: str) -> dict[str, Any]:
    """Trains the same network in eager PyTorch, its rows in memory as a tensor."""
    import numpy as np
    import torch  # type: ignore[import-not-found,unused-ignore]  # not one of the project's packages

    from components.dataset import Dataset

    images, labels = (torch.from_numpy(np.array(part)) for part in Dataset.open(dataset_dir).train())
    labels = labels.long()
    sizes = [images.shape[1], *hidden_units]
    hidden = [
        layer
        for inputs, outputs in itertools.pairwise(sizes)
        for layer in (torch.nn.Linear(inputs, outputs), torch.nn.ReLU())
    ]
    clock = EpochClock()
    model = torch.nn.Sequential(*hidden, torch.nn.Linear(sizes[-1], 10))
    optimizer = torch.optim.RMSprop(model.parameters(), lr=parameters["learning_rate"], alpha=0.9, eps=1e-7)
    for _ in range(parameters["epochs"]):
        for batch in torch.randperm(len(labels)).split(parameters["batch_size"]):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(images[batch]), labels[batch]).backward()
            optimizer.step()
        clock.write("epoch ")
    return {"epochs": clock.ends}


def jax(hidden_units: list[int], parameters: dict[str, Any], dataset_dir: str) -> dict[str, Any]:
    """Trains the same network in JAX, an epoch as one `lax.scan`; a last, partial batch is left out."""
    import jax  # type: ignore[import-not-found,unused-ignore]  # not one of the project's packages
    import jax.numpy as jnp  # type: ignore[import-not-found,unused-ignore]
    import numpy as np

    from components.dataset import Dataset

    images, labels = (jnp.asarray(np.array(part)) for part in Dataset.open(dataset_dir).train())
    batch_size, learning_rate = parameters["batch_size"], parameters["learning_rate"]
    sizes = [images.shape[1], *hidden_units, 10]
    random = np.random.default_rng(0)
    weights = [
        (random.normal(0, (2 / (i + o)) ** 0.5, (i, o)).astype(np.float32), np.zeros(o, np.float32))
        for i, o in itertools.pairwise(sizes)
    ]

    def loss(weights: Any, images: Any, labels: Any) -> Any:
        activations = images
        for kernel, bias in weights[:-1]:
            activations = jax.nn.relu(activations @ kernel + bias)
        logits = activations @ weights[-1][0] + weights[-1][1]
        return -jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], 1).mean()

    def step(state: Any, batch: Any) -> Any:
        weights, squares = state
        value, gradients = jax.value_and_grad(loss)(weights, images[batch], labels[batch].astype(jnp.int32))
        squares = jax.tree.map(lambda s, g: 0.9 * s + 0.1 * g * g, squares, gradients)
        weights = jax.tree.map(
            lambda w, g, s: w - learning_rate * g / jnp.sqrt(s + 1e-7), weights, gradients, squares
        )
        return (weights, squares), value

    run_epoch = jax.jit(lambda state, batches: jax.lax.scan(step, state, batches))
    steps = len(labels) // batch_size
    clock = EpochClock()
    state = jax.tree.map(jnp.asarray, (weights, jax.tree.map(np.zeros_like, weights)))
    for _ in range(parameters["epochs"]):
        order = random.permutation(len(labels))[: steps * batch_size].reshape(steps, batch_size)
        state, _ = jax.block_until_ready(run_epoch(state, jnp.asarray(order)))
        clock.write("epoch ")
    return {"epochs": clock.ends}


JOBS: dict[str, Callable[..., dict[str, Any]]] = {
    job.__name__: job for job in (ingest, synthetic, ours, saving, fit, matmul, torch, jax)
}


def _peak_bytes() -> int:
    """Returns this process's peak memory; getrusage would count what its parent had when it was started."""
    status = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM:"))


if __name__ == "__main__":
    print(json.dumps(JOBS[sys.argv[1]](**json.loads(sys.argv[2]))))
