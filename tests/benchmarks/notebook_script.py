"""What the notebook's cells 1 to 3 do, as one script: import, load, fit, evaluate, save.

Loads the archives that ship with the project instead of keras.datasets' download of the same arrays.
"""

import gzip
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tensorflow import keras

ARCHIVES = Path(__file__).parents[2] / "components" / "ingest" / "bundled" / "mnist"


def main(epochs: int) -> None:
    """Source: notebook cells 1 to 3."""

    def load(name: str, header: int) -> NDArray[Any]:
        return np.frombuffer(gzip.decompress((ARCHIVES / name).read_bytes())[header:], np.uint8)

    x_train, y_train = load("train-images-idx3-ubyte.gz", 16), load("train-labels-idx1-ubyte.gz", 8)
    x_test, y_test = load("t10k-images-idx3-ubyte.gz", 16), load("t10k-labels-idx1-ubyte.gz", 8)
    x_train = x_train.reshape(60000, 784) / 225
    x_test = x_test.reshape(10000, 784) / 225

    model = keras.Sequential()
    model.add(keras.layers.Dense(784, activation="relu"))
    model.add(keras.layers.Dense(64, activation="relu"))
    model.add(keras.layers.Dense(10, activation="softmax"))
    model.compile(
        optimizer=keras.optimizers.RMSprop(),
        loss=keras.losses.SparseCategoricalCrossentropy(),
        metrics=[keras.metrics.SparseCategoricalAccuracy()],
    )
    x_val = x_train[-10000:]
    y_val = y_train[-10000:]
    model.fit(x_train, y_train, batch_size=64, epochs=epochs, validation_data=(x_val, y_val), verbose=2)
    model.summary()
    print(model.evaluate(x_test, y_test, verbose=0))
    model.save("model.keras")


if __name__ == "__main__":
    main(int(sys.argv[1]))
