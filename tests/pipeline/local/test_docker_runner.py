import gc
import hashlib
import io
import json
import os
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import docker
import pytest
from kfp.local import docker_task_handler, status

from components.errors import StorageError, UsageError
from pipeline.local import containers, docker_runner

FAST_FAILURES = 50


def run_command(image: str, command: list[str], runs_dir: Path, **options: Any) -> status.Status:
    """Runs one container exactly as KFP's local runner does."""
    with docker_runner.docker_runner({}, runs_dir=runs_dir, **options) as runner:
        handler = docker_task_handler.DockerTaskHandler(image, command, str(runs_dir), runner)
        return handler.run()


def leftovers(engine: docker.DockerClient, directory: Path) -> list[Any]:
    """Containers that work in `directory`; other runs on this machine may have theirs."""
    containers = engine.containers.list(
        all=True, ignore_removed=True, filters={"label": docker_runner.RUN_LABEL}
    )
    return [each for each in containers if str(directory) in json.dumps(each.attrs["Mounts"])]


@pytest.mark.containers
def test_no_container_that_fails_at_once_is_taken_for_a_success(
    engine: docker.DockerClient, base_image: str, tmp_path: Path
) -> None:
    with docker_runner.docker_runner({}, runs_dir=tmp_path) as runner:
        handler = docker_task_handler.DockerTaskHandler(base_image, ["false"], str(tmp_path), runner)
        outcomes = [handler.run() for _ in range(FAST_FAILURES)]
    assert outcomes.count(status.Status.FAILURE) == FAST_FAILURES
    assert leftovers(engine, tmp_path) == []


@pytest.mark.containers
def test_the_log_comes_while_the_container_runs(
    base_image: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[str] = []

    def look() -> None:
        time.sleep(1.5)
        seen.append(capsys.readouterr().out)

    watcher = threading.Thread(target=look)
    watcher.start()
    outcome = run_command(
        base_image, ["sh", "-c", "echo first; sleep 3; echo last; printf 'caf\\303\\251'"], tmp_path
    )
    watcher.join()
    assert outcome is status.Status.SUCCESS
    assert seen == ["first\n"]
    assert capsys.readouterr().out == "last\ncafé\n"


@pytest.mark.containers
def test_a_container_can_write_only_its_outputs_the_bucket_and_tmp(
    base_image: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bucket_dir, mirror_dir, runs_dir = tmp_path / "bucket", tmp_path / "mirror", tmp_path / "runs"
    mirror_dir.mkdir()
    script = f"""
        for directory in {runs_dir} {bucket_dir} /tmp; do touch $directory/written || exit 1; done
        for directory in {mirror_dir} / /home /usr; do touch $directory/written 2>/dev/null && exit 2; done
        grep CapEff /proc/self/status
        grep NoNewPrivs /proc/self/status
        ls /sys/class/net
        id -u
    """
    outcome = run_command(
        base_image, ["sh", "-c", script], runs_dir, bucket_uri=f"file://{bucket_dir}", mirror=str(mirror_dir)
    )
    assert outcome is status.Status.SUCCESS
    assert capsys.readouterr().out.split() == [
        "CapEff:",
        "0" * 16,
        "NoNewPrivs:",
        "1",
        "lo",
        str(os.getuid()),
    ]
    assert (bucket_dir / "written").stat().st_uid == os.getuid()


@pytest.mark.containers
def test_a_network_is_there_when_it_is_asked_for(
    base_image: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        run_command(base_image, ["ls", "/sys/class/net"], tmp_path, network="bridge") is status.Status.SUCCESS
    )
    assert "eth0" in capsys.readouterr().out.split()


@pytest.mark.containers
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_the_container_and_lets_it_save_first(
    engine: docker.DockerClient, base_image: str, tmp_path: Path, number: signal.Signals
) -> None:
    script = f"""
import sys
from pathlib import Path
from concurrent.futures import ThreadPoolExecutor
from kfp.local import docker_task_handler
from pipeline.local import docker_runner
task = "trap 'echo saved >{tmp_path}/saved; exit 75' TERM; echo started; while true; do sleep 0.1; done"
with docker_runner.docker_runner({{}}, runs_dir=Path("{tmp_path}")) as runner:
    command = ["sh", "-c", "sh -c \\"$0\\"; exit $?", task]
    handler = docker_task_handler.DockerTaskHandler("{base_image}", command, "{tmp_path}", runner)
    with ThreadPoolExecutor() as pool:  # as KFP runs the tasks of a pipeline with a condition
        pool.submit(handler.run).result()
"""
    run = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert run.stdout is not None
    assert run.stdout.readline() == "started\n"
    run.send_signal(number)
    _, errors = run.communicate(timeout=containers.STOP_SECONDS)
    assert run.returncode != 0
    assert errors.strip().endswith("KeyboardInterrupt")
    assert (tmp_path / "saved").read_text(encoding="utf-8") == "saved\n"
    assert leftovers(engine, tmp_path) == []


@pytest.mark.containers
def test_what_the_engine_refuses_is_one_line_and_a_failure(
    engine: docker.DockerClient, base_image: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = run_command(base_image, ["true"], tmp_path, gpus="all")
    assert outcome is status.Status.FAILURE
    line = capsys.readouterr().out.strip()
    assert line.startswith(f"StorageError: container engine: {base_image}: ")
    assert "\n" not in line
    assert leftovers(engine, tmp_path) == []


@pytest.mark.containers
def test_an_image_that_is_missing_is_named(engine: docker.DockerClient, tmp_path: Path) -> None:
    with (
        pytest.raises(UsageError, match=r"image no-such:tag: is not on this machine; run `make images`"),
        docker_runner.docker_runner({"train": "no-such:tag"}, runs_dir=tmp_path),
    ):
        pass


@pytest.mark.containers
def test_an_image_of_other_code_is_refused(base_image: str, tmp_path: Path) -> None:
    with (
        pytest.raises(UsageError, match=f"image {base_image}: was built from other code"),
        docker_runner.docker_runner({"train": base_image}, runs_dir=tmp_path),
    ):
        pass


# docker-py drops the socket of a connection that fails
dropped_socket = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@dropped_socket
@pytest.mark.parametrize("address", ["unix:///nowhere/docker.sock", "tcp://127.0.0.1:9"])
def test_without_an_engine_one_line_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("DOCKER_HOST", address)
    with (
        pytest.raises(StorageError, match=f"container engine at {address}: does not answer"),
        docker_runner.docker_runner({}, runs_dir=tmp_path),
    ):
        pass
    gc.collect()


@dropped_socket
def test_an_engine_that_this_user_may_not_use_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    user = os.geteuid()
    with tempfile.TemporaryDirectory() as directory, socket.socket(socket.AF_UNIX) as listener:
        address = f"{directory}/docker.sock"
        listener.bind(address)
        listener.listen()
        Path(address).chmod(0)
        Path(directory).chmod(0o777)
        monkeypatch.setenv("DOCKER_HOST", f"unix://{address}")
        monkeypatch.setenv("HOME", directory)
        try:
            os.seteuid(user or 65534)  # root may use any socket
            with (
                pytest.raises(StorageError, match=f"engine at unix://{address}: this user may not use it"),
                docker_runner.docker_runner({}, runs_dir=Path(directory)),
            ):
                pass
        finally:
            os.seteuid(user)
    gc.collect()


def image_archive(reference: str, architecture: str) -> bytes:
    """An image with one empty layer, as `docker save` writes it."""
    layer = io.BytesIO()
    tarfile.open(fileobj=layer, mode="w").close()
    layers = [f"sha256:{hashlib.sha256(layer.getvalue()).hexdigest()}"]
    rootfs = {"type": "layers", "diff_ids": layers}
    config = {"architecture": architecture, "os": "linux", "config": {}, "rootfs": rootfs}
    manifest = [{"Config": "config.json", "RepoTags": [reference], "Layers": ["layer.tar"]}]
    members = {
        "layer.tar": layer.getvalue(),
        "config.json": json.dumps(config).encode(),
        "manifest.json": json.dumps(manifest).encode(),
    }
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return archive.getvalue()


@pytest.mark.containers
def test_an_image_for_another_architecture_is_refused(engine: docker.DockerClient, tmp_path: Path) -> None:
    other = "arm64" if engine.version()["Arch"] != "arm64" else "amd64"
    reference = "mnist-pipeline-test:other-architecture"
    engine.images.load(image_archive(reference, other))
    try:
        with (
            pytest.raises(UsageError, match=f"image {reference}: is for {other}, this engine runs"),
            docker_runner.docker_runner({"train": reference}, runs_dir=tmp_path),
        ):
            pass
    finally:
        engine.images.remove(reference)


def test_a_remote_bucket_or_mirror_needs_a_network(tmp_path: Path) -> None:
    for option in ("bucket_uri", "mirror"):
        options = {"bucket_uri": "", "mirror": "", option: "gs://bucket/models"}
        with pytest.raises(UsageError, match=f"{option}=gs://bucket/models: containers have no network"):
            docker_runner.run_arguments(runs_dir=tmp_path, network="none", gpus="", **options)


def test_directories_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    options = {"bucket_uri": "", "mirror": "", "network": "none", "gpus": ""}
    with pytest.raises(StorageError, match=f"--runs-dir={file}: cannot be written"):
        docker_runner.run_arguments(runs_dir=file, **options)
    with pytest.raises(StorageError, match="bucket_uri=/proc/bucket: cannot be written"):
        docker_runner.run_arguments(runs_dir=tmp_path, **{**options, "bucket_uri": "/proc/bucket"})
    with pytest.raises(StorageError, match=f"mirror={file}: is not a directory"):
        docker_runner.run_arguments(runs_dir=tmp_path, **{**options, "mirror": str(file)})


def test_keys_reach_the_containers_as_files_that_they_can_only_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODEL_SIGNING_KEY", str(tmp_path / "key.pem"))
    monkeypatch.setenv("MODEL_VERIFY_KEY", "")
    options = {"bucket_uri": "", "mirror": "", "network": "none", "gpus": ""}
    arguments = docker_runner.run_arguments(runs_dir=tmp_path, **options)
    assert arguments["environment"]["MODEL_SIGNING_KEY"] == str(tmp_path / "key.pem")
    assert "MODEL_VERIFY_KEY" not in arguments["environment"]
    [mount] = arguments["mounts"]
    assert (mount["Source"], mount["Target"]) == (str(tmp_path / "key.pem"),) * 2
    assert mount["ReadOnly"]


def test_what_google_clients_read_reaches_the_containers_only_with_a_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Credentials are of use to nobody without a network, and a task without one must not see them."""
    credentials = tmp_path / "credentials.json"
    given = {
        "GOOGLE_APPLICATION_CREDENTIALS": str(credentials),
        "GOOGLE_CLOUD_PROJECT": "example-project",
        "STORAGE_EMULATOR_HOST": "http://127.0.0.1:4443",
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    options = {"runs_dir": tmp_path, "bucket_uri": "", "mirror": "", "gpus": ""}
    without = docker_runner.run_arguments(network="none", **options)  # type: ignore[arg-type]
    assert not given.keys() & without["environment"].keys()
    assert without["mounts"] == []
    online = docker_runner.run_arguments(network="bridge", **options)  # type: ignore[arg-type]
    assert given.items() <= online["environment"].items()
    assert [(mount["Source"], mount["ReadOnly"]) for mount in online["mounts"]] == [(str(credentials), True)]


@pytest.mark.parametrize("gpus", ["0", "-1", "some", "1.5"])
def test_gpus_are_all_or_a_count(tmp_path: Path, gpus: str) -> None:
    with pytest.raises(UsageError, match=f"--gpus={gpus}: must be"):
        docker_runner.run_arguments(runs_dir=tmp_path, bucket_uri="", mirror="", network="none", gpus=gpus)


def test_gpus_are_passed_through(tmp_path: Path) -> None:
    def requested(gpus: str) -> list[Any]:
        options = {"bucket_uri": "", "mirror": "", "network": "none", "gpus": gpus}
        return [
            request["Count"]
            for request in docker_runner.run_arguments(runs_dir=tmp_path, **options)["device_requests"]
        ]

    assert (requested(""), requested("all"), requested("2")) == ([], [-1], [2])
