"""What makes compiling as quick under pytest as it is at a prompt."""

import functools
import inspect
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from kfp.dsl import pipeline_task


@pytest.fixture(scope="session", autouse=True)
def stacks_without_sources() -> Iterator[None]:
    """KFP asks `inspect.stack()` for its caller's name, thirty times a compilation.

    That reads the source of every frame and looks through every module that is loaded: of either there are so
    many more in a test that it is half of the time which all compiling tests take.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline_task, "inspect", SimpleNamespace(stack=functools.partial(inspect.stack, 0)))
        yield
