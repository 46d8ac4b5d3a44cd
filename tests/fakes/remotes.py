"""Both platforms behind one face, for tests that must hold on each: a fake server and its environment."""

import contextlib
import copy
import dataclasses
import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from pipeline.compile.nodes import KfpNodes, VertexNodes
from pipeline.environments import Environment, KfpEnvironment, VertexEnvironment
from pipeline.platforms.opening import open_platform
from pipeline.platforms.platform import DeclaredSchedule, Package, Platform, Submission
from tests.fakes.kfp_server import KfpServer
from tests.fakes.loopback import Loopback
from tests.fakes.vertex_server import VertexServer

TOKEN = "not-a-real-token"
KINDS = ("kfp", "vertex")
_TABLES = {
    "kfp": ("experiments", "pipelines", "versions", "runs", "recurring_runs", "workflows", "fired"),
    "vertex": ("jobs", "schedules"),
}
SPEC: Mapping[str, Any] = {
    "schemaVersion": "2.1.0",
    "sdkVersion": "kfp-2.17.0",
    "pipelineInfo": {"name": "two-tasks"},
    "deploymentSpec": {"executors": {"exec-work": {"container": {"image": "example.com/work@sha256:0"}}}},
    "components": {"comp-work": {"executorLabel": "exec-work"}},
    "root": {
        "inputDefinitions": {
            "parameters": {
                "epochs": {"parameterType": "NUMBER_INTEGER", "defaultValue": 1.0},
                "bucket_uri": {"parameterType": "STRING", "defaultValue": ""},
            }
        },
        "dag": {
            "tasks": {
                "first": {"componentRef": {"name": "comp-work"}, "taskInfo": {"name": "first"}},
                "second": {"componentRef": {"name": "comp-work"}, "taskInfo": {"name": "second"}},
            }
        },
    },
}


@dataclasses.dataclass(frozen=True)
class Remote:
    """A fake server that stands for one environment's platform."""

    kind: str
    server: KfpServer | VertexServer

    @property
    def environment(self) -> KfpEnvironment | VertexEnvironment:
        return environment_at(self.kind, self.server.url)

    def platform(self) -> Platform:
        return open_platform(self.environment)

    def enabled(self, name: str) -> int:
        """How many schedules of the name would fire."""
        if isinstance(self.server, KfpServer):
            return len(self.server.enabled(name))
        return len(self.server.active(f" {name} "))

    def schedules(self) -> list[dict[str, Any]]:
        held = self.server.recurring_runs if isinstance(self.server, KfpServer) else self.server.schedules
        return list(held.values())

    def held(self) -> dict[str, Any]:
        """A copy of everything that the server holds, for `hold`."""
        return copy.deepcopy({name: getattr(self.server, name) for name in _TABLES[self.kind]})

    def hold(self, tables: dict[str, Any] | None) -> None:
        """Makes the server hold that, or nothing, and forget its log and faults."""
        for name in _TABLES[self.kind]:
            setattr(self.server, name, copy.deepcopy(tables[name]) if tables else {})
        self.server.log.clear()
        self.server.faults.clear()

    def runs(self) -> list[dict[str, Any]]:
        return list((self.server.runs if isinstance(self.server, KfpServer) else self.server.jobs).values())


@contextlib.contextmanager
def remote(kind: str, **settings: Any) -> Iterator[Remote]:
    """Serves one platform's fake; every request must carry TOKEN."""
    server: Loopback
    with (KfpServer if kind == "kfp" else VertexServer)(token=TOKEN, **settings) as server:
        yield Remote(kind, server)


def environment_at(kind: str, url: str) -> KfpEnvironment | VertexEnvironment:
    """An environment named `test` whose platform answers at `url`."""
    shared: dict[str, Any] = {
        "name": "test",
        "target": kind,
        "auth": "bearer",
        "token": TOKEN,
        "bucket_uri": "gs://example/models",
        "pipeline_root": "gs://example/runs",
        "digests": Path("digests.json"),
        "time_zone": "UTC",
        "timeout_seconds": 5,
    }
    environment: Environment
    if kind == "kfp":
        environment = KfpEnvironment(
            **shared, host=url, experiment="mnist", nodes=KfpNodes(accelerator="none")
        )
    else:
        place: dict[str, Any] = {"project": "example-project", "region": "europe-west4", "api_endpoint": url}
        environment = VertexEnvironment(**shared, **place, nodes=VertexNodes(accelerator="none"))
    return environment


def submission(epochs: int = 1, run_name: str = "run-1") -> Submission:
    text = yaml.safe_dump(dict(SPEC))
    parameters = {"epochs": epochs, "bucket_uri": "gs://example/models"}
    return Submission(run_name, Package((SPEC,), "abc123-0", text), parameters)


def declared(kind: str, name: str = "nightly", *, epochs: int = 1, enabled: bool = True) -> DeclaredSchedule:
    """A schedule whose digest depends on `epochs`."""
    return DeclaredSchedule(
        name=name,
        digest=hashlib.sha256(f"{name} {epochs}".encode()).hexdigest()[:16],
        cron="0 30 2 * * *" if kind == "kfp" else "TZ=UTC 30 2 * * *",
        max_concurrency=1,
        catch_up=False,
        enabled=enabled,
        submission=submission(epochs, f"{name}-{epochs}"),
    )
