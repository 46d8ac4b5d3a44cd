"""What lookup can be told."""

import dataclasses

from components.parameters import Flag, Parameters, parameter


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings(Parameters):
    """When there is nothing to train."""

    skip_unchanged: bool = parameter(
        Flag(),
        "Whether to end before training if a model of this data, code and training parameters is published.",
        False,
    )
