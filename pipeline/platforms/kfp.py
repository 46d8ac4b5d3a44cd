"""Kubeflow Pipelines as a platform, through `kfp.Client`.

The server has no client-chosen ids and no unique names for runs and recurring runs. A run is therefore known
by its name, a schedule by the digest in its description, and both are looked for before they are created.
"""

import contextlib
import functools
import json
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kfp_server_api

from pipeline.environments import KfpEnvironment
from pipeline.platforms.access import answers_from, connect
from pipeline.platforms.platform import (
    OWNER,
    DeclaredSchedule,
    NotFoundError,
    Package,
    Run,
    StoredSchedule,
    Submission,
    found_or_made,
    one_line,
    repeatedly,
)

_PAGE = 100
_MACHINERY = re.compile(r"^(root|executor)$|-driver$")  # pods that KFP itself adds to a run
_MARK = re.compile(
    rf"{OWNER} schedule (?P<name>\S+) of (?P<environment>\S+), declaration (?P<digest>[0-9a-f]+)"
)


class KfpPlatform:
    """See `platforms.Platform`."""

    creates_enabled = False

    def __init__(self, environment: KfpEnvironment) -> None:
        self._environment = environment
        self._client = repeatedly(lambda: connect(environment))
        self._limits = {"_request_timeout": (environment.timeout_seconds, environment.timeout_seconds)}
        self._experiment_id: str | None = None
        self._scope = {"namespace": environment.namespace} if environment.namespace else {}

    def check(self) -> None:
        """See `platforms.Platform.check`."""
        self._first(
            "experiments", self._client.experiments.experiment_service_list_experiments, **self._scope
        )

    def submit(self, submission: Submission) -> tuple[Run, bool]:
        """See `platforms.Platform.submit`."""
        launch = self._launch(submission)

        def same_named() -> list[Any]:
            listed = self._client.runs.run_service_list_runs
            of_that_name = {"experiment_id": launch["experiment_id"], "filter": _named(submission.run_name)}
            rows = self._all("runs", listed, **of_that_name)
            return sorted(rows, key=lambda row: (row.created_at, row.run_id))

        def find() -> Any:
            return next(iter(same_named()), None)

        def make() -> Any:
            body = kfp_server_api.V2beta1Run(display_name=submission.run_name, **launch)
            return self._asked(self._client.runs.run_service_create_run, run=body)

        row, is_new = found_or_made(find, make)
        if is_new:
            first = same_named()[0]
            if first.run_id != row.run_id:  # two callers at one moment: both keep the first, and only that
                repeatedly(lambda: self.cancel(row.run_id))
                return self._run(first), False
        return self._run(row), is_new

    def runs(self, limit: int) -> list[Run]:
        """See `platforms.Platform.runs`."""
        experiment_id = self._find_experiment()
        if experiment_id is None:
            return []
        rows = self._all(
            "runs",
            self._client.runs.run_service_list_runs,
            experiment_id=experiment_id,
            sort_by="created_at desc",
            limit=limit,
        )
        return [self._run(row) for row in rows]

    def run(self, run_id: str) -> Run:
        """See `platforms.Platform.run`."""
        return self._run(self._asked(self._client.runs.run_service_get_run, run_id=run_id))

    def cancel(self, run_id: str) -> None:
        """See `platforms.Platform.cancel`."""
        self._asked(self._client.runs.run_service_terminate_run, run_id=run_id)

    def schedules(self) -> list[StoredSchedule]:
        """See `platforms.Platform.schedules`."""
        experiment_id = self._find_experiment()
        if experiment_id is None:
            return []
        listed = self._client.recurring_runs.recurring_run_service_list_recurring_runs
        rows = self._all("recurring_runs", listed, experiment_id=experiment_id)
        owned = [stored for row in rows if (stored := self._stored(row))]
        return sorted(owned, key=lambda stored: (stored.created_at, stored.schedule_id))

    def create_schedule(self, declared: DeclaredSchedule) -> None:
        """See `platforms.Platform.create_schedule`; not repeated here: the caller looks again first."""
        mark = f"{OWNER} schedule {declared.name} of {self._environment.name}, declaration {declared.digest}"
        body = kfp_server_api.V2beta1RecurringRun(
            display_name=declared.name,
            description=f"{mark}. Change its file and apply; what is changed here is replaced.",
            mode="DISABLE",
            trigger=kfp_server_api.V2beta1Trigger(
                cron_schedule=kfp_server_api.V2beta1CronSchedule(cron=declared.cron)
            ),
            max_concurrency=declared.max_concurrency,
            no_catchup=not declared.catch_up,
            **self._launch(declared.submission),
        )
        self._asked(
            self._client.recurring_runs.recurring_run_service_create_recurring_run, recurring_run=body
        )

    def set_enabled(self, stored: StoredSchedule, enabled: bool, *, catch_up: bool) -> None:
        """See `platforms.Platform.set_enabled`; catching up was settled when the schedule was created."""
        del catch_up
        api = self._client.recurring_runs
        switch = api.recurring_run_service_enable_recurring_run
        if not enabled:
            switch = api.recurring_run_service_disable_recurring_run
        self._asked(switch, recurring_run_id=stored.schedule_id)

    def delete_schedule(self, stored: StoredSchedule) -> None:
        """See `platforms.Platform.delete_schedule`."""
        delete = self._client.recurring_runs.recurring_run_service_delete_recurring_run
        with contextlib.suppress(NotFoundError):
            self._asked(delete, recurring_run_id=stored.schedule_id)

    # What runs and recurring runs share.

    def _launch(self, submission: Submission) -> dict[str, Any]:
        """Returns the fields that say what to run, once its experiment and pipeline version are there."""
        pipeline_id, version_id = self._ensure_version(submission.package)
        return {
            "experiment_id": self._ensure_experiment(),
            "pipeline_version_reference": kfp_server_api.V2beta1PipelineVersionReference(
                pipeline_id=pipeline_id, pipeline_version_id=version_id
            ),
            "runtime_config": kfp_server_api.V2beta1RuntimeConfig(
                parameters=dict(submission.parameters), pipeline_root=self._environment.pipeline_root
            ),
            "service_account": self._environment.service_account,
        }

    def _find_experiment(self) -> str | None:
        if self._experiment_id is None:
            listed = self._client.experiments.experiment_service_list_experiments
            row = self._first(
                "experiments", listed, filter=_named(self._environment.experiment), **self._scope
            )
            self._experiment_id = row.experiment_id if row else None
        return self._experiment_id

    def _ensure_experiment(self) -> str:
        def make() -> str:
            body = kfp_server_api.V2beta1Experiment(display_name=self._environment.experiment, **self._scope)
            api = self._client.experiments
            created = self._asked(api.experiment_service_create_experiment, experiment=body)
            return str(created.experiment_id)

        return found_or_made(self._find_experiment, make)[0]

    def _ensure_version(self, package: Package) -> tuple[str, str]:
        """Uploads the package once under its version name; returns the pipeline's and the version's id."""
        pipeline_name = package.documents[0]["pipelineInfo"]["name"]
        api, upload = self._client.pipelines, self._client.pipeline_uploads

        def find_pipeline() -> Any:
            listed = api.pipeline_service_list_pipelines
            return self._first("pipelines", listed, filter=_named(pipeline_name), **self._scope)

        def make_pipeline() -> Any:
            body = kfp_server_api.V2beta1Pipeline(display_name=pipeline_name, **self._scope)
            return self._asked(api.pipeline_service_create_pipeline, pipeline=body)

        pipeline_id = found_or_made(find_pipeline, make_pipeline)[0].pipeline_id

        def find_version() -> Any:
            listed = api.pipeline_service_list_pipeline_versions
            return self._first(
                "pipeline_versions", listed, pipeline_id=pipeline_id, filter=_named(package.version)
            )

        def make_version() -> Any:
            with tempfile.TemporaryDirectory() as directory:
                path = Path(directory) / "pipeline.yaml"
                path.write_text(package.text, encoding="utf-8")
                return self._asked(
                    upload.upload_pipeline_version,
                    uploadfile=str(path),
                    name=package.version,
                    pipelineid=pipeline_id,
                )

        return pipeline_id, found_or_made(find_version, make_version)[0].pipeline_version_id

    def _asked(self, method: Any, **arguments: Any) -> Any:
        """Calls the generated API with its time limit and our errors."""
        with answers_from(self._environment):
            return method(**arguments, **self._limits)

    def _first(self, kind: str, method: Any, **arguments: Any) -> Any:
        return next(self._all(kind, method, limit=1, **arguments), None)

    def _all(self, kind: str, method: Any, limit: int | None = None, **arguments: Any) -> Iterator[Any]:
        """Yields the rows of every page, at most `limit`."""
        token, left = "", limit
        while left is None or left > 0:
            size = _PAGE if left is None else min(left, _PAGE)
            ask = functools.partial(self._asked, method, page_token=token, page_size=size, **arguments)
            answer = repeatedly(ask)
            rows = getattr(answer, kind) or []
            yield from rows
            token = answer.next_page_token
            left = None if left is None else left - len(rows)
            if not token or not rows:
                return

    def _run(self, row: Any) -> Run:
        details = (row.run_details.task_details if row.run_details else None) or []
        tasks = [
            (t.display_name, t.state or "PENDING") for t in details if not _MACHINERY.search(t.display_name)
        ]
        return Run(
            run_id=row.run_id,
            name=row.display_name,
            state=row.state or "PENDING",
            url=f"{self._environment.host.rstrip('/')}/#/runs/details/{row.run_id}",
            created_at=_moment(row.created_at),
            finished_at=_moment(row.finished_at),
            tasks=tuple(tasks),
            error=one_line(row.error.message) if row.error else "",
        )

    def _stored(self, row: Any) -> StoredSchedule | None:
        mark = _MARK.match(row.description or "")
        if mark is None or mark["environment"] != self._environment.name:
            return None
        return StoredSchedule(
            schedule_id=row.recurring_run_id,
            name=mark["name"],
            digest=mark["digest"],
            cron=row.trigger.cron_schedule.cron,
            enabled=row.mode == "ENABLE",
            created_at=_moment(row.created_at),
        )


def _named(name: str) -> str:
    predicate = {"operation": "EQUALS", "key": "display_name", "stringValue": name}
    return json.dumps({"predicates": [predicate]})


def _moment(value: Any) -> str:
    """KFP says 1970 where it means never."""
    if value is None or value.year <= 1970:
        return ""
    return str(value.strftime("%Y-%m-%dT%H:%M:%SZ"))
