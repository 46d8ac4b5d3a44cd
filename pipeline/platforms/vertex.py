"""Vertex AI Pipelines as a platform, through the aiplatform client over REST.

A job's id is chosen here, so the service itself refuses a second run of one name. Schedules have no such id:
the environment, the name and the digest are in the display name. `PipelineJob.submit` is not used, for it
creates buckets by itself and swallows their errors; nor is `Schedule.resume`, which drops its `catch_up`.
"""

import contextlib
import dataclasses
import importlib.metadata
import re
import tempfile
import warnings
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import google.auth
import google.auth.exceptions
import requests
from google.api_core import exceptions
from google.api_core.client_options import ClientOptions
from google.cloud import aiplatform
from google.cloud.aiplatform_v1 import PipelineServiceClient, ScheduleServiceClient, types
from google.oauth2.credentials import Credentials
from google.protobuf import json_format
from google.protobuf.field_mask_pb2 import FieldMask
from google.rpc import code_pb2

from components.errors import StorageError, UsageError
from pipeline.environments import VertexEnvironment, check_credentials
from pipeline.platforms import answers
from pipeline.platforms.answers import Json
from pipeline.platforms.pages import run_page
from pipeline.platforms.platform import (
    OWNER,
    DeclaredSchedule,
    NoAnswerError,
    NotFoundError,
    Run,
    StoredSchedule,
    Submission,
    Task,
    found_or_made,
    network_trouble,
    numbered,
    one_line,
    repeatedly,
    settled,
)

_DISPLAY_NAME = re.compile(rf"{OWNER} (?P<environment>\S+) (?P<name>\S+) (?P<digest>[0-9a-f]+)")
_STATES = {"UNSPECIFIED": "PENDING", "STATE_UNSPECIFIED": "PENDING", "NOT_TRIGGERED": "SKIPPED"}
_STATES |= {"CANCEL_PENDING": "CANCELING"}
# What the client dies of when an answer with status 200 is not the API's.
_UNREADABLE = (json_format.ParseError, ValueError, TypeError, AttributeError, RecursionError)
_LATER = (
    exceptions.Conflict,  # another caller was faster, look again
    exceptions.TooManyRequests,
    exceptions.ServerError,
    exceptions.RetryError,
)


class VertexPlatform:
    """See `platforms.Platform`."""

    creates_enabled = True

    def __init__(self, environment: VertexEnvironment) -> None:
        self._environment = environment
        self._parent = f"projects/{environment.project}/locations/{environment.region}"
        self._credentials = _credentials(environment)
        endpoint = environment.api_endpoint or f"{environment.region}-aiplatform.googleapis.com"
        access: dict[str, Any] = {
            "credentials": self._credentials,
            "transport": "rest",  # the transport that the tests drive
            "client_options": ClientOptions(api_endpoint=endpoint),
        }
        self._jobs = PipelineServiceClient(**access)
        self._schedules = ScheduleServiceClient(**access)
        for client in (self._jobs, self._schedules):
            # The one place that every answer passes, also those that the client does not read, as cancel's.
            _session_of(client).hooks["response"].append(_judge)
        self._limits = {"timeout": float(environment.timeout_seconds)}

    def check(self) -> None:
        """See `platforms.Platform.check`."""
        self.runs(limit=1)

    def submit(self, submission: Submission) -> tuple[Run, bool]:
        """See `platforms.Platform.submit`."""
        job = self._job(submission)
        name = f"{self._parent}/pipelineJobs/{submission.run_name}"

        def find() -> Any:
            try:
                return self._asked(self._jobs.get_pipeline_job, name=name)
            except NotFoundError:
                return None

        def make() -> Any:
            create = self._jobs.create_pipeline_job
            return self._asked(
                create, parent=self._parent, pipeline_job=job, pipeline_job_id=submission.run_name
            )

        row, is_new = found_or_made(find, make)
        return self._run(row), is_new

    def runs(self, limit: int) -> list[Run]:
        """See `platforms.Platform.runs`."""
        request = types.ListPipelineJobsRequest(
            parent=self._parent,
            filter=f'labels.owner="{OWNER}"',
            order_by="create_time desc",
            page_size=min(limit, 100),
            read_mask=FieldMask(paths=["name", "display_name", "state", "create_time", "end_time"]),
        )

        def listed() -> list[Any]:
            with self._answers():
                return list(islice(self._jobs.list_pipeline_jobs(request=request, **self._limits), limit))

        return [self._run(row) for row in repeatedly(listed)]

    def run(self, run_id: str) -> Run:
        """See `platforms.Platform.run`."""
        name = f"{self._parent}/pipelineJobs/{run_id.rpartition('/')[2]}"
        row = self._asked(self._jobs.get_pipeline_job, name=name)
        if not row.name:
            raise StorageError(f"{name}: the answer is no job of that name")
        run = self._run(row)
        return dataclasses.replace(run, tasks=settled(_tasks(row), run.state))

    def cancel(self, run_id: str) -> None:
        """See `platforms.Platform.cancel`."""
        name = f"{self._parent}/pipelineJobs/{run_id.rpartition('/')[2]}"
        self._asked(self._jobs.cancel_pipeline_job, name=name)

    def schedules(self) -> list[StoredSchedule]:
        """See `platforms.Platform.schedules`."""

        def listed() -> list[Any]:
            with self._answers():
                return list(self._schedules.list_schedules(parent=self._parent, **self._limits))

        owned = [stored for row in repeatedly(listed) if (stored := self._stored(row))]
        return sorted(owned, key=lambda stored: (stored.created_at, stored.schedule_id))

    def create_schedule(self, declared: DeclaredSchedule, *, enabled: bool) -> None:
        """See `platforms.Platform.create_schedule`; not repeated here: the caller looks again first."""
        del enabled  # it always is
        launch = types.CreatePipelineJobRequest(
            parent=self._parent, pipeline_job=self._job(declared.submission, schedule=declared.name)
        )
        schedule = types.Schedule(
            display_name=f"{OWNER} {self._environment.name} {declared.name} {declared.digest}",
            cron=declared.cron,
            max_concurrent_run_count=declared.max_concurrency,
            create_pipeline_job_request=launch,
        )
        self._asked(self._schedules.create_schedule, parent=self._parent, schedule=schedule)

    def set_enabled(self, stored: StoredSchedule, enabled: bool, *, catch_up: bool) -> None:
        """See `platforms.Platform.set_enabled`."""
        if enabled:
            self._asked(self._schedules.resume_schedule, name=stored.schedule_id, catch_up=catch_up)
        else:
            self._asked(self._schedules.pause_schedule, name=stored.schedule_id)

    def delete_schedule(self, stored: StoredSchedule) -> None:
        """See `platforms.Platform.delete_schedule`."""
        with contextlib.suppress(NotFoundError):
            operation = self._asked(self._schedules.delete_schedule, name=stored.schedule_id)
            with self._answers():
                operation.result(timeout=self._environment.timeout_seconds)

    def _job(self, submission: Submission, schedule: str | None = None) -> types.PipelineJob:
        """Builds the job with aiplatform's own checks of parameters, labels and id; sends nothing."""
        labels = {"owner": OWNER, "version": submission.package.version}
        if schedule:
            labels["schedule"] = schedule
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "pipeline.yaml"
            path.write_text(submission.package.text, encoding="utf-8")
            try:
                built = aiplatform.PipelineJob(
                    display_name=submission.run_name,
                    template_path=str(path),
                    job_id=submission.run_name,
                    pipeline_root=self._environment.pipeline_root,
                    parameter_values=dict(submission.parameters),
                    labels=labels,
                    project=self._environment.project,
                    location=self._environment.region,
                    credentials=self._credentials,
                )
            except ValueError as error:
                raise UsageError(f"environment {self._environment.name}: {one_line(error)}") from None
        return types.PipelineJob(
            display_name=submission.run_name,
            pipeline_spec=built.pipeline_spec,
            runtime_config=built.runtime_config,
            labels=labels,
            service_account=self._environment.service_account or "",
            network=self._environment.network or "",
        )

    def _asked(self, method: Any, **arguments: Any) -> Any:
        """Calls the service with its time limit and our errors."""
        with self._answers():
            return method(**arguments, **self._limits)

    @contextlib.contextmanager
    def _answers(self) -> Iterator[None]:
        """Turns what the client raises into StorageError or NoAnswerError, one line each."""
        where = f"{self._parent} (environment {self._environment.name})"
        try:
            yield
        except _LATER as error:
            raise NoAnswerError(f"{where}: {_words(error)}") from None
        except exceptions.NotFound as error:
            raise NotFoundError(f"{where}: {_words(error)}") from None
        except (exceptions.Unauthorized, google.auth.exceptions.RefreshError):
            raise StorageError(f"{where}: 401: the token or the credentials have expired") from None
        except exceptions.Forbidden as error:
            raise StorageError(f"{where}: 403: the caller may not do that: {_words(error)}") from None
        except exceptions.GoogleAPICallError as error:
            raise StorageError(f"{where}: {_words(error)}") from None
        except (requests.exceptions.RequestException, google.auth.exceptions.TransportError) as error:
            raise NoAnswerError(f"{where}: cannot be reached: {network_trouble(error)}") from None
        except _UNREADABLE:
            raise StorageError(
                f"{where}: answers with a web page or what else is not the API's; check api_endpoint"
            ) from None

    def _run(self, row: Any) -> Run:
        job_id = row.name.rpartition("/")[2]
        return Run(
            run_id=job_id,
            name=row.display_name,
            state=_state(row),
            url=run_page(self._environment, job_id),
            created_at=_moment(row, "create_time"),
            finished_at=_moment(row, "end_time"),
            error=one_line(row.error.message) if "error" in row else "",
        )

    def _stored(self, row: Any) -> StoredSchedule | None:
        words = _DISPLAY_NAME.fullmatch(row.display_name)
        if words is None or words["environment"] != self._environment.name:
            return None
        return StoredSchedule(
            schedule_id=row.name,
            name=words["name"],
            digest=words["digest"],
            cron=row.cron,
            enabled=_state(row) == "ACTIVE",
            created_at=_moment(row, "create_time"),
        )


def _credentials(environment: VertexEnvironment) -> Any:
    check_credentials(environment)
    if environment.token:
        return Credentials(environment.token.get_secret_value())
    try:
        credentials, _ = google.auth.default(scopes=["https://www.googleapis.com/auth/cloud-platform"])
    except google.auth.exceptions.DefaultCredentialsError as error:
        raise UsageError(f"environment {environment.name}: auth=adc: {one_line(error)}") from None
    return credentials


def _tasks(job: Any) -> list[Task]:
    """Returns the pipeline's own tasks in the order in which they started; Vertex AI lists groups too."""
    own = _executed(answers.part(json_format.MessageToDict(types.PipelineJob.pb(job)), "pipelineSpec"))
    rows = [
        row
        for row in job.job_detail.task_details
        if row.task_name and row.task_name in (own or row.task_name)
    ]
    names = numbered([row.task_name for row in rows])
    told = [
        (_moment(row, "start_time") or "9", _task(name, row)) for name, row in zip(names, rows, strict=True)
    ]
    return [task for _, task in sorted(told, key=lambda each: each[0])]


def _executed(spec: Json) -> set[str]:
    """Returns the names of the tasks that run a container."""
    components = answers.part(spec, "components")
    dags = [answers.part(each, "dag") for each in (answers.part(spec, "root"), *components.values())]
    tasks = [item for dag in dags for item in answers.part(dag, "tasks").items()]
    named = [(name, answers.text(answers.part(task, "componentRef"), "name")) for name, task in tasks]
    return {name for name, component in named if "executorLabel" in answers.part(components, component)}


def _task(name: str, row: Any) -> Task:
    starts = [each for each in row.pipeline_task_status if _state(each) == "RUNNING"]
    return Task(name, _state(row), len(starts), _reason(row))


def _reason(row: Any) -> str:
    if "error" not in row:
        return ""
    code = code_pb2.Code.Name(row.error.code) if row.error.code in code_pb2.Code.values() else "UNKNOWN"
    return one_line(f"{code}: {row.error.message}")


def _session_of(client: Any) -> Any:
    """Returns the HTTP session of a client, which has no public name.

    Raises:
      UsageError: this version of the library has none.
    """
    session = getattr(client.transport, "_session", None)
    if session is None:
        version = importlib.metadata.version("google-cloud-aiplatform")
        raise UsageError(
            f"google-cloud-aiplatform {version}: its REST transport keeps no session to judge answers in"
        )
    return session


def _judge(response: requests.Response, **_: Any) -> None:
    """Raises ValueError for an answer with status 200 that is no JSON object."""
    if response.ok:
        answers.parsed(response.content)


def _state(row: Any) -> str:
    """Returns Vertex AI's state, be it one that its client does not know, in the words of `platforms.Run`."""
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", UserWarning
        )  # what the client says to a number that it has no name for
        state = row.state
    name = getattr(state, "name", "STATE_UNSPECIFIED").removeprefix("PIPELINE_STATE_")
    return _STATES.get(name, name.replace("CANCELL", "CANCEL"))


def _moment(row: Any, field: str) -> str:
    return str(getattr(row, field).strftime("%Y-%m-%dT%H:%M:%SZ")) if field in row else ""


def _words(error: exceptions.GoogleAPICallError | exceptions.RetryError) -> str:
    """Returns the service's own words, without the request line that REST errors start with."""
    return one_line(re.sub(r"^\w+ https?://\S+: ", "", f"{error.message}")) or one_line(error)
