"""A training run from its newest checkpoint to its last epoch: what happens between the chunks of steps."""

import contextlib
import dataclasses
import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf

from components.errors import DataError, RetryableError
from components.train import curves, loop, preemption
from components.train.checkpoints import Checkpoint, Checkpoints

# `tf.summary.scalar` needs TensorBoard's package; this is what it writes.
SCALAR = tf.compat.v1.SummaryMetadata(plugin_data={"plugin_name": "scalars"}, data_class=1)


@dataclasses.dataclass
class Run:
    """One training run, from its newest checkpoint to its last epoch.

    Attributes:
      validation: images float32 [N, 784] and labels [N] that every epoch is scored on, arrays or tensors.
    """

    trainer: loop.Trainer
    validation: tuple[Any, Any]
    epochs: int
    checkpoints: Checkpoints | None
    events_dir: str
    is_chief: bool
    progress: loop.Progress = loop.Progress()  # noqa: RUF009  # frozen
    history: list[curves.Epoch] = dataclasses.field(default_factory=list)

    def to_the_end(self) -> list[curves.Epoch]:
        """Trains until the last epoch is done; returns every epoch's scores, those before a resume too.

        Raises:
          RetryableError: asked to stop; what was done is saved where there are checkpoints.
          DataError: the loss stopped being finite, or a checkpoint is another run's.
          StorageError: a checkpoint cannot be written or read.
        """
        self._resume()
        with preemption.noticed() as notice, _events(self.events_dir if self.is_chief else "") as log:
            for epoch in self.history:
                log(epoch)
            while self.progress.epoch <= self.epochs:
                started = time.monotonic()
                for progress in self.trainer.run_epoch(self.progress):
                    self.progress = progress
                    self._look_outside(notice)
                log(self._finish_epoch(started))
                self._look_outside(notice)
        return self.history

    def _look_outside(self, notice: preemption.Notice) -> None:
        """Between two chunks: stop if asked to, save if it is time to."""
        if notice.signal:
            where = f"epoch {self.progress.epoch}, step {self.progress.step}"
            if not self.checkpoints:
                raise RetryableError(
                    f"stopped by {notice.signal} in {where}; no checkpoint_uri to go on from"
                )
            if self.is_chief:
                self.checkpoints.save(self._capture())
            raise RetryableError(f"stopped by {notice.signal} in {where}; a rerun goes on from there")
        if self.checkpoints and self.is_chief:
            self.checkpoints.save_if_due(self._capture)

    def _finish_epoch(self, started: float) -> curves.Epoch:
        scores = self.trainer.epoch_scores(self.progress)
        if not math.isfinite(scores.loss):
            rate = self.trainer.settings.learning_rate
            raise DataError(
                f"loss became {scores.loss} in epoch {self.progress.epoch} with learning_rate={rate:g}: "
                "must stay finite; nothing is exported"
            )
        validation = loop.score(self.trainer.model, *self.validation)
        epoch = curves.Epoch(
            epoch=self.progress.epoch,
            loss=scores.loss,
            accuracy=scores.accuracy,
            validation_loss=validation.loss,
            validation_accuracy=validation.accuracy,
            seconds=time.monotonic() - started,
        )
        self.history.append(epoch)
        self.progress = loop.Progress(epoch=self.progress.epoch + 1)
        print(_epoch_line(epoch, self.epochs), flush=True)
        return epoch

    def _capture(self) -> Checkpoint:
        facts = {
            **dataclasses.asdict(self.progress),
            "history": [dataclasses.asdict(epoch) for epoch in self.history],
        }
        return Checkpoint(facts, self.trainer.state())

    def _resume(self) -> None:
        checkpoint = self.checkpoints.load() if self.checkpoints else None
        if checkpoint is None:
            return
        facts = dict(checkpoint.facts)
        self.history = [curves.Epoch(**epoch) for epoch in facts.pop("history")]
        self.progress = loop.Progress(**facts)
        self.trainer.restore(checkpoint.arrays)
        print(f"resumed in epoch {self.progress.epoch} after step {self.progress.step}", flush=True)


@contextlib.contextmanager
def _events(events_dir: str) -> Iterator[Callable[[curves.Epoch], None]]:
    """Writes epochs where TensorBoard reads them; nowhere if `events_dir` is empty."""
    writer = tf.summary.create_file_writer(events_dir) if events_dir else tf.summary.create_noop_writer()

    def log(epoch: curves.Epoch) -> None:
        with writer.as_default(step=epoch.epoch):
            for name, value in dataclasses.asdict(epoch).items():
                tf.summary.write(name, tf.constant(value, tf.float32), metadata=SCALAR)
        writer.flush()

    try:
        yield log
    finally:
        writer.close()


def _epoch_line(epoch: curves.Epoch, epochs: int) -> str:
    return (
        f"epoch {epoch.epoch}/{epochs}  loss {epoch.loss:.4f}  accuracy {epoch.accuracy:.4f}"
        f"  validation loss {epoch.validation_loss:.4f}  validation accuracy {epoch.validation_accuracy:.4f}"
        f"  {epoch.seconds:.1f} s"
    )
