"""The pipeline's own parameters: what a benchmark doesn't change is what a user gets."""

import functools
from typing import Any


@functools.cache
def _defaults() -> dict[str, Any]:
    from pipeline.compile.documents import local_spec
    from pipeline.parameters import resolve

    return resolve(local_spec(), [], fallbacks={"bucket_uri": "unused"})


def pipeline_parameters(**changes: Any) -> dict[str, Any]:
    """Returns every parameter of the pipeline with its default, or what `changes` says.

    Raises:
      ValueError: the pipeline has no such parameter.
    """
    if unknown := changes.keys() - _defaults().keys():
        raise ValueError(f"no such parameters: {unknown}")
    return _defaults() | changes
