"""Where a pipeline can run. Apart from `compile`, so that `--help` needs no KFP."""

import enum


class Target(enum.StrEnum):
    """Where the compiled pipeline will run."""

    KFP = "kfp"
    VERTEX = "vertex"


class Runner(enum.StrEnum):
    """What runs the tasks of a local run."""

    SUBPROCESS = "subprocess"
    DOCKER = "docker"
