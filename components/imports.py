"""Big imports: for less than they cost as they are, and the same on every machine."""

import contextlib
import gc
import os
import tempfile
from collections.abc import Iterator


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """Imports inside it are not searched for garbage, neither now nor when the process ends.

    TensorFlow's import makes a million objects that stay. Searching them again and again takes a fifth of the
    time that the import takes, and most of a second more at the end of the process.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()


@contextlib.contextmanager
def pinned_keras() -> Iterator[None]:
    """Keras and TensorFlow, imported inside it, are as they ship.

    Else `~/.keras/keras.json` and the variables around it decide, on each machine anew, on which backend and
    in which precision train computes, or that it does not start.
    """
    own = [name for name in os.environ if name.startswith("KERAS_") or name == "TF_USE_LEGACY_KERAS"]
    before = {name: os.environ.pop(name) for name in own}
    with tempfile.TemporaryDirectory(prefix="keras-") as empty:  # Keras leaves a keras.json in it
        pinned = {"KERAS_HOME": empty, "KERAS_BACKEND": "tensorflow"}
        os.environ.update(pinned)
        try:
            yield
        finally:
            for name in pinned:
                del os.environ[name]
            os.environ.update(before)
