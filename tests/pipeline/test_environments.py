"""Environments: variables over files, secrets in variables only, errors that name file and key."""

import os
from pathlib import Path

import pytest

from components.errors import UsageError
from pipeline import dag, environments
from pipeline.compile.nodes import Resources

KFP = """\
target: kfp
host: https://kfp.example.com/pipeline
auth: bearer
experiment: mnist
bucket_uri: gs://example/models
digests: digests.json
nodes: {accelerator: nvidia.com/gpu, count: 2, selector: {pool: gpu}}
time_zone: UTC
"""
VERTEX = """\
target: vertex
project: example-project
region: europe-west4
pipeline_root: gs://example/runs
bucket_uri: gs://example/models
digests: digests.json
nodes: {accelerator: NVIDIA_TESLA_T4}
time_zone: Europe/Paris
"""


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(environments.PREFIX)]:
        monkeypatch.delenv(name)


def written(directory: Path, text: str, name: str = "prod") -> Path:
    (directory / f"{name}.yaml").write_text(text, encoding="utf-8")
    return directory


def refused(directory: Path, text: str) -> str:
    with pytest.raises(UsageError) as error:
        environments.load("prod", written(directory, text))
    assert "\n" not in str(error.value)
    return str(error.value)


def test_shipped_files_load_and_each_target_has_one() -> None:
    targets = {environments.load(name).target for name in environments.names()}
    assert targets == {"local", "kfp", "vertex"}


def test_file_becomes_typed_values_with_paths_from_its_folder(tmp_path: Path) -> None:
    environment = environments.load("prod", written(tmp_path, KFP))
    assert isinstance(environment, environments.KfpEnvironment)
    assert (environment.name, environment.nodes.count) == ("prod", 2)
    assert environment.digests == tmp_path / "digests.json"


def test_a_home_in_a_path_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    text = KFP.replace("digests.json", "~/digests.json") + "token_path: ~/token\nca_cert_path: ~/ca.pem\n"
    environment = environments.load("prod", written(tmp_path, text))
    assert isinstance(environment, environments.KfpEnvironment)
    assert environment.digests == Path("/home/me/digests.json")
    assert (environment.token_path, environment.ca_cert_path) == (
        Path("/home/me/token"),
        Path("/home/me/ca.pem"),
    )
    assert environments.load(
        "prod", written(tmp_path, "target: local\nbucket_uri: ~/models\n")
    ).bucket_uri == ("/home/me/models")
    assert "no such user's home" in refused(tmp_path, KFP.replace("digests.json", "~no-such-user/x"))


def test_variables_go_over_the_file_key_by_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MNIST_PIPELINE_HOST", "http://127.0.0.1:8888")
    monkeypatch.setenv("MNIST_PIPELINE_NODES__COUNT", "4")
    monkeypatch.setenv("MNIST_PIPELINE_DIGESTS", "elsewhere.json")
    environment = environments.load("prod", written(tmp_path, KFP))
    assert isinstance(environment, environments.KfpEnvironment)
    assert environment.host == "http://127.0.0.1:8888"
    assert (environment.nodes.accelerator, environment.nodes.count) == ("nvidia.com/gpu", 4)
    assert environment.digests == Path("elsewhere.json")


def test_a_variable_for_another_target_may_stand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MNIST_PIPELINE_HOST", "http://127.0.0.1:8888")
    assert environments.load("prod", written(tmp_path, VERTEX)).target == "vertex"


def test_a_misspelt_variable_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MNIST_PIPELINE_HOTS", "x")
    assert "MNIST_PIPELINE_HOTS: no such setting; known: " in refused(tmp_path, KFP)


def test_a_wrong_variable_is_named_not_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MNIST_PIPELINE_NODES__COUNT", "three")
    assert refused(tmp_path, KFP).startswith("MNIST_PIPELINE_NODES__COUNT: ")


def test_secrets_come_from_variables_and_are_never_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = refused(tmp_path, KFP + "token: canary\n")
    assert "prod.yaml: token: is a secret: set MNIST_PIPELINE_TOKEN instead" in message
    assert "canary" not in message
    monkeypatch.setenv("MNIST_PIPELINE_TOKEN", "canary")
    environment = environments.load("prod", written(tmp_path, KFP))
    assert isinstance(environment, environments.KfpEnvironment)
    assert environment.token is not None
    assert environment.token.get_secret_value() == "canary"
    assert "canary" not in repr(environment)
    monkeypatch.setenv("MNIST_PIPELINE_NODES__COUNT", "0")
    assert "canary" not in refused(tmp_path, KFP)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (KFP.replace("host:", "hots:"), ["prod.yaml: host: is required", "prod.yaml: hots: no such key"]),
        (
            KFP.replace("https://kfp.example.com/pipeline", "kfp.example.com"),
            ["host: must be http(s)://HOST"],
        ),
        (KFP.replace(".com/pipeline", ".com/pipeline/#/runs"), ["host: must be", "no ?, # or @"]),
        (KFP.replace(".com/pipeline", ".com/pipeline?ns=team"), ["host: must be", "no ?, # or @"]),
        (KFP.replace("https://kfp", "https://user:secret@kfp"), ["host: must be", "no ?, # or @"]),
        (KFP.replace("experiment: mnist", f"experiment: {'x' * 129}"), ["experiment: ", "128 characters"]),
        (VERTEX + "api_endpoint: example.com/#/x\n", ["api_endpoint: must be a host name, with no path"]),
        (KFP.replace("target: kfp", "target: slurm"), ["target='slurm': must be one of local, kfp, vertex"]),
        (KFP.replace("target: kfp\n", ""), ["target=None"]),
        (KFP.replace("target: kfp", "target: [kfp]"), ["target=['kfp']: must be one of local, kfp, vertex"]),
        (KFP.replace("bearer", "password"), ["prod.yaml: auth: "]),
        (KFP.replace("time_zone: UTC", "time_zone: CET+1"), ["time_zone", "not an IANA time zone"]),
        (KFP.replace("nvidia.com/gpu", "NVIDIA_TESLA_T4"), ["nodes.accelerator: must be a Kubernetes"]),
        (KFP.replace("gs://example/models", "s3://example/models"), ["bucket_uri"]),
        (KFP + "resources: {trian: {cpu: 1}}\n", ["resources.trian", "is no task; known: ingest, train, "]),
        (KFP + "resources: {train: {time_limit: 9d}}\n", ["resources.train.time_limit: must be more than 0"]),
        (KFP + "resources: {train: {time_limit: 6}}\n", ["resources.train.time_limit: "]),
        (KFP + "variables: {NOTIFY_WEBHOOK: x}\n", ["variables: NOTIFY_WEBHOOK: is none that may be set"]),
        (KFP + "variables: {HTTP_PROXY: 'http://a:b@c'}\n", ["variables: HTTP_PROXY: must be an http"]),
        (
            KFP.replace("count: 2", "count: 2, tolerations: [{key: team, value: ml}]"),
            ["nodes.tolerations.0: value=ml: operator Exists has none; did you mean operator: Equal?"],
        ),
        (KFP.replace("nvidia.com/gpu", "none"), ["nodes: count=2: needs an accelerator"]),
        (KFP.replace("count: 2", "count: 17"), ["nodes.count: must be at most 16"]),
        (KFP.replace("pool: gpu", "pool: two words"), ["nodes.selector.pool: must be the value of a Kube"]),
        (VERTEX.replace("T4}", "T4, count: 3}"), ["nodes.count: must be one of 1, 2, 4, 8, 16"]),
        (KFP + "resources: {train: {memory: lots}}\n", ["resources.train.memory: must be an amount"]),
        (KFP + "namespace: Not_Kubernetes\n", ["namespace: must be a Kubernetes name"]),
        (KFP + "project: example-project\n", ["prod.yaml: project: no such key for this target"]),
        (KFP + "target: kfp\n", ["target is given twice"]),
        (VERTEX.replace("project: example-project\n", ""), ["prod.yaml: project: is required"]),
        (
            VERTEX.replace("NVIDIA_TESLA_T4", "nvidia.com/gpu"),
            ["nodes.accelerator: must be a Vertex AI type"],
        ),
        (VERTEX.replace("gs://example/runs", "/tmp/runs"), ["pipeline_root: must be gs://"]),
        (VERTEX.replace("europe-west4", "Europe"), ["region: must be a region"]),
        (VERTEX + "host: https://example.com\n", ["prod.yaml: host: no such key for this target"]),
        (VERTEX.replace("T4}", "T4, spot: true}"), ["nodes.spot: no such key for this target"]),
        (VERTEX.replace("T4}", "T4, selector: {a: b}}"), ["nodes.selector: no such key for this target"]),
        (KFP.replace("bearer", "dex") + "token_path: token\n", ["token_path: auth=dex would ignore it"]),
        ("[]", ["must be a mapping"]),
        ("target: [", ["is not YAML"]),
    ],
)
def test_each_wrong_key_is_named_with_its_file(tmp_path: Path, text: str, expected: list[str]) -> None:
    message = refused(tmp_path, text)
    assert "prod.yaml" in message
    for words in expected:
        assert words in message


@pytest.mark.parametrize(
    ("variable", "value"),
    [("NODES", "{"), ("NODES", "none"), ("NODES__TOLERATIONS", "[{"), ("RESOURCES", "4")],
)
def test_a_variable_of_another_form_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(f"MNIST_PIPELINE_{variable}", value)
    assert refused(tmp_path, KFP).startswith(f"MNIST_PIPELINE_{variable}: ")


@pytest.mark.parametrize("name", ["TOKEN", "COOKIE", "DEX_USERNAME", "DEX_PASSWORD"])
def test_an_empty_secret_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(f"MNIST_PIPELINE_{name}", "")
    assert refused(tmp_path, KFP) == f"MNIST_PIPELINE_{name}: is empty"


@pytest.mark.parametrize("value", [" canary", "canary\n", "can\rary"])
@pytest.mark.parametrize("name", ["TOKEN", "COOKIE"])
def test_a_secret_that_no_header_can_carry_is_refused_and_not_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"MNIST_PIPELINE_{name}", value)
    assert refused(tmp_path, KFP) == f"MNIST_PIPELINE_{name}: has spaces around it or line breaks in it"


def test_a_path_may_start_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    environment = environments.load("prod", written(tmp_path, KFP.replace("digests.json", "~/digests.json")))
    assert isinstance(environment, environments.KfpEnvironment)
    assert environment.digests == tmp_path / "home" / "digests.json"


def test_unknown_environment_lists_the_known(tmp_path: Path) -> None:
    written(tmp_path, KFP, "staging")
    with pytest.raises(UsageError, match=r"--env=prod: no such environment .*; known: staging"):
        environments.load("prod", tmp_path)


@pytest.mark.parametrize(
    ("machine_type", "cpu", "memory"),
    [("n1-standard-4", "4", "15360Mi"), ("n1-highcpu-16", "16", "14745Mi"), ("e2-highmem-2", "2", "16384Mi")],
)
def test_a_machine_type_asks_for_its_cpu_and_memory(
    machine_type: str, cpu: str, memory: str, tmp_path: Path
) -> None:
    text = VERTEX.replace("T4}", f"T4, machine_type: {machine_type}}}")
    environment = environments.load("prod", written(tmp_path, text))
    assert isinstance(environment, environments.VertexEnvironment)
    assert environment.nodes.machine() == Resources(cpu=cpu, memory=memory)


@pytest.mark.parametrize("machine_type", ["n1-standard-0", "a2-highgpu-1g", "n1-standard", "big"])
def test_an_unknown_machine_type_is_refused_with_the_known_ones(machine_type: str, tmp_path: Path) -> None:
    message = refused(tmp_path, VERTEX.replace("T4}", f"T4, machine_type: {machine_type}}}"))
    assert "nodes.machine_type" in message
    assert "n1-standard" in message


@pytest.mark.parametrize("size", ["cpu: '2'", "memory: 8G"])
def test_a_machine_type_beside_trains_size_is_refused(tmp_path: Path, size: str) -> None:
    text = VERTEX.replace("T4}", "T4, machine_type: n1-standard-4}") + f"resources: {{train: {{{size}}}}}\n"
    assert "nodes.machine_type and resources.train both size train" in refused(tmp_path, text)


def test_a_machine_type_may_stand_beside_trains_time_limit(tmp_path: Path) -> None:
    text = VERTEX.replace("T4}", "T4, machine_type: n1-standard-4}")
    environment = environments.load(
        "prod", written(tmp_path, text + "resources: {train: {time_limit: 12h}}\n")
    )
    assert isinstance(environment, environments.VertexEnvironment)
    assert environment.resources == {"train": Resources(time_limit="12h")}


def test_every_task_of_the_dag_may_have_resources(tmp_path: Path) -> None:
    wishes = ", ".join(f"{task}: {{memory: 3G}}" for task in dag.RESOURCES)
    environment = environments.load("prod", written(tmp_path, KFP + f"resources: {{{wishes}}}\n"))
    assert isinstance(environment, environments.KfpEnvironment)
    assert environment.resources == dict.fromkeys(dag.RESOURCES, Resources(memory="3G"))


def test_variables_of_tasks_come_from_the_file_or_from_variables_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path, KFP + "variables: {BUCKET_DEADLINE: 300, NO_PROXY: .svc}\n")
    monkeypatch.setenv("MNIST_PIPELINE_VARIABLES__NO_PROXY", ".example")
    environment = environments.load("prod", tmp_path)
    assert isinstance(environment, environments.KfpEnvironment)
    assert environment.variables == {"BUCKET_DEADLINE": "300", "NO_PROXY": ".example"}
