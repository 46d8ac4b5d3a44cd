"""One builder per Keras style. Given the same layers and seed, all four compute the same function."""

from collections.abc import Callable

import keras

from components.model.contract import CLASSES, PIXELS
from components.train.settings import Settings


def _dense_layers(settings: Settings) -> list[keras.layers.Dense]:
    """The relu layers and the softmax head, each with an initialiser of its own.

    Keras would draw the initialisers' seeds from a global generator; deriving them from the settings' seed
    and the layer's position makes a layer's first weights the same in every style and every process.
    """
    units = [*settings.hidden_units, CLASSES]
    activations = ["relu"] * len(settings.hidden_units) + ["softmax"]
    return [
        keras.layers.Dense(
            size,
            activation=activation,
            name=f"dense_{position}",
            # The head stays in float32: probabilities in half precision lose what tells two models apart.
            dtype="float32" if activation == "softmax" else settings.precision,
            kernel_initializer=keras.initializers.GlorotUniform(seed=settings.seed * 1_000 + position),
        )
        for position, (size, activation) in enumerate(zip(units, activations, strict=True))
    ]


def sequential_add(settings: Settings) -> keras.Model:
    """Source: notebook cell 3."""
    model = keras.Sequential(name="sequential_add")
    for layer in _dense_layers(settings):
        model.add(layer)
    model.build((None, PIXELS))
    return model


def sequential_list(settings: Settings) -> keras.Model:
    """Source: notebook cell 4."""
    model = keras.Sequential(_dense_layers(settings), name="sequential_list")
    model.build((None, PIXELS))
    return model


def functional(settings: Settings) -> keras.Model:
    """Source: notebook cell 5."""
    inputs = keras.Input(shape=(PIXELS,), name="mnist_input")
    outputs = inputs
    for layer in _dense_layers(settings):
        outputs = layer(outputs)
    return keras.Model(inputs, outputs, name="functional")


class DigitClassifier(keras.Model):  # type: ignore[misc]  # Keras ships no type information
    """Source: notebook cell 6."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(name="subclass")
        *self.hidden, self.head = _dense_layers(settings)

    def call(self, images: keras.KerasTensor) -> keras.KerasTensor:
        """Maps normalised images float32 [N, 784] to probabilities float32 [N, 10]."""
        activations = images
        for layer in self.hidden:
            activations = layer(activations)
        return self.head(activations)


def subclass(settings: Settings) -> keras.Model:
    """Source: notebook cell 6."""
    model = DigitClassifier(settings)
    model(keras.Input(shape=(PIXELS,)))  # a subclassed model has no weights before its first call
    return model


BUILDERS: dict[str, Callable[[Settings], keras.Model]] = {
    "sequential_add": sequential_add,
    "sequential_list": sequential_list,
    "functional": functional,
    "subclass": subclass,
}


def build(settings: Settings) -> keras.Model:
    """Builds an untrained classifier: float32 [N, 784] to probabilities float32 [N, 10].

    Its first weights are a function of the settings alone, and float32 in every precision.
    """
    return BUILDERS[settings.model_style](settings.resolved())
