"""What a pipeline is compiled for. Apart from the rest, so that `--help` loads nothing for it."""

import enum


class Target(enum.StrEnum):
    """Where the compiled pipeline will run."""

    KFP = "kfp"
    VERTEX = "vertex"
