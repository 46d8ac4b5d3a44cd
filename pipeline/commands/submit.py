"""`mnist-pipeline submit`: a run on an environment's platform."""

import secrets
from pathlib import Path
from typing import Annotated

import typer

from components.errors import UsageError
from pipeline.commands import options


def submit(
    env: options.Env,
    parameter: options.Assignments = [],  # noqa: B006  # typer reads it, nobody changes it
    parameters: options.ParameterFiles = [],  # noqa: B006
    wait: options.Wait = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be sent, and send nothing.")
    ] = False,
    run_id: Annotated[
        str, typer.Option("--id", metavar="TEXT", help="Makes another run of the same; once per TEXT.")
    ] = "",
    again: Annotated[bool, typer.Option("--again", help="Makes another run of the same, each time.")] = False,
    retries: options.Retries = 0,
    timeout: options.Timeout = options.DAY,
    poll: options.Poll = 10.0,
) -> None:
    """Run the pipeline on an environment's platform; the same submission twice is one run."""
    from pipeline import environments

    options.check_retries(retries, wait=wait)
    environment = environments.load(env)
    if isinstance(environment, environments.LocalEnvironment):
        _run_here(environment.bucket_uri, parameter, parameters, dry_run=dry_run)
        return
    from pipeline.parameters import resolve
    from pipeline.platforms.opening import open_platform
    from pipeline.platforms.submission import attempts, describe, fallbacks, package_for, submission_for

    package = package_for(environment)
    values = resolve(package.documents[0], parameter, parameters, fallbacks=fallbacks(environment))
    identity = _identity(run_id, again=again)
    submission = submission_for(environment, package, values, identity)
    if dry_run:
        typer.echo(describe(environment, submission))
        typer.echo("nothing was sent")
        return
    wanted = attempts(environment, submission, identity, retries)
    options.launch(open_platform(environment), wanted, wait=wait, timeout=timeout, poll=poll)


def _identity(run_id: str, *, again: bool) -> str:
    if run_id and again:
        raise UsageError("--id and --again: give one of them")
    return secrets.token_hex(8) if again else run_id


def _run_here(bucket_uri: str, parameter: list[str], parameters: list[Path], *, dry_run: bool) -> None:
    from pipeline.local.launch import Launch, launch

    wanted = Launch(assignments=parameter, files=parameters, fallback_bucket=bucket_uri)
    if dry_run:
        typer.echo("\n".join(f"{name:<17} {value!r}" for name, value in wanted.parameters().items()))
        typer.echo("nothing was run")
        return
    launch(wanted)
