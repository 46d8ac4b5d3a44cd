"""Schedules as files: read, checked against their environment, and made ready to be sent."""

import datetime
import hashlib
import itertools
import json
import re
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from components.errors import UsageError
from pipeline import environments, yaml_mapping
from pipeline.environments import KfpEnvironment, RemoteEnvironment
from pipeline.platforms.platform import DeclaredSchedule, Submission
from pipeline.schedules.cron import Cron, parse, zone_named

FILES_DIR = Path(__file__).parent
_DIGITS = 16


class ScheduleFile(BaseModel):
    """One schedule as its author writes it; the file's name is the schedule's.

    Attributes:
      environment: the name of the environment whose platform holds it.
      cron: five fields, read on the clock of `time_zone`.
      time_zone: IANA name; on Kubeflow it must be the cluster's.
      parameters: of the pipeline, beside its defaults.
      max_concurrency: runs of this schedule at one time.
      catch_up: whether runs that a pause has missed are made up for, all of them.
      enabled: a disabled schedule exists and does not fire.
      allow_frequent: accept fire times less than an hour apart.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    name: str
    path: Path
    environment: str
    cron: str
    time_zone: str
    parameters: dict[str, Any] = {}
    max_concurrency: int = Field(default=1, ge=1, le=10)
    catch_up: bool = False
    enabled: bool = True
    allow_frequent: bool = False

    def expression(self) -> Cron:
        """Returns the checked cron expression."""
        return parse(self.cron, where=f"{self.path}: cron", allow_frequent=self.allow_frequent)


def names(files_dir: Path = FILES_DIR) -> list[str]:
    """Returns the names of the schedules that have a file."""
    return sorted(path.stem for path in files_dir.glob("*.yaml"))


def load_all(files_dir: Path = FILES_DIR) -> dict[str, ScheduleFile]:
    """Reads every schedule file, by name.

    Raises:
      UsageError: every wrong key of the first wrong file, in one line.
    """
    return {name: load(files_dir / f"{name}.yaml") for name in names(files_dir)}


def named(name: str, files_dir: Path = FILES_DIR) -> ScheduleFile:
    """Reads the schedule file of that name."""
    known = names(files_dir)
    if name not in known:
        raise UsageError(f"{name}: no such schedule in {files_dir}; known: {', '.join(known) or 'none'}")
    return load(files_dir / f"{name}.yaml")


def load(path: Path) -> ScheduleFile:
    """Reads one schedule file and checks all of it that needs no environment."""
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?", path.stem):
        raise UsageError(f"{path}: a schedule's name must be of a-z 0-9 -, at most 40 of them")
    content = yaml_mapping.read(path)
    for key in ("name", "path"):
        if key in content:
            raise UsageError(f"{path}: {key}: no such key")
    try:
        schedule = ScheduleFile(**content, name=path.stem, path=path)
    except ValidationError as error:
        raise UsageError("; ".join(environments.described(path, line) for line in error.errors())) from None
    schedule.expression()
    zone_named(schedule.time_zone, where=f"{path}: time_zone")
    return schedule


def declare(
    schedule: ScheduleFile, environment: RemoteEnvironment, submission: Submission
) -> DeclaredSchedule:
    """Makes a schedule ready for its environment's platform.

    Args:
      schedule: the file.
      environment: the one that it names.
      submission: the run that it starts.

    Raises:
      UsageError: its time zone is not the KFP cluster's.
    """
    expression = schedule.expression()
    if isinstance(environment, KfpEnvironment):
        if schedule.time_zone != environment.time_zone:
            raise UsageError(
                f"{schedule.path}: time_zone={schedule.time_zone}: the cluster of {environment.name} reads "
                f"every cron in {environment.time_zone}; write that, and the cron for it"
            )
        target_cron = expression.for_kfp()
    else:
        target_cron = expression.for_vertex(schedule.time_zone)
    sent = {
        "cron": target_cron,
        "max_concurrency": schedule.max_concurrency,
        "catch_up": schedule.catch_up,
        "pipeline": hashlib.sha256(submission.package.text.encode()).hexdigest(),
        "parameters": dict(submission.parameters),
        "place": _place(environment),
    }
    digest = hashlib.sha256(json.dumps(sent, sort_keys=True).encode()).hexdigest()[:_DIGITS]
    return DeclaredSchedule(
        name=schedule.name,
        digest=digest,
        cron=target_cron,
        max_concurrency=schedule.max_concurrency,
        catch_up=schedule.catch_up,
        enabled=schedule.enabled,
        submission=submission,
    )


def _place(environment: RemoteEnvironment) -> dict[str, str | None]:
    """What of the environment is part of every run that a schedule starts."""
    keys = ("pipeline_root", "service_account", "experiment", "network")
    return {key: getattr(environment, key, None) for key in keys}


def fire_times(schedule: ScheduleFile, after: datetime.datetime, count: int) -> list[datetime.datetime]:
    """Returns the next `count` fire times in the schedule's zone."""
    times = schedule.expression().fire_times(zone_named(schedule.time_zone), after)
    return list(itertools.islice(times, count))


def latest_fire_time(schedule: ScheduleFile, now: datetime.datetime) -> datetime.datetime:
    """Returns the last fire time that is not later than `now`, in the schedule's zone."""
    return schedule.expression().latest_fire_time(zone_named(schedule.time_zone), now)
