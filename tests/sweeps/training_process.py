"""`python -m tests.sweeps.training_process JSON`: one call of train's core, in a process to be killed."""

import json
import sys

from components.errors import reported
from components.imports import uncollected

if __name__ == "__main__":
    with uncollected():
        from components.train import core

    with reported():
        core.train(**json.loads(sys.argv[1]))
    print("done", flush=True)
