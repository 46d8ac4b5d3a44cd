"""One builder per Keras style. Given the same layers and seed, all four compute the same function."""

from collections.abc import Callable

import keras

from components.errors import UsageError
from components.model.contract import CLASSES, PIXELS
from components.train.styles import resolve_hidden_units


def _dense_layers(hidden_units: tuple[int, ...], seed: int, precision: str) -> list[keras.layers.Dense]:
    """The relu layers and the softmax head, each with an initialiser of its own.

    Keras would draw the initialisers' seeds from a global generator; deriving them from `seed` and the
    layer's position makes a layer's first weights the same in every style and every process.
    """
    units = [*hidden_units, CLASSES]
    activations = ["relu"] * len(hidden_units) + ["softmax"]
    return [
        keras.layers.Dense(
            size,
            activation=activation,
            name=f"dense_{position}",
            # The head stays in float32: probabilities in half precision lose what tells two models apart.
            dtype="float32" if activation == "softmax" else precision,
            kernel_initializer=keras.initializers.GlorotUniform(seed=seed * 1_000 + position),
        )
        for position, (size, activation) in enumerate(zip(units, activations, strict=True))
    ]


def sequential_add(hidden_units: tuple[int, ...], seed: int, precision: str) -> keras.Model:
    """Source: notebook cell 3."""
    model = keras.Sequential(name="sequential_add")
    for layer in _dense_layers(hidden_units, seed, precision):
        model.add(layer)
    model.build((None, PIXELS))
    return model


def sequential_list(hidden_units: tuple[int, ...], seed: int, precision: str) -> keras.Model:
    """Source: notebook cell 4."""
    model = keras.Sequential(_dense_layers(hidden_units, seed, precision), name="sequential_list")
    model.build((None, PIXELS))
    return model


def functional(hidden_units: tuple[int, ...], seed: int, precision: str) -> keras.Model:
    """Source: notebook cell 5."""
    inputs = keras.Input(shape=(PIXELS,), name="mnist_input")
    outputs = inputs
    for layer in _dense_layers(hidden_units, seed, precision):
        outputs = layer(outputs)
    return keras.Model(inputs, outputs, name="functional")


class DigitClassifier(keras.Model):  # type: ignore[misc]  # Keras ships no type information
    """Source: notebook cell 6."""

    def __init__(self, hidden_units: tuple[int, ...], seed: int, precision: str) -> None:
        super().__init__(name="subclass")
        *self.hidden, self.head = _dense_layers(hidden_units, seed, precision)

    def call(self, images: keras.KerasTensor) -> keras.KerasTensor:
        """Maps normalised images float32 [N, 784] to probabilities float32 [N, 10]."""
        activations = images
        for layer in self.hidden:
            activations = layer(activations)
        return self.head(activations)


def subclass(hidden_units: tuple[int, ...], seed: int, precision: str) -> keras.Model:
    """Source: notebook cell 6."""
    model = DigitClassifier(hidden_units, seed, precision)
    model(keras.Input(shape=(PIXELS,)))  # a subclassed model has no weights before its first call
    return model


BUILDERS: dict[str, Callable[[tuple[int, ...], int, str], keras.Model]] = {
    "sequential_add": sequential_add,
    "sequential_list": sequential_list,
    "functional": functional,
    "subclass": subclass,
}


def build(model_style: str, hidden_units: list[int], seed: int, precision: str = "float32") -> keras.Model:
    """Builds an untrained classifier: float32 [N, 784] to probabilities float32 [N, 10].

    Args:
      model_style: one of `BUILDERS`.
      hidden_units: sizes of the relu layers; empty for the notebook's.
      seed: the first weights are a function of it.
      precision: Keras's name of what is computed in; weights are float32 in any case.

    Raises:
      UsageError: unknown `model_style`; the message lists the known ones.
    """
    if model_style not in BUILDERS:
        raise UsageError(f"model_style={model_style!r}: must be one of {', '.join(BUILDERS)}")
    return BUILDERS[model_style](resolve_hidden_units(model_style, hidden_units), seed, precision)
