"""What train can be told, each parameter once. Imports no TensorFlow, so launchers and lookup read it too."""

import dataclasses
from typing import Self

from components.errors import UsageError
from components.parameters import Number, OneOf, Parameters, Text, WholeNumber, WholeNumbers, parameter
from components.storage import uri

# The notebook's four styles and the hidden layers that it gives each.
NOTEBOOK_HIDDEN_UNITS: dict[str, tuple[int, ...]] = {
    "sequential_add": (784, 64),
    "sequential_list": (784, 64),
    "functional": (64, 64),
    "subclass": (784, 64),
}
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")  # Keras's names
MAX_ROWS = 1_000_000_000


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings(Parameters):
    """What decides the weights, beside data and code: lookup compares it whole, train takes it whole."""

    model_style: str = parameter(
        OneOf(tuple(NOTEBOOK_HIDDEN_UNITS)), "Which Keras style the model is written in.", "sequential_add"
    )
    hidden_units: list[int] = parameter(
        WholeNumbers(WholeNumber(1, 16_384), most=16),
        "Sizes of the relu layers; [] for the notebook's: 64, 64 for functional, 784, 64 for the others.",
        [],
    )
    epochs: int = parameter(WholeNumber(1, 10_000), "Passes over the training rows.", 10)
    batch_size: int = parameter(
        WholeNumber(1, MAX_ROWS), "Rows per optimiser update; at most the training rows.", 64
    )
    learning_rate: float = parameter(Number(0, above=True), "RMSprop step size.", 0.001)
    seed: int = parameter(WholeNumber(0, 2**31 - 1), "First weights and row order are functions of it.", 0)
    precision: str = parameter(
        OneOf(PRECISIONS),
        "What train computes in; the mixed ones are for GPUs, and weights stay float32.",
        "float32",
    )

    def resolved(self) -> Self:
        """Returns these settings with the hidden layers' sizes written out."""
        sizes = self.hidden_units or list(NOTEBOOK_HIDDEN_UNITS[self.model_style])
        return dataclasses.replace(self, hidden_units=sizes)

    def check_rows(self, rows: int) -> None:
        """Raises UsageError unless a batch holds at most all `rows` training rows."""
        if self.batch_size > rows:
            raise UsageError(
                f"batch_size={self.batch_size}: must be from 1 to {rows}, the number of training rows"
            )

    def check_replicas(self, replicas: int) -> None:
        """Raises UsageError if there are more replicas than rows in a batch to give them."""
        if replicas > self.batch_size:
            raise UsageError(
                f"batch_size={self.batch_size}: must be at least {replicas}, the number of replicas"
            )


def _check_checkpoint_uri(field: str, value: str) -> None:
    if value:
        uri.parse(value, field=field)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Execution(Parameters):
    """How train goes about it; nothing here changes the weights."""

    resident_bytes: int = parameter(
        WholeNumber(0, 2**50),
        "Training rows of at most so many bytes stay on the device, others are streamed to it.",
        2_000_000_000,
    )
    checkpoint_uri: str = parameter(
        Text("empty, gs://bucket/prefix or a directory", _check_checkpoint_uri),
        "Where an interrupted train goes on from; a local run takes output/checkpoints.",
        "",
    )
