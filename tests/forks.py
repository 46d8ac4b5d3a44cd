"""Processes that are there in milliseconds: forks of a clean one that has imported what they need."""

import contextlib
import importlib.util
import multiprocessing
from collections.abc import Iterator
from multiprocessing import forkserver
from typing import Any


@contextlib.contextmanager
def forking(*modules: str) -> Iterator[None]:
    """Lets the "forkserver" context's processes start with `modules` imported.

    Python has one such server for a whole process. It imports what was named when it started, and is silent
    about what it cannot: of one that was left running for something else, each child imports all of it anew.
    """
    assert all(map(importlib.util.find_spec, modules)), modules
    server: Any = forkserver._forkserver  # it has no public end
    server._stop()
    multiprocessing.get_context("forkserver").set_forkserver_preload(list(modules))
    try:
        yield
    finally:
        server._stop()
