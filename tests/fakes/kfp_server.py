"""The Kubeflow Pipelines API server, as a client sees it: /apis/v2beta1 over HTTP, and a run of v1beta1.

It refuses what the real one (2.17.0) refuses: a second pipeline, version or experiment of one name (409), a
parameter of the wrong type, a cron of the wrong shape, a concurrency outside 1..10, a page token of another
query. It accepts what the real one accepts: five cron fields, any number of recurring runs of one name, a
namespace where there is but one. And it surprises as the real one does: a filter is decoded once more, a name
that is too long is a 500, a canceled run ends FAILED, a run's tasks are Argo's nodes, a recurring run that is
enabled again fires for what it has missed whatever `no_catchup` says, and one that is deleted takes its
running runs with it.
"""

import base64
import dataclasses
import datetime
import email
import email.policy
import itertools
import json
import re
import urllib.parse
from typing import Any

import yaml

from tests.fakes import argo_nodes, cron_rules, pipeline_specs
from tests.fakes.loopback import Json, Loopback, RefusedError, Request, page

LONGEST_NAME = 128
FINAL = ("SUCCEEDED", "FAILED", "CANCELED", "SKIPPED")


@dataclasses.dataclass
class KfpServer(Loopback):
    """A server whose runs move one step on each time that somebody has looked.

    Attributes:
      namespace: a multi-user installation when set.
      outcome: the state in which runs end; `HANG` leaves them running.
      failing: the task at which a run fails; its last one if not set.
      message: Argo's words about a pod of that task; the launcher's exit code is 1 whatever the task's was.
      pod_log: what such a pod wrote.
      deleted_pods: how many pods of a task are deleted, and retried, before one runs to its end.
      has_v1: whether the v1beta1 API is there, which alone says what Argo's nodes are.
      is_cached: whether ingest came from the cache; if not, the launcher adds an entry, and so a row.
    """

    namespace: str | None = None
    outcome: str = "SUCCEEDED"
    failing: str = ""
    message: str = "Error (exit code 1)"
    pod_log: str = "DataError: the archive is damaged\nfailed to execute component: exit status 3\n"
    deleted_pods: dict[str, int] = dataclasses.field(default_factory=dict)
    has_v1: bool = True
    is_cached: bool = False
    page_limit: int = 200
    experiments: dict[str, Json] = dataclasses.field(default_factory=dict)
    pipelines: dict[str, Json] = dataclasses.field(default_factory=dict)
    versions: dict[str, Json] = dataclasses.field(default_factory=dict)
    runs: dict[str, Json] = dataclasses.field(default_factory=dict)
    recurring_runs: dict[str, Json] = dataclasses.field(default_factory=dict)
    workflows: dict[str, list[argo_nodes.Task]] = dataclasses.field(default_factory=dict)  # by run id
    fired: dict[str, datetime.datetime] = dataclasses.field(default_factory=dict)  # by recurring run id

    def __post_init__(self) -> None:
        self._ids = (f"00000000-0000-4000-8000-{number:012x}" for number in itertools.count(1))
        self._now = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
        super().__post_init__()

    def enabled(self, name: str) -> list[Json]:
        """The enabled recurring runs of one name."""
        rows = self.recurring_runs.values()
        return [row for row in rows if row["display_name"] == name and row["mode"] == "ENABLE"]

    def elapse(self, **time: float) -> None:
        """Lets time pass; recurring runs that are enabled fire."""
        self._now += datetime.timedelta(**time)
        for identity in list(self.recurring_runs):
            self._fire(identity)

    def answer(self, request: Request) -> Json | str:
        path = request.path.removeprefix("/apis/v2beta1")
        for pattern, method, name in _ROUTES:
            match = re.fullmatch(pattern, path)
            if match and method == request.method:
                answered: Json | str = getattr(self, name)(request, *match.groups())
                return answered
        raise RefusedError(404, f"Not Found: {request.method} {request.path}")

    def _stamp(self) -> str:
        stamp = self._now.strftime("%Y-%m-%dT%H:%M:%SZ")
        self._now += datetime.timedelta(seconds=1)
        return stamp

    def _healthz(self, _: Request) -> Json:
        return {"commit_sha": "unknown", "tag_name": "2.17.0", "multi_user": self.namespace is not None}

    # Experiments.

    def _list_experiments(self, request: Request) -> Json:
        self._check_namespace(request.query.get("namespace"))
        return self._listed("experiments", list(self.experiments.values()), request)

    def _create_experiment(self, request: Request) -> Json:
        body = request.json()
        self._check_namespace(body.get("namespace"))
        self._must_be_new(self.experiments, body["display_name"])
        if len(body["display_name"]) > LONGEST_NAME:
            raise RefusedError(500, "Failed to add experiment to experiment table: Data too long for column")
        return self._stored(self.experiments, "experiment_id", body)

    def _check_namespace(self, namespace: str | None) -> None:
        if self.namespace is None:
            return  # a single-user server ignores it
        if not namespace:
            raise RefusedError(400, "Namespace is empty; in multi-user mode it is required")
        if self.namespace != namespace:
            raise RefusedError(403, f"user is not authorized in namespace {namespace}")

    # Pipelines and their versions.

    def _list_pipelines(self, request: Request) -> Json:
        return self._listed("pipelines", list(self.pipelines.values()), request)

    def _create_pipeline(self, request: Request) -> Json:
        name = request.json().get("display_name", "")
        self._must_be_new(self.pipelines, name)
        return self._stored(self.pipelines, "pipeline_id", {"display_name": name, "name": name})

    def _upload_pipeline(self, request: Request) -> Json:
        name = request.query.get("name") or request.query.get("display_name") or ""
        self._must_be_new(self.pipelines, name)
        spec = _uploaded(request)
        pipeline = self._stored(self.pipelines, "pipeline_id", {"display_name": name, "name": name})
        self._store_version(pipeline["pipeline_id"], name, spec)
        return pipeline

    def _upload_version(self, request: Request) -> Json:
        pipeline_id = request.query["pipelineid"]
        _found(self.pipelines, pipeline_id, "Pipeline")
        name = request.query["name"]
        self._must_be_new({k: v for k, v in self.versions.items() if v["pipeline_id"] == pipeline_id}, name)
        return self._store_version(pipeline_id, name, _uploaded(request))

    def _store_version(self, pipeline_id: str, name: str, spec: Json) -> Json:
        version = {"pipeline_id": pipeline_id, "display_name": name, "name": name, "pipeline_spec": spec}
        return self._stored(self.versions, "pipeline_version_id", version)

    def _list_versions(self, request: Request, pipeline_id: str) -> Json:
        _found(self.pipelines, pipeline_id, "Pipeline")
        rows = [row for row in self.versions.values() if row["pipeline_id"] == pipeline_id]
        return self._listed("pipeline_versions", rows, request)

    def _get_version(self, _: Request, pipeline_id: str, version_id: str) -> Json:
        _found(self.pipelines, pipeline_id, "Pipeline")
        return _found(self.versions, version_id, "PipelineVersion")

    # Runs.

    def _create_run(self, request: Request) -> Json:
        return self._new_run(request.json())

    def _new_run(self, body: Json) -> Json:
        self._check_launchable(body)
        run = self._stored(self.runs, "run_id", {**body, "state": "PENDING"})
        steps = pipeline_specs.steps(self._spec_of(body))
        self.workflows[run["run_id"]] = [argo_nodes.Task(step) for step in steps]
        return run

    def _list_runs(self, request: Request) -> Json:
        answer = self._listed("runs", self._in_scope(self.runs, request), request)
        if "runs" in answer:
            answer["runs"] = [self._with_tasks(run) for run in answer["runs"]]
        return answer

    def _get_run(self, _: Request, run_id: str) -> Json:
        answer = self._with_tasks(_found(self.runs, run_id, "Run"))
        self._advance(self.runs[run_id])
        return answer

    def _with_tasks(self, run: Json) -> Json:
        copied: Json = json.loads(json.dumps(run))
        if run["state"] != "PENDING":
            found = self._nodes(run)
            copied["run_details"] = {
                "task_details": argo_nodes.rows(found, run["run_id"], was_cached=self.is_cached)
            }
        return copied

    def _nodes(self, run: Json) -> list[argo_nodes.Node]:
        tasks = self.workflows.get(run["run_id"], [])
        return argo_nodes.nodes(f"two-tasks-{run['run_id'][-5:]}", tasks, run["state"])

    def _get_run_v1(self, _: Request, run_id: str) -> Json:
        """The run with Argo's own account of it; here nothing moves on."""
        run = _found(self.runs, run_id, "Run")
        if not self.has_v1:
            raise RefusedError(404, "Not Found")
        named = {"id": run_id, "name": run["display_name"]}
        return {
            "run": named,
            "pipeline_runtime": {"workflow_manifest": argo_nodes.manifest(self._nodes(run), run["state"])},
        }

    def _read_log(self, _: Request, run_id: str, pod_name: str) -> str:
        """Answers 200 before it looks for the log, as the real one does."""
        found = [node for node in self._nodes(_found(self.runs, run_id, "Run")) if node.task]
        if pod_name not in [node.pod_name for node in found]:
            return json.dumps({"error_message": f"Failed to read logs for run {run_id}"})
        return f"{'.' * 100_000}\n{self.pod_log}"

    def _advance(self, run: Json) -> None:
        """Moves a run one step on, each time that somebody has looked."""
        tasks = self.workflows.get(run["run_id"])
        if run["state"] in FINAL or tasks is None:  # a workflow that was deleted reports nothing any more
            return
        if run["state"] == "CANCELING":
            self._reported(run, "CANCELING", "FAILED")
            return
        self._reported(run, "RUNNING")
        usual = [task for task in tasks if not task.step.is_exit]
        failing = self.failing or usual[-1].step.name
        for task in tasks:
            if task.state == "RUNNING" and not self._ended(task, is_failing=task.step.name == failing):
                return
        has_failed = any(task.state == "FAILED" for task in tasks)
        waiting = [
            task for task in tasks if task.state == "PENDING" and (task.step.is_exit or not has_failed)
        ]
        if waiting:
            self._start(waiting[0])
        elif self.outcome != "HANG":
            self._reported(run, self.outcome)

    def _start(self, task: argo_nodes.Task) -> None:
        deleted = ["pod deleted"] * self.deleted_pods.get(task.step.name, 0)
        task.state, task.started_at, task.attempts = "RUNNING", self._stamp(), [*deleted, ""]

    def _ended(self, task: argo_nodes.Task, *, is_failing: bool) -> bool:
        """Ends a task, unless it is the one at which the run hangs."""
        if is_failing and self.outcome == "HANG":
            return False
        task.state = "FAILED" if is_failing and self.outcome == "FAILED" else "SUCCEEDED"
        if task.state == "FAILED":
            task.attempts[-1] = self.message
        return True

    def _reported(self, run: Json, *states: str) -> None:
        history = run.setdefault("state_history", [])
        for state in states:
            if not history or history[-1]["state"] != state:
                history.append({"update_time": self._stamp(), "state": state})
            run["state"] = state
        if run["state"] in FINAL:
            run["finished_at"] = self._stamp()

    def _terminate_run(self, _: Request, run_id: str) -> Json:
        run = _found(self.runs, run_id, "Run")
        if run["state"] in FINAL:
            raise RefusedError(400, f"Failed to terminate a run {run_id}. Row not found")
        run["state"] = "CANCELING"
        return {}

    # Recurring runs.

    def _create_recurring_run(self, request: Request) -> Json:
        body = request.json()
        self._check_launchable(body)
        concurrency = body.get("max_concurrency")
        if not isinstance(concurrency, int) or not 1 <= concurrency <= 10:
            raise RefusedError(400, "The max concurrency of the recurring run is out of range. Support 1-10.")
        cron_rules.check_for_kfp(body.get("trigger", {}).get("cron_schedule", {}).get("cron", ""))
        if body.get("mode") not in ("ENABLE", "DISABLE"):
            raise RefusedError(400, "The mode of the recurring run is invalid")
        return self._stored(self.recurring_runs, "recurring_run_id", {**body, **_status(body["mode"])})

    def _list_recurring_runs(self, request: Request) -> Json:
        return self._listed("recurringRuns", self._in_scope(self.recurring_runs, request), request)

    def _get_recurring_run(self, _: Request, identity: str) -> Json:
        return _found(self.recurring_runs, identity, "RecurringRun")

    def _delete_recurring_run(self, request: Request, identity: str) -> Json:
        """Kubernetes deletes what a deleted object owns, running workflows too, unless it is told not to."""
        _found(self.recurring_runs, identity, "RecurringRun")
        del self.recurring_runs[identity]
        if request.query.get("propagation_policy") != "ORPHAN":
            for run in self.runs.values():
                if run.get("recurring_run_id") == identity and run["state"] not in FINAL:
                    del self.workflows[run["run_id"]]
        return {}

    def _switch_recurring_run(self, _: Request, identity: str, verb: str) -> Json:
        _found(self.recurring_runs, identity, "RecurringRun").update(_status(verb.upper()))
        self._fire(identity)
        return {}

    def _fire(self, identity: str) -> None:
        """Without catching up it still makes up for the last time that it has missed."""
        row = self.recurring_runs[identity]
        if row["mode"] != "ENABLE":
            return
        since = self.fired.get(identity) or datetime.datetime.fromisoformat(row["created_at"])
        due = cron_rules.kfp_fire_times(row["trigger"]["cron_schedule"]["cron"], since, self._now)
        for time in due[-1:] if row.get("no_catchup") else due:
            self.fired[identity] = time
            kept = ("experiment_id", "pipeline_version_reference", "runtime_config", "service_account")
            body = {key: row[key] for key in kept if key in row}
            name = f"{row['display_name']}-{len(self.runs)}"
            self._new_run({**body, "display_name": name, "recurring_run_id": identity})

    # What several of them share.

    def _check_launchable(self, body: Json) -> None:
        _found(self.experiments, body.get("experiment_id", ""), "Experiment")
        if not body.get("display_name"):
            raise RefusedError(400, "display_name is empty")
        spec = self._spec_of(body)
        pipeline_specs.check_parameters(spec, body.get("runtime_config", {}).get("parameters", {}))
        for accelerator in pipeline_specs.accelerator_types(spec):
            if not re.fullmatch(r"[a-z0-9.-]+/[a-z0-9.-]+", accelerator):
                raise RefusedError(400, f"{accelerator} is not a Kubernetes resource name")

    def _spec_of(self, body: Json) -> Json:
        stored = body.get("pipeline_spec")
        if stored is None:
            version_id = body.get("pipeline_version_reference", {}).get("pipeline_version_id", "")
            stored = _found(self.versions, version_id, "PipelineVersion")["pipeline_spec"]
        spec: Json = stored.get("pipeline_spec", stored)
        return spec

    def _in_scope(self, rows: dict[str, Json], request: Request) -> list[Json]:
        experiment_id = request.query.get("experiment_id")
        if experiment_id:
            _found(self.experiments, experiment_id, "Experiment")
            return [row for row in rows.values() if row["experiment_id"] == experiment_id]
        self._check_namespace(request.query.get("namespace"))
        return list(rows.values())

    def _must_be_new(self, rows: dict[str, Json], name: str) -> None:
        if not name:
            raise RefusedError(400, "name is empty")
        if any(row["display_name"] == name for row in rows.values()):
            raise RefusedError(409, f"Already exist error: {name}. Please specify a new name")

    def _stored(self, rows: dict[str, Json], key: str, row: Json) -> Json:
        stored = {**row, key: next(self._ids), "created_at": self._stamp()}
        rows[stored[key]] = stored
        return stored

    def _listed(self, name: str, rows: list[Json], request: Request) -> Json:
        query = {"filter": request.query.get("filter"), "sort_by": request.query.get("sort_by")}
        start = _page_start(request.query.get("page_token"), query)
        rows = _filtered(rows, _decoded_again(query["filter"] or ""))
        if (query["sort_by"] or "").endswith(" desc"):
            rows = rows[::-1]  # every table is kept in the order of creation
        here = dataclasses.replace(request, query={**request.query, "page_token": str(start)})
        shown, following = page(rows, here, "page_size", "page_token", self.page_limit)
        token = (
            base64.urlsafe_b64encode(json.dumps([int(following), query]).encode()).decode()
            if following
            else ""
        )
        answer = {name: shown, "total_size": len(rows), "next_page_token": token}
        return {
            key: value for key, value in answer.items() if value
        }  # the real server leaves out what is empty


_ROUTES = (
    (r"/healthz", "GET", "_healthz"),
    (r"/experiments", "GET", "_list_experiments"),
    (r"/experiments", "POST", "_create_experiment"),
    (r"/pipelines", "GET", "_list_pipelines"),
    (r"/pipelines", "POST", "_create_pipeline"),
    (r"/pipelines/upload", "POST", "_upload_pipeline"),
    (r"/pipelines/upload_version", "POST", "_upload_version"),
    (r"/pipelines/([^/]+)/versions", "GET", "_list_versions"),
    (r"/pipelines/([^/]+)/versions/([^/]+)", "GET", "_get_version"),
    (r"/runs", "POST", "_create_run"),
    (r"/runs", "GET", "_list_runs"),
    (r"/runs/([^/:]+)", "GET", "_get_run"),
    (r"/runs/([^/:]+):terminate", "POST", "_terminate_run"),
    (r"/apis/v1beta1/healthz", "GET", "_healthz"),
    (r"/apis/v1beta1/runs/([^/:]+)", "GET", "_get_run_v1"),
    (r"/apis/v1alpha1/runs/([^/:]+)/nodes/([^/:]+)/log", "GET", "_read_log"),
    (r"/recurringruns", "POST", "_create_recurring_run"),
    (r"/recurringruns", "GET", "_list_recurring_runs"),
    (r"/recurringruns/([^/:]+)", "GET", "_get_recurring_run"),
    (r"/recurringruns/([^/:]+)", "DELETE", "_delete_recurring_run"),
    (r"/recurringruns/([^/:]+):(enable|disable)", "POST", "_switch_recurring_run"),
)


def _status(mode: str) -> Json:
    return {"mode": mode, "status": f"{mode}D"}


def _found(rows: dict[str, Json], key: str, kind: str) -> Json:
    if key not in rows:
        raise RefusedError(404, f"{kind} {key} not found")
    return rows[key]


def _uploaded(request: Request) -> Json:
    """Returns the checked spec of a multipart upload; with Kubernetes settings a pair of documents."""
    head = f"Content-Type: {request.headers['content-type']}\r\n\r\n".encode()
    message = email.message_from_bytes(head + request.body, policy=email.policy.HTTP)
    [uploaded] = [part.get_content() for part in message.iter_parts() if part.get_filename()]
    documents: list[Json] = list(yaml.load_all(uploaded, Loader=yaml.CSafeLoader))
    pipeline_specs.check_spec(documents[0])
    if len(documents) == 1:
        return documents[0]
    return {"pipeline_spec": documents[0], "platform_spec": documents[1]}


def _page_start(token: str | None, query: Json) -> int:
    if not token:
        return 0
    try:
        start, asked = json.loads(base64.urlsafe_b64decode(token))
    except ValueError:
        raise RefusedError(400, "Invalid page token") from None
    if asked != query:
        raise RefusedError(400, "page token does not match the filter and sort order")
    return int(start)


def _decoded_again(text: str) -> str:
    if re.search(r"%(?![0-9A-Fa-f]{2})", text):
        raise RefusedError(400, f"failed to parse valid filter from {text!r}: invalid URL escape")
    return urllib.parse.unquote_plus(text)


def _filtered(rows: list[Json], text: str) -> list[Json]:
    for predicate in json.loads(text or "{}").get("predicates", []):
        if predicate["operation"] not in (1, "EQUALS"):
            raise RefusedError(400, f"unsupported operation {predicate['operation']}")
        wanted: Any = predicate.get("stringValue", predicate.get("string_value"))
        rows = [row for row in rows if row.get(predicate["key"]) == wanted]
    return rows
