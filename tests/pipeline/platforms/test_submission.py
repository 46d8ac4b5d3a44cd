"""Each key of an environment is found again in what the platform is sent, set to its default or not."""

import dataclasses
import json
import os
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from pipeline import environments
from pipeline.images.references import COMPONENTS, repository
from pipeline.platforms.opening import open_platform
from pipeline.platforms.submission import describe, fallbacks, package_for, submission_for
from pipeline.sections import Section
from tests.fakes import remotes
from tests.fakes.loopback import Request
from tests.fakes.remotes import Remote


@dataclasses.dataclass(frozen=True)
class Sent:
    """What a platform got: the run, the compiled documents, and the requests that brought them."""

    run: dict[str, Any]
    spec: dict[str, Any]
    pods: dict[str, Any]
    requests: list[Request]

    def container(self, task: str) -> dict[str, Any]:
        found: dict[str, Any] = self.spec["deploymentSpec"]["executors"][f"exec-{task}"]["container"]
        return found

    def resource(self, task: str, name: str) -> Any:
        return self.container(task)["resources"].get(name)

    def accelerator(self, name: str) -> Any:
        return self.resource("train", "accelerator")[name]

    def variables(self, task: str) -> dict[str, str]:
        return {each["name"]: each["value"] for each in self.container(task).get("env", [])}

    def pod(self, task: str) -> dict[str, Any]:
        found: dict[str, Any] = self.pods[f"exec-{task}"]
        return found

    def created(self, path: str) -> dict[str, Any]:
        [body] = [r.json() for r in self.requests if r.method == "POST" and r.path.endswith(path)]
        return body

    def query(self, name: str) -> str | None:
        return next((request.query[name] for request in self.requests if name in request.query), None)


# How each key shows, in any environment.
SHARED: dict[str, Callable[[Sent], Any]] = {
    "digests": lambda sent: sent.container("train")["image"],
    "token": lambda sent: {request.headers.get("authorization") for request in sent.requests},
    "nodes.accelerator": lambda sent: sent.accelerator("resourceType"),
    "nodes.count": lambda sent: sent.accelerator("resourceCount"),
    "resources.cpu": lambda sent: sent.resource("evaluate", "resourceCpuRequest"),
    "resources.memory": lambda sent: sent.resource("evaluate", "resourceMemoryLimit"),
    "variables": lambda sent: sent.variables("ingest"),
}
KFP: dict[str, Callable[[Sent], Any]] = {
    **SHARED,
    "bucket_uri": lambda sent: sent.run["runtime_config"]["parameters"]["bucket_uri"],
    "namespace": lambda sent: sent.query("namespace"),
    "experiment": lambda sent: sent.created("/experiments")["display_name"],
    "service_account": lambda sent: sent.run.get("service_account"),
    "pipeline_root": lambda sent: sent.run["runtime_config"].get("pipeline_root"),
    "run_as_non_root": lambda sent: sent.pod("ingest").get("securityContext"),
    "resources.time_limit": lambda sent: sent.pod("evaluate")["activeDeadlineSeconds"],
    "nodes.selector": lambda sent: sent.pod("train").get("nodeSelector", {}).get("labels", {}).get("pool"),
    "nodes.spot": lambda sent: (
        sent.pod("train").get("nodeSelector", {}).get("labels", {}).get("cloud.google.com/gke-spot")
    ),
    # The first one is the accelerator's own.
    "nodes.tolerations.key": lambda sent: sent.pod("train")["tolerations"][1]["key"],
    "nodes.tolerations.operator": lambda sent: sent.pod("train")["tolerations"][1]["operator"],
    "nodes.tolerations.value": lambda sent: sent.pod("train")["tolerations"][1].get("value", ""),
    "nodes.tolerations.effect": lambda sent: sent.pod("train")["tolerations"][1]["effect"],
    "webhook_secret.name": lambda sent: [
        each["secretName"] for each in sent.pod("notify").get("secretAsEnv", [])
    ],
    "webhook_secret.key": lambda sent: [
        pair["secretKey"] for each in sent.pod("notify").get("secretAsEnv", []) for pair in each["keyToEnv"]
    ],
    "signing_secret.name": lambda sent: [
        each["secretName"] for each in sent.pod("export").get("secretAsVolume", [])
    ],
    "signing_secret.key": lambda sent: (
        sent.variables("export").get("MODEL_SIGNING_KEY", "").rpartition("/")[2]
    ),
}
VERTEX: dict[str, Callable[[Sent], Any]] = {
    **SHARED,
    "bucket_uri": lambda sent: sent.run["runtimeConfig"]["parameterValues"]["bucket_uri"],
    "project": lambda sent: sent.run["name"].split("/")[1],
    "region": lambda sent: sent.run["name"].split("/")[3],
    "pipeline_root": lambda sent: sent.run["runtimeConfig"]["gcsOutputDirectory"],
    "service_account": lambda sent: sent.run.get("serviceAccount", ""),
    "network": lambda sent: sent.run.get("network", ""),
    "nodes.machine_type": lambda sent: (
        sent.resource("train", "resourceCpuLimit"),
        sent.resource("train", "resourceMemoryLimit"),
    ),
    "resources.time_limit": lambda sent: sent.container("evaluate")["command"][2],
}
SHOWN = {"kfp": KFP, "vertex": VERTEX}
# Keys that say how the platform is reached, by whom and when: for this program, not for the run.
NOT_FOR_THE_RUN = {
    "name",
    "target",
    "host",
    "api_endpoint",
    "auth",
    "token_path",
    "ca_cert_path",
    "timeout_seconds",
    "cookie",
    "dex_username",
    "dex_password",
    "time_zone",  # of schedules
}


def sections_in(annotation: Any) -> Iterator[type[Section]]:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        yield annotation
    for inner in typing.get_args(annotation):
        yield from sections_in(inner)


def keys_of(model: type[BaseModel], above: str = "") -> Iterator[str]:
    """Yields every key of a kind of environment, those of its sections below them."""
    for name, field in model.model_fields.items():
        sections = list(sections_in(field.annotation))
        for section in sections:
            yield from keys_of(section, f"{above}{name}.")
        if not sections:
            yield f"{above}{name}"


@pytest.mark.parametrize(
    ("model", "shown"), [(environments.KfpEnvironment, KFP), (environments.VertexEnvironment, VERTEX)]
)
def test_no_key_is_left_out_below(model: type[BaseModel], shown: dict[str, Any]) -> None:
    assert set(keys_of(model)) - NOT_FOR_THE_RUN == set(shown)


def image(digit: str) -> str:
    return f"registry.example/team/{repository('train')}@sha256:{digit * 64}"


def digests_file(directory: Path, digit: str) -> Path:
    path = directory / f"{digit}.json"
    pinned = {name: image(digit).replace(repository("train"), repository(name)) for name in COMPONENTS}
    path.write_text(json.dumps(pinned), encoding="utf-8")
    return path


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(environments.PREFIX)]:
        monkeypatch.delenv(name)
    monkeypatch.setenv(f"{environments.PREFIX}TOKEN", remotes.TOKEN)


def sent_from(remote: Remote, directory: Path, content: dict[str, Any]) -> Sent:
    """Submits a run from an environment file that says `content`; returns what came of it."""
    address = "host" if remote.kind == "kfp" else "api_endpoint"
    written = {"target": remote.kind, "auth": "bearer", address: remote.server.url, **content}
    (directory / "prod.yaml").write_text(yaml.safe_dump(written), encoding="utf-8")
    environment = environments.load("prod", directory)
    assert not isinstance(environment, environments.LocalEnvironment)
    package = package_for(environment)
    parameters = fallbacks(environment)
    open_platform(environment).submit(submission_for(environment, package, parameters))
    [run] = remote.runs()
    pods: dict[str, Any] = {}
    if remote.kind == "kfp":
        [version] = remote.server.versions.values()  # type: ignore[union-attr]  # this one is a KfpServer
        stored = version["pipeline_spec"]
        pods = stored["platform_spec"]["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
        return Sent(run, stored["pipeline_spec"], pods, remote.server.log)
    return Sent(run, run["pipelineSpec"], pods, remote.server.log)


def found(sent: Sent, shown: dict[str, Callable[[Sent], Any]]) -> dict[str, Any]:
    return {key: show(sent) for key, show in shown.items()}


OTHER: dict[str, dict[str, Any]] = {
    "kfp": {
        "bucket_uri": "gs://other/models",
        "namespace": "mnist",
        "experiment": "other",
        "service_account": "runner",
        "pipeline_root": "gs://other/runs",
        "time_zone": "Europe/Paris",
        "run_as_non_root": False,
        "nodes": {
            "accelerator": "amd.com/gpu",
            "count": 4,
            "selector": {"pool": "gpus"},
            "tolerations": [{"key": "team", "operator": "Equal", "value": "ml", "effect": "NoExecute"}],
            "spot": True,
        },
        "resources": {"evaluate": {"cpu": "3", "memory": "7G", "time_limit": "2h"}},
        "variables": {"BUCKET_DEADLINE": 300, "NO_PROXY": ".svc"},
        "webhook_secret": {"name": "mnist-notify", "key": "url"},
        "signing_secret": {"name": "mnist-signing", "key": "key.pem"},
    },
    "vertex": {
        "bucket_uri": "gs://other/models",
        "project": "other-project",
        "region": "us-central1",
        "service_account": "runner@other-project.iam.gserviceaccount.com",
        "network": "projects/12345/global/networks/other",
        "pipeline_root": "gs://other/runs",
        "time_zone": "Europe/Paris",
        "nodes": {"accelerator": "NVIDIA_L4", "count": 4, "machine_type": "n1-standard-8"},
        "resources": {"evaluate": {"cpu": "3", "memory": "7G", "time_limit": "2h"}},
        "variables": {"BUCKET_DEADLINE": 300, "NO_PROXY": ".svc"},
    },
}
SHOWN_OTHER: dict[str, dict[str, Any]] = {
    "kfp": {
        "bucket_uri": "gs://other/models",
        "digests": image("b"),
        "token": {f"Bearer {remotes.TOKEN}"},
        "namespace": "mnist",
        "experiment": "other",
        "service_account": "runner",
        "pipeline_root": "gs://other/runs",
        "run_as_non_root": None,
        "nodes.accelerator": "amd.com/gpu",
        "nodes.count": "4",
        "nodes.selector": "gpus",
        "nodes.spot": "true",
        "nodes.tolerations.key": "team",
        "nodes.tolerations.operator": "Equal",
        "nodes.tolerations.value": "ml",
        "nodes.tolerations.effect": "NoExecute",
        "resources.cpu": "3",
        "resources.memory": "7G",
        "resources.time_limit": "7200",
        "variables": {"BUCKET_DEADLINE": "300", "NO_PROXY": ".svc"},
        "webhook_secret.name": ["mnist-notify"],
        "webhook_secret.key": ["url"],
        "signing_secret.name": ["mnist-signing"],
        "signing_secret.key": "key.pem",
    },
    "vertex": {
        "bucket_uri": "gs://other/models",
        "digests": image("b"),
        "token": {f"Bearer {remotes.TOKEN}"},
        "project": "other-project",
        "region": "us-central1",
        "service_account": "runner@other-project.iam.gserviceaccount.com",
        "network": "projects/12345/global/networks/other",
        "pipeline_root": "gs://other/runs",
        "nodes.accelerator": "NVIDIA_L4",
        "nodes.count": "4",
        "nodes.machine_type": ("8", "30720Mi"),
        "resources.cpu": "3",
        "resources.memory": "7G",
        "resources.time_limit": "2h",
        "variables": {"BUCKET_DEADLINE": "300", "NO_PROXY": ".svc"},
    },
}
# What has no default.
NEEDED: dict[str, dict[str, Any]] = {
    "kfp": {
        "bucket_uri": "gs://example/models",
        "experiment": "mnist",
        "time_zone": "UTC",
        "nodes": {"accelerator": "nvidia.com/gpu", "tolerations": [{"key": "team"}]},
    },
    "vertex": {
        "bucket_uri": "gs://example/models",
        "project": "example-project",
        "region": "europe-west4",
        "pipeline_root": "gs://example/runs",
        "time_zone": "UTC",
        "nodes": {"accelerator": "NVIDIA_TESLA_T4"},
    },
}
DEFAULTS: dict[str, dict[str, Any]] = {
    "kfp": {
        "namespace": None,
        "service_account": None,
        "pipeline_root": None,
        "run_as_non_root": True,
        "nodes": {
            "accelerator": "nvidia.com/gpu",
            "count": 1,
            "selector": {},
            "tolerations": [{"key": "team", "operator": "Exists", "value": "", "effect": "NoSchedule"}],
            "spot": False,
        },
        "resources": {"evaluate": {"cpu": None, "memory": None, "time_limit": None}},
        "variables": {},
        "webhook_secret": None,
        "signing_secret": None,
    },
    "vertex": {
        "service_account": None,
        "network": None,
        "nodes": {"accelerator": "NVIDIA_TESLA_T4", "count": 1, "machine_type": None},
        "resources": {"evaluate": {"cpu": None, "memory": None, "time_limit": None}},
        "variables": {},
    },
}
SHOWN_DEFAULT: dict[str, dict[str, Any]] = {
    "kfp": {
        "bucket_uri": "gs://example/models",
        "digests": image("a"),
        "token": {f"Bearer {remotes.TOKEN}"},
        "namespace": None,
        "experiment": "mnist",
        "service_account": None,
        "pipeline_root": None,
        "run_as_non_root": {"runAsNonRoot": True},
        "nodes.accelerator": "nvidia.com/gpu",
        "nodes.count": "1",
        "nodes.selector": None,
        "nodes.spot": None,
        "nodes.tolerations.key": "team",
        "nodes.tolerations.operator": "Exists",
        "nodes.tolerations.value": "",
        "nodes.tolerations.effect": "NoSchedule",
        "resources.cpu": "1",
        "resources.memory": "2G",
        "resources.time_limit": "3600",
        "variables": {},
        "webhook_secret.name": [],
        "webhook_secret.key": [],
        "signing_secret.name": [],
        "signing_secret.key": "",
    },
    "vertex": {
        "bucket_uri": "gs://example/models",
        "digests": image("a"),
        "token": {f"Bearer {remotes.TOKEN}"},
        "project": "example-project",
        "region": "europe-west4",
        "service_account": "",
        "network": "",
        "pipeline_root": "gs://example/runs",
        "nodes.accelerator": "NVIDIA_TESLA_T4",
        "nodes.count": "1",
        "nodes.machine_type": ("2", "4G"),
        "resources.cpu": "1",
        "resources.memory": "2G",
        "resources.time_limit": "1h",
        "variables": {},
    },
}


@pytest.mark.parametrize("kind", remotes.KINDS)
def test_every_key_that_is_set_arrives(kind: str, tmp_path: Path) -> None:
    settings = {"namespace": "mnist"} if kind == "kfp" else {}
    with remotes.remote(kind, **settings) as remote:
        content = OTHER[kind] | {"digests": str(digests_file(tmp_path, "b"))}
        assert found(sent_from(remote, tmp_path, content), SHOWN[kind]) == SHOWN_OTHER[kind]


@pytest.mark.parametrize("written", [True, False])
@pytest.mark.parametrize("kind", remotes.KINDS)
def test_every_default_arrives_whether_it_is_written_or_not(kind: str, written: bool, tmp_path: Path) -> None:
    with remotes.remote(kind) as remote:
        content = NEEDED[kind] | (DEFAULTS[kind] if written else {})
        content["digests"] = str(digests_file(tmp_path, "a"))
        assert found(sent_from(remote, tmp_path, content), SHOWN[kind]) == SHOWN_DEFAULT[kind]


@pytest.mark.parametrize("kind", remotes.KINDS)
def test_a_dry_run_shows_every_key_of_the_nodes(kind: str, tmp_path: Path) -> None:
    content = NEEDED[kind] | {"digests": str(digests_file(tmp_path, "a")), "target": kind}
    if kind == "kfp":
        content |= {"host": "https://kfp.example", "auth": "none"}
    (tmp_path / "prod.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    environment = environments.load("prod", tmp_path)
    assert not isinstance(environment, environments.LocalEnvironment)
    package = package_for(environment)
    shown = describe(environment, submission_for(environment, package, fallbacks(environment)))
    nodes = json.loads(json.dumps(shown))["nodes"]
    assert set(nodes) == set(type(environment.nodes).model_fields)
    if kind == "kfp":
        assert set(nodes["tolerations"][0]) == {"key", "operator", "value", "effect"}
