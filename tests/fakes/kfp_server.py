"""The Kubeflow Pipelines API server, as far as `kfp.Client` can tell: /apis/v2beta1 over HTTP.

It refuses what the real one refuses: a second pipeline, version or experiment of one name (409), a parameter
of the wrong type, a cron of the wrong shape, a concurrency outside 1..10, a page token of another query. And
it accepts what the real one accepts: five cron fields, any number of recurring runs of one name.
"""

import base64
import dataclasses
import datetime
import email
import email.policy
import itertools
import json
import re
from typing import Any

import yaml

from tests.fakes import cron_rules, pipeline_specs
from tests.fakes.loopback import Json, Loopback, RefusedError, Request, page

FINAL = ("SUCCEEDED", "FAILED", "CANCELED", "SKIPPED")


@dataclasses.dataclass
class KfpServer(Loopback):
    """`outcome` is the state in which runs end; `HANG` leaves them running."""

    namespace: str | None = None  # a multi-user installation when set
    outcome: str = "SUCCEEDED"
    page_limit: int = 200
    experiments: dict[str, Json] = dataclasses.field(default_factory=dict)
    pipelines: dict[str, Json] = dataclasses.field(default_factory=dict)
    versions: dict[str, Json] = dataclasses.field(default_factory=dict)
    runs: dict[str, Json] = dataclasses.field(default_factory=dict)
    recurring_runs: dict[str, Json] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        self._ids = (f"00000000-0000-4000-8000-{number:012x}" for number in itertools.count(1))
        self._clock = itertools.count()
        super().__post_init__()

    def enabled(self, name: str) -> list[Json]:
        """The enabled recurring runs of one name."""
        rows = self.recurring_runs.values()
        return [row for row in rows if row["display_name"] == name and row["mode"] == "ENABLE"]

    def answer(self, request: Request) -> Json:
        path = request.path.removeprefix("/apis/v2beta1")
        for pattern, method, name in _ROUTES:
            match = re.fullmatch(pattern, path)
            if match and method == request.method:
                answered: Json = getattr(self, name)(request, *match.groups())
                return answered
        raise RefusedError(404, f"Not Found: {request.method} {request.path}")

    def _stamp(self) -> str:
        start = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
        return (start + datetime.timedelta(seconds=next(self._clock))).strftime("%Y-%m-%dT%H:%M:%SZ")

    def _healthz(self, _: Request) -> Json:
        return {"multi_user": self.namespace is not None}

    # Experiments.

    def _list_experiments(self, request: Request) -> Json:
        self._check_namespace(request.query.get("namespace"))
        return self._listed("experiments", list(self.experiments.values()), request)

    def _create_experiment(self, request: Request) -> Json:
        body = request.json()
        self._check_namespace(body.get("namespace"))
        self._must_be_new(self.experiments, body["display_name"])
        return self._stored(self.experiments, "experiment_id", body)

    def _check_namespace(self, namespace: str | None) -> None:
        if self.namespace is None and namespace:
            raise RefusedError(400, "In single-user mode, the namespace must be empty")
        if self.namespace and not namespace:
            raise RefusedError(400, "Namespace is empty; in multi-user mode it is required")
        if self.namespace != (namespace or None):
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
        body = request.json()
        self._check_launchable(body)
        tasks = pipeline_specs.task_names(self._spec_of(body))
        details = {
            "task_details": [{"display_name": name, "task_id": name, "state": "PENDING"} for name in tasks]
        }
        return self._stored(self.runs, "run_id", {**body, "state": "PENDING", "run_details": details})

    def _list_runs(self, request: Request) -> Json:
        return self._listed("runs", self._in_scope(self.runs, request), request)

    def _get_run(self, _: Request, run_id: str) -> Json:
        run = _found(self.runs, run_id, "Run")
        answer: Json = json.loads(json.dumps(run))
        self._advance(run)
        return answer

    def _advance(self, run: Json) -> None:
        """Moves a run one step on, each time that somebody has looked."""
        if run["state"] in FINAL:
            return
        if run["state"] == "CANCELING":
            run.update(state="CANCELED", finished_at=self._stamp())
            return
        run["state"] = "RUNNING"
        tasks = run["run_details"]["task_details"]
        running = [task for task in tasks if task["state"] == "RUNNING"]
        waiting = [task for task in tasks if task["state"] == "PENDING"]
        last = "FAILED" if self.outcome == "FAILED" and not waiting else "SUCCEEDED"
        if running and not (self.outcome == "HANG" and not waiting):
            running[0]["state"] = last
        if waiting:
            waiting[0]["state"] = "RUNNING"
        elif self.outcome != "HANG":
            run.update(state=self.outcome, finished_at=self._stamp())
            if self.outcome == "FAILED":
                run["error"] = {"code": 2, "message": "task failed"}

    def _terminate_run(self, _: Request, run_id: str) -> Json:
        run = _found(self.runs, run_id, "Run")
        if run["state"] in FINAL:
            raise RefusedError(400, f"Failed to terminate run {run_id}: it has already finished")
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

    def _delete_recurring_run(self, _: Request, identity: str) -> Json:
        _found(self.recurring_runs, identity, "RecurringRun")
        del self.recurring_runs[identity]
        return {}

    def _switch_recurring_run(self, _: Request, identity: str, verb: str) -> Json:
        _found(self.recurring_runs, identity, "RecurringRun").update(_status(verb.upper()))
        return {}

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
        rows = _filtered(rows, query["filter"])
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


def _filtered(rows: list[Json], text: str | None) -> list[Json]:
    for predicate in json.loads(text or "{}").get("predicates", []):
        if predicate["operation"] not in (1, "EQUALS"):
            raise RefusedError(400, f"unsupported operation {predicate['operation']}")
        wanted: Any = predicate.get("stringValue", predicate.get("string_value"))
        rows = [row for row in rows if row.get(predicate["key"]) == wanted]
    return rows
