"""What scan can be told."""

import dataclasses

from components.parameters import Parameters, Text, parameter
from components.storage import uri


def _check(field: str, value: str) -> None:
    if value:
        uri.parse(value, field=field)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings(Parameters):
    """Where new digits come from; ingest reads them there."""

    batches_uri: str = parameter(
        Text("empty, gs://bucket/prefix or a directory", _check),
        "Where labelled batches that came since are; empty for none.",
        "",
    )
