"""The four Keras styles of the notebook and the hidden layers it gives each. Imports no TensorFlow."""

NOTEBOOK_HIDDEN_UNITS: dict[str, tuple[int, ...]] = {
    "sequential_add": (784, 64),
    "sequential_list": (784, 64),
    "functional": (64, 64),
    "subclass": (784, 64),
}


def resolve_hidden_units(model_style: str, hidden_units: list[int]) -> tuple[int, ...]:
    """Returns `hidden_units`, or the notebook's sizes for `model_style` where they are empty."""
    return tuple(int(units) for units in hidden_units) or NOTEBOOK_HIDDEN_UNITS[model_style]
