"""Local runs in containers: what must be there first, and what is left behind: nothing."""

import contextlib
import os
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.errors import StorageError, UsageError
from pipeline.compile import documents
from pipeline.images import references
from pipeline.local import containers
from pipeline.local.confinement import confine
from pipeline.local.docker_options import Options

if TYPE_CHECKING:
    import docker

RUN_LABEL = "mnist-pipeline.run"  # docker ps --all --filter label=mnist-pipeline.run


@contextlib.contextmanager
def by_task(
    spec: dict[str, Any], arguments: Mapping[str, Any], options: Options, *, runs_dir: Path, pinned: bool
) -> Iterator[dict[str, containers.Container]]:
    """Checks engine, images and directories, then gives each task its container; leaves none behind.

    Args:
      spec: the pipeline's IR; its images are replaced by those of `options`.
      arguments: of which local bucket, checkpoints and mirror are mounted where they are needed.
      options: which images, and what they may reach.
      runs_dir: where the run's folder will be made.
      pinned: keep the images that the spec names, whatever the checkout's code is.

    Raises:
      UsageError: an image is missing, for another architecture or of other code; as `confine`.
      StorageError: no engine, no permission; as `confine`.
    """
    _choose_images(spec, options, pinned)
    label = f"{RUN_LABEL}={uuid.uuid4().hex}"
    confinement = confine(arguments, options, runs_dir=runs_dir, label=label)
    with engine() as client:
        for task, image in documents.images_of(spec).items():
            labels = check_image(client, image)
            if not pinned:
                references.check_fresh(task, image, labels)
        try:
            yield {
                task: confinement.of(task, image, inputs_of(spec, task), _environment(spec, task))
                for task, image in documents.images_of(spec).items()
            }
        finally:
            containers.remove_all(client, label)


def _choose_images(spec: dict[str, Any], options: Options, pinned: bool) -> None:
    if not pinned:
        chosen = references.resolve(registry=options.registry, tag=options.tag, digests_path=options.digests)
        documents.use_images(spec, chosen)
    elif options.registry or options.tag or options.digests:
        raise UsageError("--from-yaml names its images: leave out --registry, --tag and --digests")


def inputs_of(spec: Mapping[str, Any], task: str) -> frozenset[str]:
    """Returns the names of a task's own parameters."""
    return frozenset(spec["components"][f"comp-{task}"].get("inputDefinitions", {}).get("parameters", {}))


def _environment(spec: Mapping[str, Any], task: str) -> dict[str, str]:
    container = spec["deploymentSpec"]["executors"][f"exec-{task}"]["container"]
    return {variable["name"]: variable["value"] for variable in container.get("env", [])}


@contextlib.contextmanager
def engine() -> Iterator["docker.DockerClient"]:
    """Gives a client of the engine; raises StorageError if none answers, or this user may not use it."""
    import docker
    from docker.errors import DockerException

    client = None
    try:
        try:
            client = docker.from_env()
            client.ping()
        except DockerException as error:
            refused = "Permission denied" in str(error)
            advice = "this user may not use it" if refused else "does not answer; see containers/engine.sh"
            raise StorageError(f"container engine at {_engine_address()}: {advice}") from None
        yield client
    finally:
        if client:
            client.close()


def _engine_address() -> str:
    return os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")


def check_image(client: "docker.DockerClient", reference: str) -> dict[str, str]:
    """Returns the labels of an image that this engine can run, pulled if it names a registry.

    Raises:
      UsageError: it is not here and cannot be pulled, or is for another architecture.
    """
    from docker.errors import DockerException, ImageNotFound

    try:
        try:
            image = client.images.get(reference)
        except ImageNotFound:
            if "/" not in reference:
                raise UsageError(f"image {reference}: is not on this machine; run `make images`") from None
            image = client.images.pull(reference)
    except DockerException as error:
        raise UsageError(
            f"image {reference}: is not here and cannot be pulled: {containers.one_line(error)}"
        ) from None
    built_for, runs_here = image.attrs["Architecture"], client.version()["Arch"]
    if built_for != runs_here:
        raise UsageError(f"image {reference}: is for {built_for}, this engine runs {runs_here}")
    labels: dict[str, str] = image.labels
    return labels
