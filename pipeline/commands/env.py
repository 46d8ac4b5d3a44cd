"""`mnist-pipeline env list|check`: where runs can go."""

from typing import Annotated, Any

import typer

from components.errors import PipelineError, UsageError
from pipeline.commands import options

env_app = typer.Typer(no_args_is_help=True, help="Where runs can go: list the environments, check one.")


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
    name: Annotated[str, typer.Argument(help="An environment.", autocompletion=options.environment_names)],
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
    from pipeline.platforms.opening import open_platform
    from pipeline.platforms.submission import package_for

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
