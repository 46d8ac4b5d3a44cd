"""`mnist-pipeline env list|check`: where runs can go."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from components.errors import PipelineError, UsageError
from pipeline.commands import options, tables

if TYPE_CHECKING:
    from pipeline.environments import RemoteEnvironment

env_app = typer.Typer(no_args_is_help=True, help="Where runs can go: list the environments, check one.")


@env_app.command(name="list")
def env_list(as_json: tables.Json = False) -> None:
    """List the environments and what they point at."""
    from pipeline import environments

    records = [_listed(name) for name in environments.names()]
    tables.print_list(
        records,
        ("name", "target"),
        as_json=as_json,
        row=lambda record: (record["name"], record["error"] or record["target"]),
    )


def _listed(name: str) -> dict[str, Any]:
    from pipeline import environments

    try:
        return {"name": name, "target": environments.load(name).target, "error": None}
    except UsageError as error:
        return {"name": name, "target": None, "error": str(error)}


@env_app.command(name="check")
def env_check(
    name: Annotated[str, typer.Argument(help="An environment.", autocompletion=options.environment_names)],
    connect: Annotated[
        bool, typer.Option("--connect", help="Ask the platform too, changing nothing.")
    ] = False,
    as_json: tables.Json = False,
) -> None:
    """Say what is wrong with an environment, before anything is sent."""
    from pipeline import environments

    environment = environments.load(name)
    problems, hint = [], ""
    if not isinstance(environment, environments.LocalEnvironment):
        problems = _problems(environment, connect=connect)
        hint = "" if connect else "; --connect asks the platform too"
    if as_json:
        found = [{"message": str(problem), "exit_code": problem.exit_code} for problem in problems]
        tables.print_facts({"name": name, "problems": found}, as_json=True)
    for problem in problems[:-1]:
        typer.echo(f"error: {problem}", err=True)
    if problems:
        raise problems[-1]
    if not as_json:
        typer.echo(f"{name}: fine{hint}")


def _problems(environment: "RemoteEnvironment", *, connect: bool) -> list[PipelineError]:
    from pipeline import environments
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
    return problems
