"""`mnist-pipeline submit`: a run on an environment's platform."""

import secrets
from pathlib import Path
from typing import Annotated

import typer

from components.errors import UsageError
from pipeline.commands import options, tables


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
    as_json: tables.Json = False,
) -> None:
    """Run the pipeline on an environment's platform; the same submission twice is one run."""
    from pipeline import environments

    options.check_retries(retries, wait=wait)
    environment = environments.load(env)
    if isinstance(environment, environments.LocalEnvironment):
        _run_here(environment.bucket_uri, parameter, parameters, dry_run=dry_run, as_json=as_json)
        return
    from pipeline.parameters import resolve
    from pipeline.platforms.opening import open_platform
    from pipeline.platforms.submission import attempts, describe, fallbacks, package_for, submission_for

    package = package_for(environment)
    values = resolve(package.documents[0], parameter, parameters, fallbacks=fallbacks(environment))
    identity = _identity(run_id, again=again)
    submission = submission_for(environment, package, values, identity)
    if dry_run:
        _show(describe(environment, submission), as_json=as_json)
        typer.echo("nothing was sent", err=True)
        return
    wanted = attempts(environment, submission, identity, retries)
    platform = open_platform(environment)
    options.launch(platform, wanted, wait=wait, timeout=timeout, poll=poll, as_json=as_json)


def _identity(run_id: str, *, again: bool) -> str:
    if run_id and again:
        raise UsageError("--id and --again: give one of them")
    return secrets.token_hex(8) if again else run_id


def _show(described: tables.Record, *, as_json: bool) -> None:
    own = ((name, described[name]) for name in ("environment", "run", "version", "nodes"))
    images = ((f"image {name}", reference) for name, reference in described["images"].items())
    tables.print_facts(described, as_json=as_json, rows=[*own, *images, *described["parameters"].items()])


def _run_here(
    bucket_uri: str, parameter: list[str], parameters: list[Path], *, dry_run: bool, as_json: bool
) -> None:
    from pipeline.local.launch import Launch, launch

    wanted = Launch(assignments=parameter, files=parameters, fallback_bucket=bucket_uri)
    if dry_run:
        values = wanted.parameters()
        tables.print_facts({"parameters": values}, as_json=as_json, rows=values.items())
        typer.echo("nothing was run", err=True)
        return
    launch(wanted)
