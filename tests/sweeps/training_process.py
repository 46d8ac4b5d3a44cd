"""`python -m tests.sweeps.training_process JSON`: one call of train's core, in a process to be killed."""

import json
import sys

from components.errors import reported
from components.imports import uncollected

if __name__ == "__main__":
    with uncollected():
        from components.train import core
        from components.train.settings import Execution, Settings

    with reported():
        given = json.loads(sys.argv[1])
        places = {name: path for name, path in given.items() if name.endswith(("_dir", "_path"))}
        core.train(Settings.among(given), Execution.among(given), **places)
    print("done", flush=True)
