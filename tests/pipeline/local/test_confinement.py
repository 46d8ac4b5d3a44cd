"""Each task's container sees what its own parameters name, and no more."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from components.errors import StorageError, UsageError
from pipeline import dag
from pipeline.compile.documents import images_of, local_spec
from pipeline.local import confinement, docker_runner
from pipeline.local.confinement import confine, memory_bytes, webhook_variable
from pipeline.local.containers import ALL_GPUS, Container, Mount
from pipeline.local.docker_options import Options

TASKS = ("scan", "ingest", "lookup", "train", "evaluate", "export", "export-2", "notify")
EXPORTS = ("export", "export-2")
OFFLINE = Options()
ONLINE = Options(network="bridge")
STORES = {
    "GOOGLE_CLOUD_PROJECT": "example-project",
    "STORAGE_EMULATOR_HOST": "http://127.0.0.1:4443",
    "STORAGE_EMULATOR_ALLOW_REMOTE": "1",
}
PROXIES = {
    name: f"value of {name}"
    for upper in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
    for name in (upper, upper.lower())
}


@dataclasses.dataclass(frozen=True)
class Here:
    """This machine's part: a folder with everything that a run may name."""

    directory: Path

    def arguments(self, **changes: Any) -> dict[str, Any]:
        names = {"bucket_uri": "bucket", "checkpoint_uri": "checkpoints"}
        names |= {"mirror": "mirror", "batches_uri": "batches"}
        paths = {name: str(self.directory / path) for name, path in names.items()}
        return {**paths, "notify_webhook": "", **changes}

    def containers(self, options: Options = OFFLINE, **changes: Any) -> dict[str, Container]:
        confined = confine(
            self.arguments(**changes), options, runs_dir=self.directory / "runs", label="run=1"
        )
        spec = local_spec()
        return {
            task: confined.of(task, image, docker_runner.inputs_of(spec, task), {})
            for task, image in images_of(spec).items()
        }

    def seeing(self, path: str, **changes: Any) -> dict[str, bool]:
        """The tasks that see a path, and whether they may write there."""
        return {
            task: mount.writable
            for task, container in self.containers(**changes).items()
            for mount in container.mounts
            if mount.path == str(self.directory / path)
        }


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Here:
    for name in (*STORES, *PROXIES, "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "GOOGLE_APPLICATION_CREDENTIALS"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "mirror").mkdir()
    (tmp_path / "batches").mkdir()
    return Here(tmp_path)


def having(containers: dict[str, Container], variable: str) -> set[str]:
    return {
        task
        for task, container in containers.items()
        if variable in container.inherited or variable in container.environment
    }


def test_every_task_of_the_dag_has_a_container(here: Here) -> None:
    assert set(here.containers()) == set(TASKS) == set(dag.RESOURCES)


def test_only_export_writes_the_bucket_and_only_train_its_checkpoints(here: Here) -> None:
    readers = {"lookup": False, "evaluate": False, "notify": False}
    assert here.seeing("bucket") == {**readers, "export": True, "export-2": True}
    assert here.seeing("bucket/conclusions") == {"lookup": True, "evaluate": True}
    assert (here.directory / "bucket" / "conclusions").is_dir()  # a mount has to have a place
    assert here.seeing("checkpoints") == {"train": True}
    assert here.seeing("mirror") == {"ingest": False}
    assert here.seeing("batches") == {"scan": False, "ingest": False}


def test_the_signing_key_is_there_only_where_it_signs(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODEL_SIGNING_KEY", str(here.directory / "key.pem"))
    monkeypatch.setenv("MODEL_VERIFY_KEY", str(here.directory / "public.pem"))
    assert here.seeing("key.pem") == dict.fromkeys(EXPORTS, False)
    assert having(here.containers(), "MODEL_SIGNING_KEY") == set(EXPORTS)
    assert here.seeing("public.pem") == dict.fromkeys(("lookup", "evaluate", "notify", *EXPORTS), False)
    monkeypatch.setenv("MODEL_VERIFY_KEY", "")
    assert having(here.containers(), "MODEL_VERIFY_KEY") == set()


def test_what_stores_need_is_there_only_with_a_network_and_where_there_is_a_store(
    here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Credentials are of use to nobody without a network, and a task without one must not see them."""
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(here.directory / "credentials.json"))
    for name, value in STORES.items():
        monkeypatch.setenv(name, value)
    assert here.seeing("credentials.json") == {}
    everybody = set(TASKS)  # notify reads what the run came to
    assert here.seeing("credentials.json", options=ONLINE) == dict.fromkeys(everybody, False)
    for name in STORES:
        assert having(here.containers(), name) == set()
        assert having(here.containers(ONLINE), name) == everybody


def test_proxies_and_the_authorities_behind_them_are_there_with_a_network(
    here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in PROXIES.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("SSL_CERT_FILE", str(here.directory / "ca.pem"))
    for name in (*PROXIES, "SSL_CERT_FILE"):
        assert having(here.containers(), name) == set()
        assert having(here.containers(ONLINE), name) == set(TASKS)
    assert here.seeing("ca.pem", options=ONLINE) == dict.fromkeys(TASKS, False)


def test_the_buckets_deadline_is_there_in_any_case(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BUCKET_DEADLINE", "30")
    assert having(here.containers(), "BUCKET_DEADLINE") == set(TASKS)


@pytest.mark.parametrize(
    ("webhook", "variable"), [("env:TOLD", "TOLD"), ("https://example.com/canary", "NOTIFY_WEBHOOK")]
)
def test_the_webhooks_address_is_there_for_notify_alone(
    here: Here, monkeypatch: pytest.MonkeyPatch, webhook: str, variable: str
) -> None:
    assert webhook_variable(webhook) == variable
    monkeypatch.setenv(variable, "https://example.com/canary")
    containers = here.containers(ONLINE, notify_webhook=webhook)
    assert having(containers, variable) == {"notify"}
    assert "canary" not in repr(containers)  # which are written to a file


def test_what_a_variable_holds_is_written_nowhere(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://user:canary@proxy.example:3128")
    containers = here.containers(ONLINE)
    assert "canary" not in repr(containers)
    assert containers["train"].arguments()["environment"]["HTTPS_PROXY"].startswith("http://user:canary@")


def test_memory_is_what_a_cluster_grants_unless_more_is_given(here: Here) -> None:
    granted = {task: container.memory_bytes for task, container in here.containers().items()}
    assert granted == {task: memory_bytes(dag.RESOURCES[task].memory or "") for task in TASKS}
    assert granted["train"] == 4_000_000_000
    more = here.containers(Options(memory="8Gi"))
    assert {container.memory_bytes for container in more.values()} == {8 << 30}


def test_only_train_gets_gpus(here: Here) -> None:
    for given, count in (("", 0), ("2", 2), ("all", ALL_GPUS)):
        containers = here.containers(Options(gpus=given))
        assert {task: each.gpus for task, each in containers.items() if each.gpus} == (
            {"train": count} if count else {}
        )


def test_every_container_is_limited_and_has_nothing_writable_but_its_mounts_and_tmp(here: Here) -> None:
    for container in here.containers().values():
        arguments = container.arguments()
        assert arguments["read_only"]
        assert arguments["network_mode"] == "none"
        assert arguments["cap_drop"] == ["ALL"]
        assert arguments["pids_limit"] > 0
        assert arguments["mem_limit"] == arguments["memswap_limit"] == container.memory_bytes
        assert list(arguments["tmpfs"]) == ["/tmp"]
        assert "size=" in arguments["tmpfs"]["/tmp"]


def test_a_container_survives_json(here: Here) -> None:
    container = dataclasses.replace(here.containers()["train"], mounts=(Mount("/data"),), inherited=("HOME",))
    assert Container.from_json(dataclasses.asdict(container)) == container


@pytest.mark.parametrize("field", ["bucket_uri", "checkpoint_uri", "mirror", "batches_uri"])
def test_what_is_remote_needs_a_network(here: Here, field: str) -> None:
    with pytest.raises(
        UsageError, match=f"{field}=gs://bucket/models: containers have no network unless one"
    ):
        here.containers(OFFLINE, **{field: "gs://bucket/models"})
    assert here.containers(ONLINE, **{field: "gs://bucket/models"})


@pytest.mark.parametrize("webhook", ["env:TOLD", "https://example.com/canary"])
def test_a_webhook_needs_a_network(here: Here, webhook: str) -> None:
    with pytest.raises(UsageError, match=r"^notify_webhook: containers have no network unless one") as error:
        here.containers(notify_webhook=webhook)
    assert "canary" not in str(error.value)


def test_directories_that_cannot_be_used_are_named(here: Here) -> None:
    file = here.directory / "file"
    file.touch()
    with pytest.raises(StorageError, match=f"--runs-dir={file}: cannot be written"):
        confinement.confine(here.arguments(), Options(), runs_dir=file, label="run=1")
    with pytest.raises(StorageError, match="bucket_uri=/proc/bucket: cannot be written"):
        here.containers(bucket_uri="/proc/bucket")
    with pytest.raises(StorageError, match=f"mirror={file}: is not a directory"):
        here.containers(mirror=str(file))


@pytest.mark.parametrize("gpus", ["0", "-1", "some", "1.5"])
def test_gpus_are_all_or_a_count(here: Here, gpus: str) -> None:
    with pytest.raises(UsageError, match=f"--gpus={gpus}: must be"):
        here.containers(Options(gpus=gpus))


@pytest.mark.parametrize(
    ("quantity", "expected"),
    [("1024", 1024), ("1K", 1000), ("512Mi", 512 << 20), ("1.5G", 1_500_000_000), ("2Ti", 2 << 40)],
)
def test_memory_is_in_kubernetes_units(quantity: str, expected: int) -> None:
    assert memory_bytes(quantity) == expected


@pytest.mark.parametrize("quantity", ["4g", "4GB", "-1G", "i", "1i", "G", "1e3"])
def test_other_units_are_refused(here: Here, quantity: str) -> None:
    with pytest.raises(UsageError, match=f"--memory={quantity}: must be a number with"):
        here.containers(Options(memory=quantity))
