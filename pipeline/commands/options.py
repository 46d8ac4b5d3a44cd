"""Options that several commands take, and what several commands do with them."""

import dataclasses
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from components.errors import UsageError
from pipeline import home
from pipeline.commands import tables

if TYPE_CHECKING:
    from pipeline.environments import RemoteEnvironment
    from pipeline.platforms.platform import Platform, Run, Submission

DAY = 24 * 3600.0


def environment_names(incomplete: str) -> list[str]:
    """Returns the environments whose names begin so."""
    from pipeline import environments

    return [name for name in environments.names() if name.startswith(incomplete)]


def schedule_names(incomplete: str) -> list[str]:
    """Returns the schedules whose names begin so."""
    from pipeline.schedules import files

    return [name for name in files.names() if name.startswith(incomplete)]


def parameter_names(incomplete: str) -> list[str]:
    """Returns the pipeline's parameters whose names begin so, each with its `=`."""
    from pipeline.dag import INPUTS

    names = [f"{name}=" for kind in INPUTS for name in kind.names()]
    return [name for name in names if name.startswith(incomplete)]


def at_home(value: Any) -> Any:
    """Expands `~` in what an option was given: a path, several, or none."""
    if isinstance(value, list):
        return [home.expanded(each) for each in value]
    return value if value is None else home.expanded(value)


Assignments = Annotated[
    list[str],
    typer.Option(
        "-p",
        "--parameter",
        metavar="NAME=VALUE",
        help="Set a pipeline parameter, of those that `params` lists; repeatable.",
        autocompletion=parameter_names,
    ),
]
ParameterFiles = Annotated[
    list[Path],
    typer.Option(
        "--parameters", metavar="FILE", callback=at_home, help="YAML file of parameters; -p beats it."
    ),
]
Registry = Annotated[str, typer.Option(help="Where the images are, as registry.example/team.")]
Tag = Annotated[str, typer.Option(help="The images' tag; the checkout's git SHA if not given.")]
Digests = Annotated[
    Path | None,
    typer.Option(metavar="FILE", callback=at_home, help="Pin images by digest, from what `make push` wrote."),
]
VerifyKey = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        callback=at_home,
        help="Public key (PEM) that signatures must verify with; the bucket's if not given.",
    ),
]
Env = Annotated[
    str,
    typer.Option(
        "--env",
        metavar="NAME",
        help="An environment; `env list` names them.",
        autocompletion=environment_names,
    ),
]
Wait = Annotated[bool, typer.Option("--wait", help="Show tasks as they change; exit by the end.")]
Timeout = Annotated[
    float, typer.Option(min=0, max=366 * DAY, metavar="SECONDS", help="How long --wait waits.")
]
Retries = Annotated[
    int,
    typer.Option(
        min=0,
        max=100,
        metavar="N",
        help="With --wait: submit again, at most N times, a run that was interrupted; train goes on from its "
        "checkpoint if checkpoint_uri is set. What would only happen again is not.",
    ),
]
Poll = Annotated[float, typer.Option(min=0, max=DAY, metavar="SECONDS", help="How often --wait looks.")]


def remote_environment(name: str) -> "RemoteEnvironment":
    """Loads an environment that has a platform.

    Raises:
      UsageError: there is none of that name, or it is this machine.
    """
    from pipeline import environments

    environment = environments.load(name)
    if isinstance(environment, environments.LocalEnvironment):
        raise UsageError(f"--env={name}: target local runs here and keeps neither runs nor schedules")
    return environment


def launch(
    platform: "Platform",
    attempts: "Sequence[Submission]",
    *,
    wait: bool,
    timeout: float,
    poll: float,
    as_json: bool,
) -> None:
    """Submits a run and, if it is to be waited for and was interrupted, the next of its attempts.

    Raises:
      PipelineError: the last of them was waited for, and did not end with success.
    """
    from pipeline.platforms import failures, watching

    deadline = time.monotonic() + timeout
    report = whisper if as_json else typer.echo  # one JSON value on stdout, about the last of the runs
    for number, attempt in enumerate(attempts, 1):
        run, is_new = platform.submit(attempt)
        _report_submitted(run, report, is_new=is_new)
        if not wait:
            break
        run = watched(platform, run.run_id, deadline - time.monotonic(), poll, report)
        if number == len(attempts) or not failures.is_resumable(run):
            break
        report(f"run {run.run_id} was interrupted; retry {number} of {len(attempts) - 1}")
    if as_json:
        tables.print_facts({**run_record(run), "is_new": is_new}, as_json=True)
    if wait:
        watching.check_succeeded(run)


def _report_submitted(run: "Run", report: Callable[[str], None], *, is_new: bool) -> None:
    if is_new:
        report(f"submitted: {run.run_id}")
    else:
        report(f"submitted before: {run.run_id}, {run.state}; --again makes another run of the same")
    report(run.url)


def run_record(run: "Run", *without: str) -> dict[str, Any]:
    """Returns a run as JSON values."""
    return {name: value for name, value in dataclasses.asdict(run).items() if name not in without}


def check_retries(retries: int, *, wait: bool) -> None:
    """Raises UsageError for retries of a run that nobody waits for."""
    if retries and not wait:
        raise UsageError(f"--retries={retries}: needs --wait, which sees how the run ends")


def wait_for(platform: "Platform", run_id: str, timeout: float, poll: float) -> None:
    """Shows task states as they change; raises unless the run ends with success."""
    from pipeline.platforms import watching

    watching.check_succeeded(watched(platform, run_id, timeout, poll))


def watched(
    platform: "Platform",
    run_id: str,
    timeout: float,
    poll: float,
    report: Callable[[str], None] = typer.echo,
) -> "Run":
    """Shows task states as they change; returns the run when it has ended."""
    from pipeline.platforms import watching

    try:
        return watching.watch(platform, run_id, report, timeout_seconds=timeout, poll_seconds=poll)
    except KeyboardInterrupt:
        typer.echo(f"the run goes on; `runs cancel {run_id}` ends it", err=True)
        raise


def whisper(line: str) -> None:
    """Says on stderr what happens meanwhile; stdout keeps what the command is asked for."""
    typer.secho(line, err=True, dim=True)
