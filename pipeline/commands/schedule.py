"""The commands for schedules: files in pipeline/schedules, made true on an environment's platform."""

import dataclasses
import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from components.errors import UsageError
from pipeline.commands import options, tables

if TYPE_CHECKING:
    from pipeline.environments import RemoteEnvironment
    from pipeline.platforms.platform import DeclaredSchedule
    from pipeline.schedules.files import ScheduleFile

schedule_app = typer.Typer(no_args_is_help=True, help="Scheduled retraining, declared in pipeline/schedules.")

Names = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[NAME]…",
        help="Only these; all of the environment otherwise.",
        autocompletion=options.schedule_names,
    ),
]
Name = Annotated[
    str, typer.Argument(metavar="NAME", help="A schedule.", autocompletion=options.schedule_names)
]


def _files(environment: "RemoteEnvironment", names: list[str] | None) -> "list[ScheduleFile]":
    from pipeline.schedules import files

    if not names:
        declared = files.load_all().values()
        return [schedule for schedule in declared if schedule.environment == environment.name]
    chosen = [files.named(name) for name in names]
    for schedule in chosen:
        if schedule.environment != environment.name:
            raise UsageError(f"{schedule.path}: environment={schedule.environment}, not {environment.name}")
    return chosen


def _declared(environment: "RemoteEnvironment", schedules: "list[ScheduleFile]") -> "list[DeclaredSchedule]":
    """Compiles once, and checks every schedule before the first one is touched."""
    from pipeline.parameters import resolve
    from pipeline.platforms.submission import fallbacks, package_for, submission_for
    from pipeline.schedules import files

    if not schedules:
        return []
    package = package_for(environment)
    declared = []
    for schedule in schedules:
        values = resolve(
            package.documents[0],
            [],
            fallbacks=fallbacks(environment),
            mappings={f"{schedule.path}: parameters": schedule.parameters},
        )
        submission = submission_for(environment, package, values, schedule.name)
        declared.append(files.declare(schedule, environment, submission))
    return declared


@schedule_app.command()
def plan(env: options.Env, names: Names = None, as_json: tables.Json = False) -> None:
    """Show what apply and prune would do; change nothing."""
    from pipeline.platforms.opening import open_platform
    from pipeline.schedules import converge

    environment = options.remote_environment(env)
    declared = _declared(environment, _files(environment, names))
    platform = open_platform(environment)
    stored = platform.schedules()
    outcomes = {}
    for wanted in declared:
        held = [row for row in stored if row.name == wanted.name]
        outcomes[wanted.name] = converge.outcome(wanted, held, creates_enabled=platform.creates_enabled)
    if not names:
        for name in sorted({row.name for row in stored} - outcomes.keys()):
            outcomes[name] = "would be pruned: it has no file"
    records = [{"name": name, "outcome": outcome} for name, outcome in outcomes.items()]
    tables.print_list(records, ("name", "outcome"), as_json=as_json)


@schedule_app.command()
def apply(env: options.Env, names: Names = None) -> None:
    """Make the platform hold what the files declare; safe to repeat and to interrupt."""
    from pipeline.platforms.opening import open_platform
    from pipeline.schedules import converge

    environment = options.remote_environment(env)
    declared = _declared(environment, _files(environment, names))
    if not declared:
        typer.echo(f"no file in pipeline/schedules names environment {env}")
        return
    platform = open_platform(environment)
    for wanted in declared:
        typer.echo(f"{wanted.name:<20} {converge.apply(platform, wanted, options.whisper)}")


@schedule_app.command()
def prune(env: options.Env) -> None:
    """Delete this environment's schedules that have no file; others' are never touched."""
    from pipeline.platforms.opening import open_platform
    from pipeline.schedules import converge

    environment = options.remote_environment(env)
    kept = {file.name for file in _files(environment, None)}
    for name in converge.prune(open_platform(environment), kept, options.whisper):
        typer.echo(f"{name:<20} deleted")


@schedule_app.command(name="list")
def list_(env: options.Env, as_json: tables.Json = False) -> None:
    """List the schedules that the platform holds for this environment."""
    from pipeline.platforms.opening import open_platform

    rows = open_platform(options.remote_environment(env)).schedules()
    columns = ("name", "enabled", "cron", "digest", "schedule_id")
    tables.print_list([dataclasses.asdict(row) for row in rows], columns, as_json=as_json)


@schedule_app.command()
def pause(name: Name, env: options.Env) -> None:
    """Stop a schedule from firing, until resume or the next apply; for good, set enabled: false."""
    from pipeline.platforms.opening import open_platform
    from pipeline.schedules import converge

    changed = converge.pause(open_platform(options.remote_environment(env)), name, options.whisper)
    typer.echo(f"{name:<20} {'paused' if changed else 'was paused already'}")


@schedule_app.command()
def resume(
    name: Name,
    env: options.Env,
    catch_up: Annotated[bool, typer.Option("--catch-up", help="Vertex AI: run what was missed.")] = False,
) -> None:
    """Let a paused schedule fire again."""
    from pipeline.environments import KfpEnvironment
    from pipeline.platforms.opening import open_platform
    from pipeline.schedules import converge

    environment = options.remote_environment(env)
    if catch_up and isinstance(environment, KfpEnvironment):
        raise UsageError(
            "--catch-up: Kubeflow Pipelines goes by the schedule's own catch_up; set that and apply"
        )
    was_paused = converge.resume(open_platform(environment), name, options.whisper, catch_up=catch_up)
    typer.echo(f"{name:<20} {'resumed' if was_paused else 'was enabled already'}")


@schedule_app.command()
def delete(name: Name, env: options.Env) -> None:
    """Delete a schedule from the platform; its file brings it back with the next apply."""
    from pipeline.platforms.opening import open_platform
    from pipeline.schedules import converge

    count = converge.delete(open_platform(options.remote_environment(env)), name, options.whisper)
    typer.echo(f"{name:<20} {'deleted' if count else 'was not there'}")


@schedule_app.command(name="run-now")
def run_now(
    name: Name,
    env: options.Env,
    again: Annotated[bool, typer.Option("--again", help="Another one, each time.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Show tasks as they change; exit by the end.")] = False,
    retries: options.Retries = 0,
    timeout: options.Timeout = options.DAY,
    poll: options.Poll = 10.0,
    as_json: tables.Json = False,
) -> None:
    """Start a schedule's run now; once between two of its fire times, however often it is asked."""
    import secrets

    from pipeline.platforms.opening import open_platform
    from pipeline.platforms.submission import attempts, renamed
    from pipeline.schedules import files

    options.check_retries(retries, wait=wait)
    environment = options.remote_environment(env)
    [schedule] = _files(environment, [name])
    [declared] = _declared(environment, [schedule])
    due = files.latest_fire_time(schedule, datetime.datetime.now(datetime.UTC))
    run_id = secrets.token_hex(8) if again else f"{name} {due.isoformat()}"
    wanted = attempts(environment, renamed(environment, declared.submission, run_id), run_id, retries)
    options.launch(open_platform(environment), wanted, wait=wait, timeout=timeout, poll=poll, as_json=as_json)


@schedule_app.command()
def preview(
    name: Name,
    count: Annotated[int, typer.Option("--count", "-n", min=1, max=1000)] = 10,
    as_json: tables.Json = False,
) -> None:
    """Print a schedule's next fire times in its own zone and in UTC."""
    from pipeline.schedules import files

    schedule = files.named(name)
    times = files.fire_times(schedule, datetime.datetime.now(datetime.UTC), count)
    records = [
        {
            "local": at.isoformat(),
            "time_zone": schedule.time_zone,
            "utc": at.astimezone(datetime.UTC).isoformat(),
        }
        for at in times
    ]
    tables.print_list(records, ("local", "time_zone", "utc"), as_json=as_json, row=_fire_time)


def _fire_time(record: tables.Record) -> tuple[str, str, str]:
    local, utc = (datetime.datetime.fromisoformat(record[name]) for name in ("local", "utc"))
    return f"{local:%a %Y-%m-%d %H:%M %z}", record["time_zone"], f"{utc:%Y-%m-%d %H:%M} UTC"
