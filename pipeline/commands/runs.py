"""`mnist-pipeline runs list|show|cancel`: runs on an environment's platform."""

from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.commands import options

if TYPE_CHECKING:
    from pipeline.platforms.platform import Run

RunId = Annotated[str, typer.Argument(metavar="RUN", help="The run's id, as `runs list` shows it.")]

runs_app = typer.Typer(no_args_is_help=True, help="Runs on an environment's platform: list, show, cancel.")


@runs_app.command(name="list")
def runs_list(
    env: options.Env, limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many.")] = 20
) -> None:
    """List an environment's newest runs."""
    from pipeline.platforms.opening import open_platform

    for run in open_platform(options.remote_environment(env)).runs(limit):
        typer.echo(f"{run.created_at or '-':<21} {run.state:<10} {run.run_id}  {run.name}")


@runs_app.command(name="show")
def runs_show(
    run: RunId,
    env: options.Env,
    wait: options.Wait = False,
    timeout: options.Timeout = options.DAY,
    poll: options.Poll = 10.0,
) -> None:
    """Show a run and the states of its tasks."""
    from pipeline.platforms.opening import open_platform

    platform = open_platform(options.remote_environment(env))
    if wait:
        options.wait_for(platform, run, timeout, poll)
        return
    _show(platform.run(run))


def _show(run: "Run") -> None:
    from pipeline.platforms import watching

    rows = [
        ("run", run.run_id),
        ("name", run.name),
        ("state", run.state),
        ("created", run.created_at),
        ("finished", run.finished_at),
        ("error", run.error),
        ("url", run.url),
        *((f"task {task.name}", watching.described(task)) for task in run.tasks),
    ]
    for name, text in rows:
        if text:
            typer.echo(f"{name:<17} {text}")


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
