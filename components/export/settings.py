"""What export can be told."""

import dataclasses

from components.parameters import Parameters, Text, parameter
from components.storage import uri


def _check(field: str, value: str) -> None:
    uri.parse(value, field=field)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings(Parameters):
    """Where models are published; lookup and evaluate read it there."""

    bucket_uri: str = parameter(
        Text("gs://bucket/prefix or a directory", _check),
        "Where models are published, and the champion is; a local run takes output/bucket.",
    )
