"""Vertex AI's pipeline and schedule services, as far as the aiplatform client's REST transport can tell.

Like the real ones: a job id can be taken once (409), labels and cron are checked, a schedule is active from
the moment it is created, two schedules may have one display name, lists come in pages, and a job's tasks are
the pipeline's, its groups' and the job itself.
"""

import dataclasses
import datetime
import itertools
import json
import re
from typing import Any

from tests.fakes import cron_rules, pipeline_specs
from tests.fakes.loopback import Json, Loopback, RefusedError, Request, page

_PARENT = r"/v1/(projects/[^/]+/locations/[^/]+)"
_FINAL = ("SUCCEEDED", "FAILED", "CANCELLED")
_STATUS = {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND"}
_STATUS |= {409: "ALREADY_EXISTS", 429: "RESOURCE_EXHAUSTED", 500: "INTERNAL", 503: "UNAVAILABLE"}


_REPLICA_FAILED = {"code": 9, "message": "The replica workerpool0-0 exited with a non-zero status of 3."}


@dataclasses.dataclass
class VertexServer(Loopback):
    """A service whose jobs move one step on each time that somebody has looked.

    Attributes:
      outcome: the state in which jobs end; `HANG` leaves them running.
      failing: the task at which a job fails; its last one if not set.
      error: of that task.
    """

    outcome: str = "SUCCEEDED"
    failing: str = ""
    error: Json = dataclasses.field(default_factory=lambda: dict(_REPLICA_FAILED))
    page_limit: int = 100
    jobs: dict[str, Json] = dataclasses.field(default_factory=dict)
    schedules: dict[str, Json] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        self._numbers = itertools.count(1000)
        self._clock = itertools.count()
        super().__post_init__()

    def active(self, words: str) -> list[Json]:
        """The active schedules whose display name contains `words`."""
        return [s for s in self.schedules.values() if words in s["displayName"] and s["state"] == "ACTIVE"]

    def refusal(self, status: int, message: str) -> Json:
        return {"error": {"code": status, "message": message, "status": _STATUS.get(status, "UNKNOWN")}}

    def answer(self, request: Request) -> Json:
        for pattern, method, name in _ROUTES:
            match = re.fullmatch(pattern, request.path)
            if match and method == request.method:
                answered: Json = getattr(self, name)(request, *match.groups())
                return answered
        raise RefusedError(404, f"Not Found: {request.method} {request.path}")

    def _stamp(self) -> str:
        start = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
        return (start + datetime.timedelta(seconds=next(self._clock))).strftime("%Y-%m-%dT%H:%M:%SZ")

    # Pipeline jobs.

    def _create_job(self, request: Request, parent: str) -> Json:
        job_id = request.query.get("pipelineJobId", "")
        if not re.fullmatch(r"[a-z][-a-z0-9]{0,127}", job_id):
            raise RefusedError(400, f"invalid pipelineJobId {job_id!r}")
        name = f"{parent}/pipelineJobs/{job_id}"
        if name in self.jobs:
            raise RefusedError(409, f"PipelineJob {name} already exists")
        job = request.json()
        check_job(job)
        steps = pipeline_specs.steps(job["pipelineSpec"])
        groups = sorted({group for step in steps for group in step.groups if not group.endswith(".onExit")})
        tasks = [
            {"taskId": "1", "taskName": job_id, "state": "RUNNING"},
            *({"taskId": f"2{number}", "taskName": name} for number, name in enumerate(groups)),
            *(
                {"taskId": f"3{number}", "taskName": step.name, "state": "PENDING"}
                for number, step in enumerate(steps)
            ),
            {"taskId": "4"},
        ]
        stored = {"name": name, "state": "PIPELINE_STATE_PENDING", "createTime": self._stamp()}
        self.jobs[name] = {**job, **stored, "jobDetail": {"taskDetails": tasks}}
        return self.jobs[name]

    def _get_job(self, _: Request, name: str) -> Json:
        job = self._found(self.jobs, name)
        answer: Json = json.loads(json.dumps(job))
        self._advance(job)
        return answer

    def _advance(self, job: Json) -> None:
        """Moves a job one step on, each time that somebody has looked."""
        state = job["state"].removeprefix("PIPELINE_STATE_")
        if state in _FINAL:
            return
        if state == "CANCELLING":
            job.update(state="PIPELINE_STATE_CANCELLED", endTime=self._stamp())
            return
        job["state"] = "PIPELINE_STATE_RUNNING"
        steps = pipeline_specs.steps(job["pipelineSpec"])
        rows = {row.get("taskName"): row for row in job["jobDetail"]["taskDetails"]}
        usual = [step.name for step in steps if not step.is_exit]
        failing = self.failing or usual[-1]
        for name in [step.name for step in steps if rows[step.name]["state"] == "RUNNING"]:
            if name == failing and self.outcome == "HANG":
                return
            self._move(rows[name], "FAILED" if name == failing and self.outcome == "FAILED" else "SUCCEEDED")
        has_failed = any(rows[name]["state"] == "FAILED" for name in usual)
        waiting = [step for step in steps if rows[step.name]["state"] == "PENDING"]
        able = [rows[step.name] for step in waiting if step.is_exit or not has_failed]
        if able:
            self._move(able[0], "RUNNING")
        elif self.outcome != "HANG":
            self._finish(job, [rows[step.name] for step in waiting])

    def _finish(self, job: Json, waiting: list[Json]) -> None:
        job.update(state=f"PIPELINE_STATE_{self.outcome}", endTime=self._stamp())
        for row in waiting:
            row["state"] = "NOT_TRIGGERED"
        if self.outcome == "FAILED":
            job["error"] = {"code": 9, "message": "The DAG failed because some tasks failed."}

    def _move(self, row: Json, state: str) -> None:
        row["state"] = state
        row.setdefault("pipelineTaskStatus", []).append({"updateTime": self._stamp(), "state": state})
        if state == "RUNNING":
            row["startTime"] = self._stamp()
        if state == "FAILED":
            row["error"] = self.error

    def _list_jobs(self, request: Request, parent: str) -> Json:
        listed = self._listed("pipelineJobs", self.jobs, parent, request)
        if mask := request.query.get("readMask"):
            listed["pipelineJobs"] = [_only(job, mask.split(",")) for job in listed["pipelineJobs"]]
        return listed

    def _cancel_job(self, _: Request, name: str) -> Json:
        job = self._found(self.jobs, name)
        if job["state"].removeprefix("PIPELINE_STATE_") in _FINAL:
            raise RefusedError(400, f"PipelineJob {name} is in a final state and cannot be cancelled")
        job["state"] = "PIPELINE_STATE_CANCELLING"
        return {}

    # Schedules.

    def _create_schedule(self, request: Request, parent: str) -> Json:
        schedule = request.json()
        if not 1 <= len(schedule.get("displayName", "")) <= 128:
            raise RefusedError(400, "displayName must have 1 to 128 characters")
        cron_rules.check_for_vertex(schedule.get("cron", ""))
        if int(schedule.get("maxConcurrentRunCount", 0)) < 1:
            raise RefusedError(400, "maxConcurrentRunCount must be positive")
        launch = schedule.get("createPipelineJobRequest", {})
        if launch.get("parent") != parent:
            raise RefusedError(400, "createPipelineJobRequest.parent must be the schedule's own location")
        check_job(launch.get("pipelineJob", {}))
        name = f"{parent}/schedules/{next(self._numbers)}"
        self.schedules[name] = {**schedule, "name": name, "state": "ACTIVE", "createTime": self._stamp()}
        return self.schedules[name]

    def _get_schedule(self, _: Request, name: str) -> Json:
        return self._found(self.schedules, name)

    def _list_schedules(self, request: Request, parent: str) -> Json:
        return self._listed("schedules", self.schedules, parent, request)

    def _delete_schedule(self, _: Request, name: str) -> Json:
        self._found(self.schedules, name)
        del self.schedules[name]
        done = {"@type": "type.googleapis.com/google.protobuf.Empty"}
        return {"name": f"{name}/operations/{next(self._numbers)}", "done": True, "response": done}

    def _pause_schedule(self, _: Request, name: str) -> Json:
        self._found(self.schedules, name)["state"] = "PAUSED"
        return {}

    def _resume_schedule(self, request: Request, name: str) -> Json:
        catch_up = bool(request.json().get("catchUp"))
        self._found(self.schedules, name).update(state="ACTIVE", catchUp=catch_up)
        return {}

    # What both share.

    def _found(self, rows: dict[str, Json], name: str) -> Json:
        if name not in rows:
            raise RefusedError(404, f"{name} is not found")
        return rows[name]

    def _listed(self, key: str, rows: dict[str, Json], parent: str, request: Request) -> Json:
        chosen = [row for name, row in rows.items() if name.startswith(f"{parent}/")]
        for name, value in re.findall(r'([\w.]+)\s*[:=]\s*"?([^"\s]+)"?', request.query.get("filter", "")):
            chosen = [row for row in chosen if str(_field(row, name)) == value]
        if request.query.get("orderBy", "").endswith(" desc"):
            chosen = chosen[::-1]  # both tables are kept in the order of creation
        shown, token = page(chosen, request, "pageSize", "pageToken", self.page_limit)
        return {key: shown, "nextPageToken": token}


_ROUTES = (
    (rf"{_PARENT}/pipelineJobs", "POST", "_create_job"),
    (rf"{_PARENT}/pipelineJobs", "GET", "_list_jobs"),
    (r"/v1/(projects/[^/]+/locations/[^/]+/pipelineJobs/[^/:]+)", "GET", "_get_job"),
    (r"/v1/(projects/[^/]+/locations/[^/]+/pipelineJobs/[^/:]+):cancel", "POST", "_cancel_job"),
    (rf"{_PARENT}/schedules", "POST", "_create_schedule"),
    (rf"{_PARENT}/schedules", "GET", "_list_schedules"),
    (r"/v1/(projects/[^/]+/locations/[^/]+/schedules/[^/:]+)", "GET", "_get_schedule"),
    (r"/v1/(projects/[^/]+/locations/[^/]+/schedules/[^/:]+)", "DELETE", "_delete_schedule"),
    (r"/v1/(projects/[^/]+/locations/[^/]+/schedules/[^/:]+):pause", "POST", "_pause_schedule"),
    (r"/v1/(projects/[^/]+/locations/[^/]+/schedules/[^/:]+):resume", "POST", "_resume_schedule"),
)


def check_job(job: Json) -> None:
    """Refuses a job whose spec, parameters, root, labels or accelerators Vertex AI would refuse."""
    spec = job.get("pipelineSpec", {})
    pipeline_specs.check_spec(spec)
    runtime = job.get("runtimeConfig", {})
    pipeline_specs.check_parameters(spec, runtime.get("parameterValues", {}))
    if not runtime.get("gcsOutputDirectory", "").startswith("gs://"):
        raise RefusedError(400, "runtimeConfig.gcsOutputDirectory must be a gs:// path")
    for key, value in job.get("labels", {}).items():
        if not re.fullmatch(r"[a-z][a-z0-9_-]{0,62}", key) or not re.fullmatch(r"[a-z0-9_-]{0,63}", value):
            raise RefusedError(400, f"invalid label {key}={value}")
    account = job.get("serviceAccount")
    if account and not re.fullmatch(r"[^@\s]+@[^@\s]+", account):
        raise RefusedError(400, f"invalid serviceAccount {account!r}")
    for accelerator in pipeline_specs.accelerator_types(spec):
        if not re.fullmatch(r"NVIDIA_[A-Z0-9_]+|TPU_V\d+\w*", accelerator):
            raise RefusedError(400, f"invalid accelerator type {accelerator!r}")


def _only(job: Json, fields: list[str]) -> Json:
    unknown = set(fields) - {"name", "state", "displayName", "createTime", "endTime", "updateTime", "labels"}
    if unknown:
        raise RefusedError(400, f"readMask: unsupported {', '.join(sorted(unknown))}")
    return {key: value for key, value in job.items() if key in fields}


def _field(row: Json, dotted: str) -> Any:
    value: Any = row
    for name in dotted.split("."):
        camel = re.sub(r"_(\w)", lambda letter: letter[1].upper(), name)
        value = value.get(name, value.get(camel)) if isinstance(value, dict) else None
    return value
