"""Options that several commands take, and what several commands do with them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from components.errors import UsageError

if TYPE_CHECKING:
    from pipeline.environments import RemoteEnvironment
    from pipeline.platforms.platform import Platform, Run

DAY = 24 * 3600.0

Assignments = Annotated[
    list[str],
    typer.Option("-p", "--parameter", metavar="NAME=VALUE", help="Set a pipeline parameter; repeatable."),
]
ParameterFiles = Annotated[
    list[Path], typer.Option("--parameters", metavar="FILE", help="YAML file of parameters; -p beats it.")
]
Registry = Annotated[str, typer.Option(help="Where the images are, as registry.example/team.")]
Tag = Annotated[str, typer.Option(help="The images' tag; the checkout's git SHA if not given.")]
Digests = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Pin images by digest, from what `make push` wrote.")
]
VerifyKey = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="Public key (PEM) that signatures must verify with; the bucket's if not given."
    ),
]
Env = Annotated[str, typer.Option("--env", metavar="NAME", help="An environment; `env list` names them.")]
Wait = Annotated[bool, typer.Option("--wait", help="Show tasks as they change; exit by the end.")]
Timeout = Annotated[float, typer.Option(min=0, metavar="SECONDS", help="How long --wait waits.")]
Poll = Annotated[float, typer.Option(min=0, metavar="SECONDS", help="How often --wait looks.")]


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


def report_submitted(run: "Run", *, is_new: bool) -> None:
    """Prints the run's id and URL, and says when it was there before."""
    if is_new:
        typer.echo(f"submitted: {run.run_id}")
    else:
        typer.echo(f"submitted before: {run.run_id}, {run.state}; --again makes another run of the same")
    typer.echo(run.url)


def wait_for(platform: "Platform", run_id: str, timeout: float, poll: float) -> None:
    """Shows task states as they change; raises unless the run ends with success."""
    from pipeline.platforms import watching

    try:
        ended = watching.watch(platform, run_id, typer.echo, timeout_seconds=timeout, poll_seconds=poll)
    except KeyboardInterrupt:
        typer.echo(f"the run goes on; `runs cancel {run_id}` ends it", err=True)
        raise
    watching.check_succeeded(ended)
