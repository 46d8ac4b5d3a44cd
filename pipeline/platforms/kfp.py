"""Kubeflow Pipelines as a platform, through `kfp.Client`.

The server has no client-chosen ids and no unique names for runs and recurring runs. A run is therefore known
by its name, a schedule by the digest in its description, and both are looked for before they are created.
"""

import contextlib
import dataclasses
import json
import re
import tempfile
import urllib.parse
from pathlib import Path

from components.errors import StorageError, UsageError
from pipeline.environments import KfpEnvironment
from pipeline.platforms import answers, failures, kfp_tasks
from pipeline.platforms.answers import Json
from pipeline.platforms.kfp_api import KfpApi
from pipeline.platforms.pages import run_page
from pipeline.platforms.platform import (
    OWNER,
    DeclaredSchedule,
    NotFoundError,
    Package,
    Run,
    StoredSchedule,
    Submission,
    Task,
    found_or_made,
    one_line,
    repeatedly,
    settled,
)

_SCHEDULED = (  # what a recurring run is made of
    "display_name",
    "description",
    "experiment_id",
    "pipeline_version_reference",
    "runtime_config",
    "service_account",
    "trigger",
    "max_concurrency",
    "no_catchup",
)
_MARK = re.compile(
    rf"{OWNER} schedule (?P<name>\S+) of (?P<environment>\S+), declaration (?P<digest>[0-9a-f]+)"
)


class KfpPlatform:
    """See `platforms.Platform`."""

    creates_enabled = False

    def __init__(self, environment: KfpEnvironment) -> None:
        self._environment = environment
        self._api = KfpApi(environment)
        self._client = self._api.client
        self._experiment_id: str | None = None
        self._scope = {"namespace": environment.namespace} if environment.namespace else {}

    def check(self) -> None:
        """See `platforms.Platform.check`."""
        if self._environment.namespace and not self._api.is_multi_user:
            raise UsageError(
                f"environment {self._environment.name}: namespace={self._environment.namespace}: "
                f"{self._environment.host} serves a single user and ignores it; leave it out"
            )
        listed = self._client.experiments.experiment_service_list_experiments
        self._api.first("experiments", listed, **self._scope)

    def submit(self, submission: Submission) -> tuple[Run, bool]:
        """See `platforms.Platform.submit`."""
        launch = self._launch(submission)
        api = self._client.runs

        def same_named() -> list[Json]:
            of_that_name = {"experiment_id": launch["experiment_id"], "filter": _named(submission.run_name)}
            rows = self._api.all("runs", api.run_service_list_runs, **of_that_name)
            return sorted(rows, key=lambda row: (answers.moment(row, "created_at"), self._id(row, "run_id")))

        def find() -> Json | None:
            return next(iter(same_named()), None)

        def make() -> Json:
            body = {"display_name": submission.run_name, **launch}
            return self._api.new("run_id", api.run_service_create_run, run=body)

        row, is_new = found_or_made(find, make)
        if is_new:
            first = next(iter(same_named()), row)
            if (
                first["run_id"] != row["run_id"]
            ):  # two callers at one moment: both keep the first, and only that
                repeatedly(lambda: self.cancel(row["run_id"]))
                return self._run(first), False
        return self._run(row), is_new

    def runs(self, limit: int) -> list[Run]:
        """See `platforms.Platform.runs`."""
        experiment_id = self._find_experiment()
        if experiment_id is None:
            return []
        listed = self._client.runs.run_service_list_runs
        newest = {"experiment_id": experiment_id, "sort_by": "created_at desc"}
        return [self._run(row) for row in self._api.all("runs", listed, limit, **newest)]

    def run(self, run_id: str) -> Run:
        """See `platforms.Platform.run`."""
        row = self._api.new("run_id", self._client.runs.run_service_get_run, run_id=run_id)
        run = self._run(row)
        manifest = self._api.manifest(run.run_id)
        traced = kfp_tasks.from_manifest(manifest)
        if not traced:
            rows = answers.rows(answers.part(row, "run_details"), "task_details")
            return dataclasses.replace(run, tasks=settled(kfp_tasks.from_rows(rows), run.state))
        tasks = settled((self._with_reason(run, each) for each in traced), run.state)
        return dataclasses.replace(run, tasks=tasks, error=run.error or kfp_tasks.trouble(manifest))

    def _with_reason(self, run: Run, traced: kfp_tasks.Traced) -> Task:
        """Lets a task that failed by itself say why: Argo knows only that its container did."""
        task = traced.task
        if task.state != "FAILED" or not traced.pod_name or failures.was_killed(task.reason):
            return task
        line = failures.error_line(self._api.log_tail(run.run_id, traced.pod_name))
        return dataclasses.replace(task, reason=line) if line else task

    def cancel(self, run_id: str) -> None:
        """See `platforms.Platform.cancel`."""
        self._api.ask(self._client.runs.run_service_terminate_run, run_id=run_id)

    def schedules(self) -> list[StoredSchedule]:
        """See `platforms.Platform.schedules`."""
        experiment_id = self._find_experiment()
        if experiment_id is None:
            return []
        listed = self._client.recurring_runs.recurring_run_service_list_recurring_runs
        rows = self._api.all("recurringRuns", listed, experiment_id=experiment_id)
        owned = [stored for row in rows if (stored := self._stored(row))]
        return sorted(owned, key=lambda stored: (stored.created_at, stored.schedule_id))

    def create_schedule(self, declared: DeclaredSchedule, *, enabled: bool) -> None:
        """See `platforms.Platform.create_schedule`; not repeated here: the caller looks again first."""
        mark = f"{OWNER} schedule {declared.name} of {self._environment.name}, declaration {declared.digest}"
        body = {
            "display_name": declared.name,
            "description": f"{mark}. Change its file and apply; what is changed here is replaced.",
            "trigger": {"cron_schedule": {"cron": declared.cron}},
            "max_concurrency": declared.max_concurrency,
            "no_catchup": not declared.catch_up,
            **self._launch(declared.submission),
        }
        self._create_recurring_run(body, enabled=enabled)

    def set_enabled(self, stored: StoredSchedule, enabled: bool, *, catch_up: bool) -> None:
        """See `platforms.Platform.set_enabled`; catching up was settled when the schedule was created.

        A recurring run that is enabled again fires at once for the last time that it has missed, whatever its
        `no_catchup` says. One that is made anew has missed nothing.
        """
        del catch_up
        api = self._client.recurring_runs
        if not enabled:
            disable = api.recurring_run_service_disable_recurring_run
            self._api.ask(disable, recurring_run_id=stored.schedule_id)
            return
        row = self._api.ask(api.recurring_run_service_get_recurring_run, recurring_run_id=stored.schedule_id)
        if row.get("no_catchup") is not True:
            enable = api.recurring_run_service_enable_recurring_run
            self._api.ask(enable, recurring_run_id=stored.schedule_id)
            return
        self._create_recurring_run({key: row[key] for key in _SCHEDULED if key in row}, enabled=True)
        self.delete_schedule(stored)

    def delete_schedule(self, stored: StoredSchedule) -> None:
        """See `platforms.Platform.delete_schedule`; what is not orphaned is deleted with what owns it."""
        delete = self._client.recurring_runs.recurring_run_service_delete_recurring_run
        with contextlib.suppress(NotFoundError):
            self._api.ask(delete, recurring_run_id=stored.schedule_id, propagation_policy="ORPHAN")

    def _create_recurring_run(self, body: Json, *, enabled: bool) -> None:
        create = self._client.recurring_runs.recurring_run_service_create_recurring_run
        mode = "ENABLE" if enabled else "DISABLE"
        self._api.new("recurring_run_id", create, recurring_run={**body, "mode": mode})

    # What runs and recurring runs share.

    def _launch(self, submission: Submission) -> Json:
        """Returns the fields that say what to run, once its experiment and pipeline version are there."""
        pipeline_id, version_id = self._ensure_version(submission.package)
        root, account = self._environment.pipeline_root, self._environment.service_account
        runtime_config = {"parameters": dict(submission.parameters)}
        return {
            "experiment_id": self._ensure_experiment(),
            "pipeline_version_reference": {"pipeline_id": pipeline_id, "pipeline_version_id": version_id},
            "runtime_config": runtime_config | ({"pipeline_root": root} if root else {}),
        } | ({"service_account": account} if account else {})

    def _find_experiment(self) -> str | None:
        if self._experiment_id is None:
            listed = self._client.experiments.experiment_service_list_experiments
            row = self._api.first(
                "experiments", listed, filter=_named(self._environment.experiment), **self._scope
            )
            self._experiment_id = self._id(row, "experiment_id") if row else None
        return self._experiment_id

    def _ensure_experiment(self) -> str:
        def make() -> str:
            body = {"display_name": self._environment.experiment, **self._scope}
            create = self._client.experiments.experiment_service_create_experiment
            return str(self._api.new("experiment_id", create, experiment=body)["experiment_id"])

        return found_or_made(self._find_experiment, make)[0]

    def _ensure_version(self, package: Package) -> tuple[str, str]:
        """Uploads the package once under its version name; returns the pipeline's and the version's id."""
        pipeline_name = package.documents[0]["pipelineInfo"]["name"]
        api, upload = self._client.pipelines, self._client.pipeline_uploads

        def find_pipeline() -> Json | None:
            listed = api.pipeline_service_list_pipelines
            return self._api.first("pipelines", listed, filter=_named(pipeline_name), **self._scope)

        def make_pipeline() -> Json:
            body = {"display_name": pipeline_name, **self._scope}
            return self._api.new("pipeline_id", api.pipeline_service_create_pipeline, pipeline=body)

        pipeline_id = self._id(found_or_made(find_pipeline, make_pipeline)[0], "pipeline_id")

        def find_version() -> Json | None:
            listed = api.pipeline_service_list_pipeline_versions
            of_that_name = {"pipeline_id": pipeline_id, "filter": _named(package.version)}
            return self._api.first("pipeline_versions", listed, **of_that_name)

        def make_version() -> Json:
            with tempfile.TemporaryDirectory() as directory:
                path = Path(directory) / "pipeline.yaml"
                path.write_text(package.text, encoding="utf-8")
                sent = {"uploadfile": str(path), "name": package.version, "pipelineid": pipeline_id}
                return self._api.new("pipeline_version_id", upload.upload_pipeline_version, **sent)

        return pipeline_id, self._id(found_or_made(find_version, make_version)[0], "pipeline_version_id")

    def _id(self, row: Json, key: str) -> str:
        """Returns what a row is known by, the one field without which it is of no use."""
        if found := answers.text(row, key):
            return found
        raise StorageError(f"{self._environment.host}: lists something without {key}")

    def _run(self, row: Json) -> Run:
        run_id = self._id(row, "run_id")
        return Run(
            run_id=run_id,
            name=answers.text(row, "display_name"),
            state=_state(row),
            url=run_page(self._environment, run_id),
            created_at=answers.moment(row, "created_at"),
            finished_at=answers.moment(row, "finished_at"),
            error=one_line(answers.text(answers.part(row, "error"), "message")),
        )

    def _stored(self, row: Json) -> StoredSchedule | None:
        mark = _MARK.match(answers.text(row, "description"))
        if mark is None or mark["environment"] != self._environment.name:
            return None
        trigger = answers.part(answers.part(row, "trigger"), "cron_schedule")
        return StoredSchedule(
            schedule_id=self._id(row, "recurring_run_id"),
            name=mark["name"],
            digest=mark["digest"],
            cron=answers.text(trigger, "cron"),
            enabled=(answers.text(row, "mode") or answers.text(row, "status")).startswith("ENABLE"),
            created_at=answers.moment(row, "created_at"),
        )


def _named(name: str) -> str:
    """Returns a filter; its JSON is quoted once more, for the server decodes it once more."""
    predicate = {"operation": "EQUALS", "key": "display_name", "stringValue": name}
    return urllib.parse.quote(json.dumps({"predicates": [predicate]}))


def _state(row: Json) -> str:
    """Returns the run's state; a canceled run ends FAILED, and only its history says more."""
    state = answers.text(row, "state")
    history = [answers.text(each, "state") for each in answers.rows(row, "state_history")]
    if state == "FAILED" and "CANCELING" in history:
        return "CANCELED"
    return state if state not in ("", "RUNTIME_STATE_UNSPECIFIED") else "PENDING"
