"""What lookup can be told: when a scheduled run is worth a training."""

import dataclasses

from components.parameters import Flag, Number, Parameters, WholeNumber, parameter


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings(Parameters):
    """When to train.

    With `skip_unchanged`, only if data, code or settings are others than those of every published model; and
    then, where one of the next three is set, only if one of those set is reached.
    """

    skip_unchanged: bool = parameter(
        Flag(),
        "Whether to end before training if a model of this data, code and training parameters is published.",
        False,
    )
    min_new_rows: int = parameter(
        WholeNumber(0, 1_000_000_000),
        "With skip_unchanged: train once there are so many more training rows than the champion had; "
        "0 for no such rule.",
        0,
    )
    retrain_drift: float = parameter(
        Number(0, 1_000_000),
        "With skip_unchanged: train once a batch that the champion has not seen drifted further than this; "
        "0 for no such rule.",
        0.0,
    )
    max_age_days: float = parameter(
        Number(0, 36_500),
        "With skip_unchanged: train once the champion is older than so many days; 0 for no such rule.",
        0.0,
    )
    min_hours_between: float = parameter(
        Number(0, 876_000),
        "End before training while the newest published model is younger than so many hours; 0 for no rest.",
        0.0,
    )
