"""One task of a local run, in a process of its own between KFP and the work.

KFP's local runner starts whatever a compiled pipeline names as a task's command. `command` names this module
there, and after it KFP's own command, which is then run as a process of this machine or in a container. So
each task can have mounts of its own, is told when the run is to stop, and no exit code is lost
(kubeflow/pipelines#13332: KFP takes a container that is gone before it was waited for as a success).

    python3 -m pipeline.local.task FOLDER train  sh -c … python3 -m kfp.dsl.executor_main …
"""

import contextlib
import dataclasses
import functools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from components.errors import RetryableError
from pipeline.local import containers
from pipeline.local.events import Event, Kind
from pipeline.local.stopping import Stop, handling

_SETTINGS = "tasks.json"


@dataclasses.dataclass(frozen=True)
class Settings:
    """How a task is run.

    Attributes:
      container: what it runs in; None for a process of this machine.
      is_last: it runs because the run has ended, however that came.
    """

    container: containers.Container | None
    is_last: bool


def prepare(directory: Path, tasks: Mapping[str, Settings]) -> None:
    """Writes what the tasks' processes need to know into the run's own folder."""
    text = json.dumps({name: dataclasses.asdict(settings) for name, settings in tasks.items()})
    (directory / _SETTINGS).write_text(text, encoding="utf-8")


def command(directory: Path, task: str, own: Sequence[str]) -> list[str]:
    """Returns the command that runs a task's own command as this module does."""
    return ["python3", "-m", "pipeline.local.task", str(directory), task, *own]


def main(directory: str, name: str, *own: str) -> int:
    """Runs one task to its end; returns its exit code, as a shell has it."""
    stop = Stop(Path(directory), launcher=os.getppid())
    settings = _settings(Path(directory), name)

    def stoppable(
        end: Callable[[], None], kill: Callable[[], None]
    ) -> contextlib.AbstractContextManager[None]:
        def tell() -> None:
            _say(Event(name, Kind.STOPPING, stop.asked))
            end()

        return stop.passed_on(tell, kill, heeds_first=not settings.is_last)

    with handling(lambda number, _: stop.ask(signal.Signals(number).name)):
        if stop.asked and not settings.is_last:
            _say(Event(name, Kind.SKIPPED, stop.asked))
            return RetryableError.exit_code
        _say(Event(name, Kind.STARTED))
        if settings.container:
            code = containers.run(_with_artifacts(settings.container, own), own, stoppable)
        else:
            code = _run_process(own, stoppable)
        _say(Event(name, Kind.ENDED, str(code)))
    return code


def _settings(directory: Path, name: str) -> Settings:
    found = json.loads((directory / _SETTINGS).read_text(encoding="utf-8"))[name]
    container = found["container"] and containers.Container.from_json(found["container"])
    return Settings(container, found["is_last"])


def _with_artifacts(container: containers.Container, own: Sequence[str]) -> containers.Container:
    """Mounts what the task reads, and where it writes, as KFP tells its executor: IR's ExecutorInput."""
    told = json.loads(own[own.index("--executor_input") + 1])
    groups = told.get("inputs", {}).get("artifacts", {}).values()
    inputs = [containers.Mount(artifact["uri"]) for group in groups for artifact in group["artifacts"]]
    outputs = Path(told["outputs"]["outputFile"]).parent
    outputs.mkdir(parents=True, exist_ok=True)
    mounts = (*container.mounts, *inputs, containers.Mount(str(outputs), writable=True))
    return dataclasses.replace(container, mounts=mounts)


def _run_process(own: Sequence[str], stoppable: containers.Stoppable) -> int:
    """Runs a command in a session of its own: Ctrl-C is the launcher's, and what it starts ends with it."""
    with subprocess.Popen(
        own, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    ) as process:
        assert process.stdout is not None
        with stoppable(
            functools.partial(_signal, process, signal.SIGTERM),
            functools.partial(_signal, process, signal.SIGKILL),
        ):
            # Until the last of its processes has closed it: the first is a shell, which may end before them.
            for line in process.stdout:
                print(line.decode(errors="replace"), end="", flush=True)
            code = process.wait()
    return code if code >= 0 else 128 - code


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):  # all of them have ended
        os.killpg(process.pid, number)


def _say(event: Event) -> None:
    sys.stdout.write(f"{event.line()}\n")  # at once, for two threads write
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
