"""What train accepts; pure, so that a launcher can refuse a bad value before anything starts."""

from typing import Any

from components import ranges
from components.errors import UsageError
from components.storage import uri
from components.train import styles

MAX_EPOCHS = 10_000
MAX_HIDDEN_LAYERS = 16
MAX_UNITS = 16_384
MAX_SEED = 2**31 - 1
MAX_BYTES = 2**50
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")  # Keras's names
MAX_ROWS = 1_000_000_000


def check(
    *,
    model_style: str,
    hidden_units: list[Any],
    epochs: int,
    batch_size: int,
    learning_rate: float,
    seed: int,
    precision: str,
    resident_bytes: int,
    checkpoint_uri: str,
) -> None:
    """Raises UsageError for the first parameter that is out of range; `check_batch_size` comes on top."""
    ranges.one_of("model_style", model_style, styles.NOTEBOOK_HIDDEN_UNITS)
    if len(hidden_units) > MAX_HIDDEN_LAYERS:
        raise UsageError(f"hidden_units={hidden_units!r}: must be at most {MAX_HIDDEN_LAYERS} layers")
    for units in hidden_units:
        if not isinstance(units, int | float):  # typed, but KFP checks no list's items
            raise UsageError(f"hidden_units={hidden_units!r}: must be a list of whole numbers")
        ranges.whole_number("hidden_units", units, 1, MAX_UNITS)
    ranges.whole_number("epochs", epochs, 1, MAX_EPOCHS)
    ranges.positive("learning_rate", learning_rate)
    ranges.whole_number("seed", seed, 0, MAX_SEED)
    ranges.one_of("precision", precision, PRECISIONS)
    ranges.whole_number("resident_bytes", resident_bytes, 0, MAX_BYTES)
    if checkpoint_uri:
        uri.parse(checkpoint_uri, field="checkpoint_uri")
    check_batch_size(batch_size, MAX_ROWS)


def check_batch_size(batch_size: int, rows: int) -> None:
    """Raises UsageError unless a batch holds at least one row and at most all `rows` training rows."""
    if not 1 <= batch_size <= rows:
        raise UsageError(f"batch_size={batch_size}: must be from 1 to {rows}, the number of training rows")


def check_replicas(replicas: int, batch_size: int) -> None:
    """Raises UsageError if there are more replicas than rows in a batch to give them."""
    if replicas > batch_size:
        raise UsageError(f"batch_size={batch_size}: must be at least {replicas}, the number of replicas")
