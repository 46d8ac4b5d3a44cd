"""The commands that send runs: `submit`, `env`, `runs`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from components.errors import PipelineError, UsageError

if TYPE_CHECKING:
    from pipeline.environments import RemoteEnvironment
    from pipeline.platforms import Platform, Run

DAY = 24 * 3600.0

env_app = typer.Typer(no_args_is_help=True, help="Where runs can go: list the environments, check one.")
runs_app = typer.Typer(no_args_is_help=True, help="Runs on an environment's platform: list, show, cancel.")

Env = Annotated[str, typer.Option("--env", metavar="NAME", help="An environment; `env list` names them.")]
RunId = Annotated[str, typer.Argument(metavar="RUN", help="The run's id, as `runs list` shows it.")]
Timeout = Annotated[float, typer.Option(min=0, metavar="SECONDS", help="How long --wait waits.")]
Poll = Annotated[float, typer.Option(min=0, metavar="SECONDS", help="How often --wait looks.")]


def submit(
    env: Env,
    parameter: Annotated[
        list[str],
        typer.Option("-p", "--parameter", metavar="NAME=VALUE", help="Set a pipeline parameter; repeatable."),
    ] = [],  # noqa: B006  # typer reads it, nobody changes it
    parameters: Annotated[
        list[Path], typer.Option("--parameters", metavar="FILE", help="YAML file of parameters; -p beats it.")
    ] = [],  # noqa: B006
    wait: Annotated[bool, typer.Option("--wait", help="Show tasks as they change; exit by the end.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be sent, and send nothing.")
    ] = False,
    run_id: Annotated[
        str, typer.Option("--id", metavar="TEXT", help="Makes another run of the same; once per TEXT.")
    ] = "",
    again: Annotated[bool, typer.Option("--again", help="Makes another run of the same, each time.")] = False,
    timeout: Timeout = DAY,
    poll: Poll = 10.0,
) -> None:
    """Run the pipeline on an environment's platform; the same submission twice is one run."""
    from pipeline import environments

    environment = environments.load(env)
    if isinstance(environment, environments.LocalEnvironment):
        _run_here(environment.bucket_uri, parameter, parameters, dry_run=dry_run)
        return
    from pipeline.parameters import resolve
    from pipeline.platforms import open_platform
    from pipeline.submit import describe, fallbacks, package_for, submission_for

    package = package_for(environment)
    values = resolve(package.documents[0], parameter, parameters, fallbacks=fallbacks(environment))
    submission = submission_for(environment, package, values, _identity(run_id, again=again))
    if dry_run:
        typer.echo(describe(environment, submission))
        typer.echo("nothing was sent")
        return
    platform = open_platform(environment)
    run, is_new = platform.submit(submission)
    report_submitted(run, is_new=is_new)
    if wait:
        wait_for(platform, run.run_id, timeout, poll)


def report_submitted(run: "Run", *, is_new: bool) -> None:
    """Prints the run's id and URL, and says when it was there before."""
    if is_new:
        typer.echo(f"submitted: {run.run_id}")
    else:
        typer.echo(f"submitted before: {run.run_id}, {run.state}; --again makes another run of the same")
    typer.echo(run.url)


def _identity(run_id: str, *, again: bool) -> str:
    import secrets

    if run_id and again:
        raise UsageError("--id and --again: give one of them")
    return secrets.token_hex(8) if again else run_id


def _run_here(bucket_uri: str, parameter: list[str], parameters: list[Path], *, dry_run: bool) -> None:
    from pipeline import cli, yaml_mapping

    if dry_run:
        from pipeline.compile import local_spec
        from pipeline.parameters import resolve

        values = resolve(local_spec(), parameter, parameters, fallbacks={"bucket_uri": bucket_uri})
        typer.echo("\n".join(f"{name:<17} {value!r}" for name, value in values.items()))
        typer.echo("nothing was run")
        return
    given = [text.partition("=")[0] for text in parameter]
    given += [name for path in parameters for name in yaml_mapping.read(path)]
    bucket = "" if "bucket_uri" in given else bucket_uri
    cli.run(parameter=parameter, parameters=parameters, bucket=bucket)


def wait_for(platform: "Platform", run_id: str, timeout: float, poll: float) -> None:
    """Shows task states as they change; raises unless the run ends with success."""
    from pipeline import runs

    try:
        ended = runs.watch(platform, run_id, typer.echo, timeout_seconds=timeout, poll_seconds=poll)
    except KeyboardInterrupt:
        typer.echo(f"the run goes on; `runs cancel {run_id}` ends it", err=True)
        raise
    runs.check_succeeded(ended)


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


@env_app.command(name="list")
def env_list() -> None:
    """List the environments and what they point at."""
    from pipeline import environments

    for name in environments.names():
        try:
            typer.echo(f"{name:<20} {environments.load(name).target}")
        except UsageError as error:
            typer.echo(f"{name:<20} {error}")


@env_app.command(name="check")
def env_check(
    name: Annotated[str, typer.Argument(help="An environment.")],
    connect: Annotated[
        bool, typer.Option("--connect", help="Ask the platform too, changing nothing.")
    ] = False,
) -> None:
    """Say what is wrong with an environment, before anything is sent."""
    from pipeline import environments

    environment = environments.load(name)
    if isinstance(environment, environments.LocalEnvironment):
        typer.echo(f"{name}: fine")
        return
    from pipeline.platforms import open_platform
    from pipeline.submit import package_for

    problems: list[PipelineError] = []
    steps: list[Any] = [lambda: environments.check_credentials(environment), lambda: package_for(environment)]
    if connect:
        steps.append(lambda: open_platform(environment).check())
    for step in steps:
        try:
            step()
        except PipelineError as error:
            problems.append(error)
    for problem in problems[:-1]:
        typer.echo(f"error: {problem}", err=True)
    if problems:
        raise problems[-1]
    typer.echo(f"{name}: fine{'' if connect else '; --connect asks the platform too'}")


@runs_app.command(name="list")
def runs_list(
    env: Env, limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many.")] = 20
) -> None:
    """List an environment's newest runs."""
    from pipeline.platforms import open_platform

    for run in open_platform(remote_environment(env)).runs(limit):
        typer.echo(f"{run.created_at or '-':<21} {run.state:<10} {run.run_id}  {run.name}")


@runs_app.command(name="show")
def runs_show(
    run: RunId,
    env: Env,
    wait: Annotated[bool, typer.Option("--wait", help="Until it ends; exit by the end.")] = False,
    timeout: Timeout = DAY,
    poll: Poll = 10.0,
) -> None:
    """Show a run and the states of its tasks."""
    from pipeline.platforms import open_platform

    platform = open_platform(remote_environment(env))
    if wait:
        wait_for(platform, run, timeout, poll)
        return
    _show(platform.run(run))


def _show(run: "Run") -> None:
    rows = [
        ("run", run.run_id),
        ("name", run.name),
        ("state", run.state),
        ("created", run.created_at),
        ("finished", run.finished_at),
        ("error", run.error),
        ("url", run.url),
        *((f"task {name}", state) for name, state in run.tasks),
    ]
    for name, text in rows:
        if text:
            typer.echo(f"{name:<17} {text}")


@runs_app.command(name="cancel")
def runs_cancel(run: RunId, env: Env) -> None:
    """Cancel a run; one that has ended stays as it is."""
    from pipeline.platforms import FINAL_STATES, open_platform, repeatedly

    platform = open_platform(remote_environment(env))

    def cancel() -> str:
        state = platform.run(run).state
        if state not in FINAL_STATES and not state.startswith("CANCEL"):
            platform.cancel(run)
            return "canceling"
        return f"has ended already: {state}" if state in FINAL_STATES else "canceling"

    typer.echo(f"{run}: {repeatedly(cancel)}")
