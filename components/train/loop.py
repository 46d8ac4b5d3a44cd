"""The training loop: Keras `fit`'s maths, a whole run of batches as one compiled program.

Plain `fit` spends most of a small model's time between steps. Here the rows stay on the device, a batch
is gathered by its place in the epoch's order, and the steps of a chunk run inside one XLA program with
the stock Keras optimiser, loss and metrics.
"""

import dataclasses
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

CHUNK_STEPS = 200  # steps between two looks at the world outside, about a fifth of a second on two cores
SCORE_ROWS = 10_000  # rows a scoring step takes at once, which bounds its memory


@dataclasses.dataclass(frozen=True)
class Scores:
    """Mean loss (nats) and accuracy (fraction, 0..1) over some rows."""

    loss: float
    accuracy: float


def epoch_order(rows: int, seed: int, epoch: int) -> npt.NDArray[np.int32]:
    """Returns the order in which `epoch` visits the rows, int32 [rows]: a function of its arguments."""
    return np.random.default_rng([seed, epoch]).permutation(rows).astype(np.int32)


class Trainer:
    """Trains `model` in place on rows that stay on the device.

    Args:
      model: float32 [N, 784] to probabilities float32 [N, 10].
      images: float32 [N, 784].
      labels: integers [N] in 0..9.
      batch_size: rows per optimiser update; the last batch of an epoch may be smaller, and is trained on.
      learning_rate: RMSprop step size.
      seed: every epoch's order is a function of it.
    """

    def __init__(
        self,
        model: keras.Model,
        images: npt.NDArray[np.float32],
        labels: npt.NDArray[Any],
        *,
        batch_size: int,
        learning_rate: float,
        seed: int,
    ) -> None:
        self.model = model
        self.optimizer = keras.optimizers.RMSprop(learning_rate=learning_rate)
        self.optimizer.build(model.trainable_variables)
        self._loss = keras.losses.SparseCategoricalCrossentropy()
        self._mean_loss = keras.metrics.Mean()
        self._accuracy = keras.metrics.SparseCategoricalAccuracy()
        self._images = tf.constant(images)
        self._labels = tf.constant(labels, tf.int32)
        self._batch_size = batch_size
        self._seed = seed

    def run_epoch(self, epoch: int) -> Iterator[int]:
        """Runs one epoch; yields the number of optimiser updates done after every chunk of them."""
        rows = len(self._labels)
        order = epoch_order(rows, self._seed, epoch)
        full_steps = rows // self._batch_size
        in_batches = full_steps * self._batch_size
        batches = tf.constant(order[:in_batches].reshape(full_steps, self._batch_size))
        self._mean_loss.reset_state()
        self._accuracy.reset_state()
        for first in range(0, full_steps, CHUNK_STEPS):
            last = min(first + CHUNK_STEPS, full_steps)
            self._run_steps(batches, tf.constant(first), tf.constant(last))
            yield last
        if in_batches < rows:
            self._run_last_step(tf.constant(order[in_batches:]))
            yield full_steps + 1

    def epoch_scores(self) -> Scores:
        """The running means over the epoch's batches, as Keras `fit` prints them."""
        return Scores(float(self._mean_loss.result()), float(self._accuracy.result()))

    @tf.function(jit_compile=True)
    def _run_steps(self, batches: tf.Tensor, first: tf.Tensor, last: tf.Tensor) -> None:
        for step in tf.range(first, last):
            self._update(batches[step])

    @tf.function(jit_compile=True)
    def _run_last_step(self, batch: tf.Tensor) -> None:
        self._update(batch)

    def _update(self, batch: tf.Tensor) -> None:
        """One optimiser update on the rows whose numbers are in `batch`, int32 [B]."""
        images = tf.gather(self._images, batch)  # (B, 784)
        labels = tf.gather(self._labels, batch)  # (B,)
        with tf.GradientTape() as tape:
            probabilities = self.model(images, training=True)  # (B, 10)
            loss = self._loss(labels, probabilities)
        gradients = tape.gradient(loss, self.model.trainable_variables)
        self.optimizer.apply(gradients, self.model.trainable_variables)
        self._mean_loss.update_state(loss, sample_weight=tf.shape(labels)[0])
        self._accuracy.update_state(labels, probabilities)


def score(model: keras.Model, images: npt.NDArray[np.float32], labels: npt.NDArray[Any]) -> Scores:
    """Scores `model` on rows it does not train on; shapes as for `Trainer`."""
    loss = accuracy = 0.0
    for first in range(0, len(labels), SCORE_ROWS):
        rows = slice(first, first + SCORE_ROWS)
        sums = _score_rows(model, tf.constant(images[rows]), tf.constant(labels[rows], tf.int32))
        loss += float(sums[0])
        accuracy += float(sums[1])
    return Scores(loss / len(labels), accuracy / len(labels))


@tf.function
def _score_rows(model: keras.Model, images: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the summed loss and the number of right answers."""
    probabilities = model(images, training=False)
    losses = keras.losses.sparse_categorical_crossentropy(labels, probabilities)
    right = keras.metrics.sparse_categorical_accuracy(labels, probabilities)
    return tf.reduce_sum(losses), tf.reduce_sum(right)
