"""A compiled pipeline whose export comes second: another run promotes its model just before."""

from pathlib import Path
from typing import Any

PROMOTION = """\
    from components.registry.publishing import publish
    from components.storage.opening import open_bucket

    publish(open_bucket(bucket_uri), {rival!r}, {{}}, 0)
"""


def overtake(spec: dict[str, Any], rival_dir: Path) -> None:
    """Lets export's task promote the model in `rival_dir` into an empty bucket before it does its work."""
    put_before_the_imports_of(spec, "export", PROMOTION.format(rival=str(rival_dir)))


def put_before_the_imports_of(spec: dict[str, Any], task: str, code: str) -> None:
    """Puts indented lines at the start of a task's function, in place."""
    command = spec["deploymentSpec"]["executors"][f"exec-{task}"]["container"]["command"]
    [place] = [number for number, text in enumerate(command) if f"def {task}(" in text]
    start = "    from components.errors import reported\n"
    assert command[place].count(start) == 1
    command[place] = command[place].replace(start, code + start)
