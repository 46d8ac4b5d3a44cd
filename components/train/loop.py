"""The training loop: Keras `fit`'s maths, many steps as one compiled program.

Plain `fit` spends most of a small model's time between steps. Here the rows stay on the device, a batch is
gathered by its place in the epoch's order, and a chunk of steps runs inside one XLA program with the stock
Keras optimiser, loss and metrics. Between two chunks the caller has a look at the world outside.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from components.dataset import forget_pages, read_ahead
from components.train.cluster import Cluster
from components.train.settings import Settings

CHUNK_STEPS = 200  # a fifth of a second on two cores
SCORE_ROWS = 10_000  # rows that are scored at once, which bounds the memory for activations


@dataclasses.dataclass(frozen=True)
class Progress:
    """How far a run is, and the sums behind the running means of its epoch.

    Attributes:
      epoch: the one being trained, from 1.
      step: optimiser updates done in it.
      loss_sum: over the rows of those updates, in nats.
      right: rows among them that were classified right before their update.
    """

    epoch: int = 1
    step: int = 0
    loss_sum: float = 0.0
    right: float = 0.0


@dataclasses.dataclass(frozen=True)
class Scores:
    """Mean loss (nats) and accuracy (fraction, 0..1) over some rows."""

    loss: float
    accuracy: float


def epoch_order(rows: int, seed: int, epoch: int) -> NDArray[np.int32]:
    """Returns the order in which `epoch` visits the rows, int32 [rows]: a function of its arguments."""
    return np.random.default_rng([seed, epoch]).permutation(rows).astype(np.int32)


class Trainer:
    """Trains `model` in place.

    Args:
      model: float32 [N, 784] to probabilities float32 [N, 10], made in the scope of `cluster`.
      images: float32 [N, 784].
      labels: integers [N] in 0..9.
      settings: how to train; the last batch of an epoch may be smaller than the others, and is trained on.
      resident_bytes: rows of at most so many bytes stay on the device, others are streamed to it.
      cluster: what to compute with; a batch is split over its replicas.
    """

    def __init__(
        self,
        model: keras.Model,
        images: NDArray[np.float32],
        labels: NDArray[Any],
        *,
        settings: Settings,
        resident_bytes: int,
        cluster: Cluster,
    ) -> None:
        self.model = model
        self.settings = settings
        self._cluster = cluster
        with cluster.scope():
            self.optimizer = _optimizer(model, settings.learning_rate)
        self._images, self._labels = images, labels
        self.steps_per_epoch = -(-len(labels) // settings.batch_size)
        batch_bytes = settings.batch_size * images[:1].nbytes
        self._chunk_steps = max(1, min(CHUNK_STEPS, resident_bytes // batch_bytes))
        rows = fitting_rows(images, labels, resident_bytes)
        self._resident = self._on_device(*rows) if rows else None
        self._run_steps = self._run_steps_here if cluster.strategy is None else self._run_steps_everywhere

    def run_epoch(self, progress: Progress) -> Iterator[Progress]:
        """Runs what is left of `progress`'s epoch; yields how far it is after every chunk of steps."""
        order = epoch_order(len(self._labels), self.settings.seed, progress.epoch)
        batches, weights = _batches(order, self.settings.batch_size, self._cluster.replicas)
        for first in range(progress.step, self.steps_per_epoch, self._chunk_steps):
            last = min(first + self._chunk_steps, self.steps_per_epoch)
            if self._resident:
                sums = self._run_steps(*self._resident, batches, weights, first, last)
            else:
                sums = self._run_streamed(batches[first:last], weights[first:last])
            loss_sum, right = (float(value) for value in sums)
            progress = dataclasses.replace(
                progress, step=last, loss_sum=progress.loss_sum + loss_sum, right=progress.right + right
            )
            yield progress

    def epoch_scores(self, progress: Progress) -> Scores:
        """The running means over a finished epoch's batches, as Keras `fit` prints them."""
        return Scores(progress.loss_sum / len(self._labels), progress.right / len(self._labels))

    def state(self) -> list[NDArray[Any]]:
        """Everything that training changes: weights, seed generators, the optimiser's variables."""
        return [np.asarray(variable) for variable in self._variables()]

    def restore(self, state: Sequence[NDArray[Any]]) -> None:
        """Takes back what `state` returned."""
        for variable, value in zip(self._variables(), state, strict=True):
            variable.assign(value)

    def _variables(self) -> list[keras.Variable]:
        return [*self.model.variables, *self.optimizer.variables]

    def _on_device(self, images: tf.Tensor, labels: tf.Tensor) -> tuple[Any, Any]:
        strategy = self._cluster.strategy
        if strategy is None:
            return images, labels
        images, labels = (
            strategy.experimental_distribute_values_from_function(lambda _, part=part: part)
            for part in (images, labels)
        )
        return images, labels

    def _run_streamed(self, batches: NDArray[np.int32], weights: NDArray[np.float32]) -> Any:
        """Brings only the rows of these steps to the device, in the order in which they are used."""
        missing = self._chunk_steps - len(batches)  # one shape, one program
        rows = batches.reshape(-1)
        images = np.zeros((self._chunk_steps * batches[0].size, self._images.shape[1]), np.float32)
        labels = np.zeros(len(images), np.int32)
        images[: len(rows)] = self._images[rows]
        labels[: len(rows)] = self._labels[rows]
        forget_pages(self._images)
        places = np.arange(len(images), dtype=np.int32).reshape(self._chunk_steps, *batches.shape[1:])
        weights = np.pad(weights, ((0, missing), (0, 0), (0, 0)))
        on_device = self._on_device(tf.constant(images), tf.constant(labels))
        return self._run_steps(*on_device, places, weights, 0, len(batches))

    def _run_steps_here(
        self, images: Any, labels: Any, batches: Any, weights: Any, first: int, last: int
    ) -> tuple[Any, Any]:
        arguments = (tf.constant(each) for each in (batches, weights, first, last))
        loss_sum, right = self._compiled_steps(images, labels, *arguments)
        return loss_sum, right

    @tf.function(jit_compile=True, autograph=False)
    def _compiled_steps(
        self,
        images: tf.Tensor,
        labels: tf.Tensor,
        batches: tf.Tensor,
        weights: tf.Tensor,
        first: tf.Tensor,
        last: tf.Tensor,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Runs steps `first` to `last`; returns the summed loss and the number of right answers."""

        def one_step(
            step: tf.Tensor, loss_sum: tf.Tensor, right: tf.Tensor
        ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            step_loss, step_right = self._update(images, labels, batches[step, 0], weights[step, 0])
            return step + 1, loss_sum + step_loss, right + step_right

        zero = tf.constant(0.0)
        _, loss_sum, right = tf.while_loop(lambda step, *_: step < last, one_step, (first, zero, zero))
        return loss_sum, right

    def _run_steps_everywhere(
        self, images: Any, labels: Any, batches: Any, weights: Any, first: int, last: int
    ) -> tuple[Any, Any]:
        """As `_run_steps_here` on every replica; XLA has no reduction over workers, so without it."""
        loss_sum = right = 0.0
        for step in range(first, last):
            sums = self._replicated_step(
                images, labels, tf.constant(batches[step]), tf.constant(weights[step])
            )
            loss_sum += sums[0]
            right += sums[1]
        return loss_sum, right

    @tf.function(autograph=False)
    def _replicated_step(
        self, images: Any, labels: Any, batch: tf.Tensor, weights: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        def update(images: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            replica = tf.distribute.get_replica_context().replica_id_in_sync_group
            total = tf.reduce_sum(weights)
            return self._update(images, labels, batch[replica], weights[replica], total)

        strategy = self._cluster.strategy
        assert strategy is not None
        sums = strategy.run(update, args=(images, labels))
        return tuple(strategy.experimental_local_results(each)[0] for each in sums)

    def _update(
        self,
        images: tf.Tensor,
        labels: tf.Tensor,
        batch: tf.Tensor,
        weights: tf.Tensor,
        total: tf.Tensor | None = None,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """One optimiser update by the mean loss over the rows of a batch.

        Args:
          batch: row numbers, int32 (B,), this replica's.
          weights: 1 for a row of the batch, 0 for one that only fills it up, (B,).
          total: weight of the whole batch, over all replicas; None for one replica.

        Returns:
          Summed loss and number of right answers over the whole batch.
        """
        images, labels = tf.gather(images, batch), tf.gather(labels, batch)  # (B, 784), (B,)
        total = tf.reduce_sum(weights) if total is None else total
        with tf.GradientTape() as tape:
            probabilities = self.model(images, training=True)  # (B, 10)
            losses = keras.losses.sparse_categorical_crossentropy(labels, probabilities)  # (B,)
            loss_sum = tf.reduce_sum(losses * weights)
            loss = self.optimizer.scale_loss(loss_sum / total)  # by 1, but for float16
        gradients = tape.gradient(loss, self.model.trainable_variables)
        right = tf.reduce_sum(keras.metrics.sparse_categorical_accuracy(labels, probabilities) * weights)
        # Under a strategy Keras's optimiser sums the gradients over the replicas itself.
        self.optimizer.apply(gradients, self.model.trainable_variables)
        return self._over_replicas(loss_sum, right)

    def _over_replicas(self, loss_sum: tf.Tensor, right: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        if self._cluster.strategy is None:
            return loss_sum, right
        context = tf.distribute.get_replica_context()
        loss_sum, right = context.all_reduce(tf.distribute.ReduceOp.SUM, [loss_sum, right])
        return loss_sum, right


def _optimizer(model: keras.Model, learning_rate: float) -> keras.Optimizer:
    """RMSprop as the notebook has it; float16 needs its loss scaled, or small gradients become 0."""
    optimizer = keras.optimizers.RMSprop(learning_rate=learning_rate)
    if any(layer.dtype_policy.name == "mixed_float16" for layer in model.layers):
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    optimizer.build(model.trainable_variables)
    return optimizer


def fitting_rows(
    images: NDArray[np.float32], labels: NDArray[Any], resident_bytes: int
) -> tuple[tf.Tensor, tf.Tensor] | None:
    """Returns the rows on the device, or None if they take more than `resident_bytes` there.

    On a CPU the images are the dataset's mapped file itself, without a second copy of them in memory.
    TensorFlow wants them to begin at a multiple of 64 bytes, as .npy data and rows of 784 float32 do.
    """
    if images.nbytes > resident_bytes:
        return None
    read_ahead(images)
    lent = images.view()
    lent.flags.writeable = True  # or NumPy lends it to nobody; TensorFlow writes to no tensor
    rows = tf.experimental.dlpack.from_dlpack(lent.__dlpack__()), tf.constant(labels, tf.int32)
    if not tf.config.list_logical_devices("GPU"):
        return rows
    with tf.device("/GPU:0"):
        return tf.identity(rows[0]), tf.identity(rows[1])


def _batches(
    order: NDArray[np.int32], batch_size: int, replicas: int
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Cuts an epoch's order into equal parts, one per step and replica, filled up with rows of weight 0.

    Returns:
      Row numbers int32 and weights float32, both [steps, replicas, rows].
    """
    steps = -(-len(order) // batch_size)
    part = -(-batch_size // replicas)
    places = np.arange(steps * batch_size).reshape(steps, batch_size)
    places = np.pad(places, ((0, 0), (0, replicas * part - batch_size)), constant_values=len(order))
    is_row = places < len(order)
    batches = np.where(is_row, order[np.where(is_row, places, 0)], order[0])
    shape = steps, replicas, part
    return batches.astype(np.int32).reshape(shape), is_row.astype(np.float32).reshape(shape)


def score(model: keras.Model, images: Any, labels: Any) -> Scores:
    """Scores `model` on rows it does not train on; shapes as for `Trainer`, arrays or tensors."""
    loss = accuracy = 0.0
    for first in range(0, len(labels), SCORE_ROWS):
        rows = slice(first, first + SCORE_ROWS)
        sums = _score_rows(model, tf.convert_to_tensor(images[rows]), tf.cast(labels[rows], tf.int32))
        loss += float(sums[0])
        accuracy += float(sums[1])
    return Scores(loss / len(labels), accuracy / len(labels))


@tf.function(autograph=False)
def _score_rows(model: keras.Model, images: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the summed loss and the number of right answers."""
    probabilities = model(images, training=False)
    losses = keras.losses.sparse_categorical_crossentropy(labels, probabilities)
    right = keras.metrics.sparse_categorical_accuracy(labels, probabilities)
    return tf.reduce_sum(losses), tf.reduce_sum(right)
