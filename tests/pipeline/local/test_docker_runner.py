"""What must be there before a run in containers: an engine, and images of this checkout's code."""

import gc
import hashlib
import io
import json
import os
import socket
import tarfile
import tempfile
from pathlib import Path

import docker
import pytest

from components.errors import StorageError, UsageError
from pipeline.compile.documents import local_spec, use_images
from pipeline.images import references
from pipeline.local import docker_runner
from pipeline.local.docker_options import Options

NOWHERE = dict.fromkeys(("bucket_uri", "checkpoint_uri", "mirror", "batches_uri", "notify_webhook"), "")


@pytest.mark.containers
def test_an_image_that_is_missing_is_named(engine: docker.DockerClient, tmp_path: Path) -> None:
    with (
        pytest.raises(UsageError, match=r"image \S+:no-such-tag: is not on this machine; run `make images`"),
        docker_runner.by_task(
            local_spec(), NOWHERE, Options(tag="no-such-tag"), runs_dir=tmp_path, pinned=False
        ),
    ):
        pass


@pytest.mark.containers
def test_an_image_of_other_code_is_refused_unless_a_yaml_names_it(
    engine: docker.DockerClient, base_image: str, tmp_path: Path
) -> None:
    tag = f"test-{os.getpid()}"
    names = [references.repository(component) for component in references.COMPONENTS]
    for name in names:
        engine.images.get(base_image).tag(name, tag)
    try:
        with (
            pytest.raises(UsageError, match=rf"image \S+:{tag}: was built from other code"),
            docker_runner.by_task(local_spec(), NOWHERE, Options(tag=tag), runs_dir=tmp_path, pinned=False),
        ):
            pass
        spec = local_spec()
        use_images(spec, references.resolve(tag=tag))
        with docker_runner.by_task(spec, NOWHERE, Options(), runs_dir=tmp_path, pinned=True) as containers:
            assert containers["export"].image == f"mnist-pipeline-export:{tag}"
            assert containers["export"].environment["PIPELINE_TRAIN_IMAGE"] == f"mnist-pipeline-train:{tag}"
    finally:
        for name in names:
            engine.images.remove(f"{name}:{tag}", noprune=True)


@pytest.mark.parametrize(
    "given", [Options(tag="tag"), Options(registry="host"), Options(digests=Path("file"))]
)
def test_a_yaml_names_its_images_itself(tmp_path: Path, given: Options) -> None:
    with (
        pytest.raises(UsageError, match=r"--from-yaml names its images: leave out --registry, --tag and"),
        docker_runner.by_task(local_spec(), NOWHERE, given, runs_dir=tmp_path, pinned=True),
    ):
        pass


# docker-py drops the socket of a connection that fails
dropped_socket = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@dropped_socket
@pytest.mark.parametrize("address", ["unix:///nowhere/docker.sock", "tcp://127.0.0.1:9"])
def test_without_an_engine_one_line_says_so(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("DOCKER_HOST", address)
    with (
        pytest.raises(StorageError, match=f"container engine at {address}: does not answer"),
        docker_runner.engine(),
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
                docker_runner.engine(),
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
def test_an_image_for_another_architecture_is_refused(engine: docker.DockerClient) -> None:
    other = "arm64" if engine.version()["Arch"] != "arm64" else "amd64"
    reference = "mnist-pipeline-test:other-architecture"
    engine.images.load(image_archive(reference, other))
    try:
        with pytest.raises(UsageError, match=f"image {reference}: is for {other}, this engine runs"):
            docker_runner.check_image(engine, reference)
    finally:
        engine.images.remove(reference)
