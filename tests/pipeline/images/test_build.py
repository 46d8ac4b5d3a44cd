import io
import os
import re
import subprocess
import sys
import tarfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from components.errors import StorageError, UsageError
from pipeline.images import build, references
from tests.fakes import image_registry

CONTAINERS = references.CHECKOUT / "containers"
TOOLS = Path(sys.executable).parent


def test_the_dockerfile_is_linted() -> None:
    done = subprocess.run([TOOLS / "hadolint", CONTAINERS / "Dockerfile"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_scripts_are_linted() -> None:
    scripts = sorted(CONTAINERS.glob("*.sh"))
    done = subprocess.run([TOOLS / "shellcheck", *scripts], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_a_client_with_buildx_or_an_old_one_is_found_and_another_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def client(name: str, script: str) -> Path:
        path = tmp_path / name / "docker"
        path.parent.mkdir()
        path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        path.chmod(0o755)
        return path

    bare = client("bare", '[ "$1" = buildx ] && exit 1; echo Docker version 28.2.2, build e6534b4')
    old = client("old", '[ "$1" = buildx ] && exit 1; echo Docker version 20.10.24, build 297e128')
    with_buildx = client("with-buildx", "exit 0")
    monkeypatch.setenv("PATH", f"{bare.parent}:{with_buildx.parent}")
    assert build.build_client() == str(with_buildx)
    monkeypatch.setenv("PATH", f"{bare.parent}:{old.parent}")
    assert build.build_client() == str(old)
    monkeypatch.setenv("PATH", str(bare.parent))
    with pytest.raises(UsageError, match=rf"no docker client with BuildKit .* \(without it: {bare}\)"):
        build.build_client()


def fake_docker(directory: Path, script: str) -> str:
    """A PATH on which `docker` is a shell script."""
    path = directory / "docker"
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(0o755)
    return f"{directory}:/usr/bin:/bin"


def test_without_an_engine_nothing_is_built(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", fake_docker(tmp_path, "[ $1 = buildx ]"))
    with pytest.raises(StorageError, match="base image: no engine answers; start one with containers/engine"):
        build.build(tag="tag")


def test_a_failed_build_says_which_image(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", fake_docker(tmp_path, "[ $1 != build ]"))
    with pytest.raises(StorageError, match=r"building mnist-pipeline-ingest:tag failed \(exit code 1\)"):
        build.build(tag="tag")


PINNED = re.compile(r"python:3\.11-slim-bookworm@sha256:[0-9a-f]{64}")
STAND_IN = "mnist-pipeline-base:bookworm"


def base_image(directory: Path, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """What the script says of an engine whose client behaves as `script` does."""
    return subprocess.run(
        [CONTAINERS / "base-image.sh", *arguments],
        env={"PATH": fake_docker(directory, f'echo "$@" >>{directory}/asked\n{script}')},
        capture_output=True,
        text=True,
    )


def test_the_base_image_is_pinned_by_digest_and_pulled_by_that(tmp_path: Path) -> None:
    done = base_image(tmp_path, "[ $1 != image ]")
    assert done.returncode == 0
    assert PINNED.fullmatch(done.stdout.strip())
    assert f"pull --quiet {done.stdout.strip()}" in (tmp_path / "asked").read_text(encoding="utf-8")


def test_a_pinned_base_that_is_there_is_neither_pulled_nor_replaced(tmp_path: Path) -> None:
    done = base_image(tmp_path, "true")
    assert PINNED.fullmatch(done.stdout.strip())
    assert "pull" not in (tmp_path / "asked").read_text(encoding="utf-8")


def test_a_stand_in_has_a_name_of_its_own(tmp_path: Path) -> None:
    """Nobody who looks at an image's label takes it for the official one."""
    done = base_image(tmp_path, f'[ $1 != image ] || [ "$3" = {STAND_IN} ]', "--find")
    assert (done.returncode, done.stdout) == (0, f"{STAND_IN}\n")


def test_a_base_that_is_not_there_is_not_made_when_it_is_only_looked_for(tmp_path: Path) -> None:
    done = base_image(tmp_path, "[ $1 != image ]", "--find")
    assert (done.returncode, done.stdout) == (75, "")
    assert done.stderr.startswith("base image: there is neither python:3.11-slim-bookworm@sha256:")


def test_every_stage_that_ships_says_what_it_stands_on() -> None:
    text = (CONTAINERS / "Dockerfile").read_text(encoding="utf-8")
    assert re.search(rf"^ARG BASE_IMAGE={PINNED.pattern}$", text, re.M)
    label = 'org.opencontainers.image.base.name="${BASE_IMAGE}"'
    assert text.count("\nARG BASE_IMAGE\n") == text.count(label) == len(references.COMPONENTS)


@pytest.fixture
def tiny(engine: docker.DockerClient) -> Iterator[str]:
    """A tag at which each component's image is a few bytes that no other image has."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        entry = tarfile.TarInfo("file")
        entry.size = 32
        archive.addfile(entry, io.BytesIO(uuid.uuid4().hex.encode()))
    tag = f"tiny-{uuid.uuid4().hex[:8]}"
    reference = f"mnist-pipeline-test:{tag}"
    engine.api.import_image_from_data(content.getvalue(), repository="mnist-pipeline-test", tag=tag)
    yield reference
    engine.images.remove(reference, force=True)


@pytest.mark.containers
def test_pushed_images_are_pinned_by_the_digest_that_the_registry_holds(
    engine: docker.DockerClient, tiny: str, tmp_path: Path
) -> None:
    tag = tiny.partition(":")[2]
    with image_registry.serving() as registry:
        address = f"{registry.address}/team"
        for component in references.COMPONENTS:
            engine.images.get(tiny).tag(references.repository(component, address), tag)
        pinned = build.push(registry=address, tag=tag, digests_path=tmp_path / "digests.json")
        assert references.resolve(digests_path=tmp_path / "digests.json") == pinned
        for component, reference in pinned.items():
            name, digest = reference.split("@")
            assert name == f"{address}/mnist-pipeline-{component}"
            assert (f"team/mnist-pipeline-{component}", digest) in registry.manifests
            engine.images.remove(f"{name}:{tag}")
        pulled = engine.images.pull(pinned["train"])
        assert pulled.id == engine.images.get(tiny).id
        engine.images.remove(pinned["train"])


@pytest.mark.containers
def test_what_cannot_be_pushed_is_named(engine: docker.DockerClient, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"pushing 127.0.0.1:9/mnist-pipeline-ingest:none failed"):
        build.push(registry="127.0.0.1:9", tag="none", digests_path=tmp_path / "digests.json")
    assert list(tmp_path.iterdir()) == []


def test_the_engine_script_says_why_it_cannot(tmp_path: Path) -> None:
    environment = {
        "PATH": "/usr/bin:/bin",
        "DOCKER_HOST": "unix:///nowhere/docker.sock",
        "ENGINE_STATE_DIR": str(tmp_path),
    }
    start = subprocess.run(
        [CONTAINERS / "engine.sh", "start"],
        env=environment,
        capture_output=True,
        text=True,
        user="nobody" if os.getuid() == 0 else None,
    )
    assert start.returncode == 75
    assert start.stderr.startswith("engine: no engine answers and only root can start one")
    assert start.stderr.count("\n") == 1


def test_the_engine_script_stops_nothing_that_it_did_not_start(tmp_path: Path) -> None:
    identity = Path("/proc/self/stat").read_text(encoding="utf-8").rpartition(") ")[2].split()[19]
    (tmp_path / "dockerd.pid").write_text(
        f"{os.getpid()} {int(identity) - 1}\n", encoding="utf-8"
    )  # our pid, another process's start
    environment = os.environ | {"ENGINE_STATE_DIR": str(tmp_path)}
    stop = subprocess.run([CONTAINERS / "engine.sh", "stop"], env=environment, capture_output=True, text=True)
    assert (stop.returncode, stop.stderr.count("nothing to stop")) == (0, 1)


@pytest.mark.parametrize("arguments", [[], ["restart"]])
def test_the_engine_script_explains_itself(arguments: list[str]) -> None:
    done = subprocess.run([CONTAINERS / "engine.sh", *arguments], capture_output=True, text=True)
    assert (done.returncode, done.stderr.count("usage: ")) == (2, 1)


@pytest.mark.containers
def test_the_scripts_reuse_what_is_there(
    engine: docker.DockerClient, base_image: str, tmp_path: Path
) -> None:
    environment = os.environ | {"ENGINE_STATE_DIR": str(tmp_path)}
    commands: list[tuple[list[str], str]] = [
        (["engine.sh", "start"], "engine: reusing the engine"),
        (["engine.sh", "stop"], "engine: nothing to stop"),
        (["base-image.sh", "--find"], f"base image: {base_image} is there already"),
    ]
    for (script, *arguments), line in commands:
        done = subprocess.run(
            [CONTAINERS / script, *arguments], env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0
        assert done.stderr.startswith(line)
    engine.ping()
