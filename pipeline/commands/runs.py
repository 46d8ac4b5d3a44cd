"""`mnist-pipeline runs list|show|cancel`: runs on an environment's platform."""

from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.commands import options, tables

if TYPE_CHECKING:
    from pipeline.platforms.platform import Run

RunId = Annotated[str, typer.Argument(metavar="RUN", help="The run's id, as `runs list` shows it.")]

runs_app = typer.Typer(no_args_is_help=True, help="Runs on an environment's platform: list, show, cancel.")


@runs_app.command(name="list")
def runs_list(
    env: options.Env,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many.")] = 20,
    as_json: tables.Json = False,
) -> None:
    """List an environment's newest runs."""
    from pipeline.platforms.opening import open_platform

    runs = open_platform(options.remote_environment(env)).runs(limit)
    # A platform lists runs without their tasks and errors.
    columns = ("created_at", "state", "run_id", "name")
    tables.print_list([options.run_record(run, "tasks", "error") for run in runs], columns, as_json=as_json)


@runs_app.command(name="show")
def runs_show(
    run: RunId,
    env: options.Env,
    wait: options.Wait = False,
    timeout: options.Timeout = options.DAY,
    poll: options.Poll = 10.0,
    as_json: tables.Json = False,
) -> None:
    """Show a run and the states of its tasks."""
    from pipeline.platforms import watching
    from pipeline.platforms.opening import open_platform

    platform = open_platform(options.remote_environment(env))
    if not wait:
        _show(platform.run(run), as_json=as_json)
    elif as_json:
        ended = options.watched(platform, run, timeout, poll, report=options.whisper)
        _show(ended, as_json=True)
        watching.check_succeeded(ended)
    else:
        options.wait_for(platform, run, timeout, poll)


def _show(run: "Run", *, as_json: bool) -> None:
    from pipeline.platforms import watching

    own = ((name, text) for name, text in options.run_record(run, "tasks").items() if text)
    tasks = ((f"task {task.name}", watching.described(task)) for task in run.tasks)
    tables.print_facts(options.run_record(run), as_json=as_json, rows=[*own, *tasks])


@runs_app.command(name="cancel")
def runs_cancel(run: RunId, env: options.Env) -> None:
    """Cancel a run; one that has ended stays as it is."""
    from pipeline.platforms import watching
    from pipeline.platforms.opening import open_platform
    from pipeline.platforms.platform import FINAL_STATES, repeatedly

    platform = open_platform(options.remote_environment(env))
    before = repeatedly(lambda: platform.run(run)).state
    after = watching.cancel_run(platform, run)
    if before in FINAL_STATES:
        typer.echo(f"{run}: has ended already: {before}")
    else:
        typer.echo(
            f"{run}: {'canceling' if after.startswith('CANCEL') else f'asked to cancel; {after} so far'}"
        )
