"""Big imports, for less than they cost as they are."""

import contextlib
import gc
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
