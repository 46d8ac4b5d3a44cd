"""Local runs in containers: what must be there first, and how the containers are confined.

`docker_runner(...)` gives KFP's local `DockerRunner`, and for its duration replaces the one function of KFP
that starts containers by `containers.run`, which loses no exit code and leaves no container.
"""

import contextlib
import dataclasses
import os
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.errors import StorageError, UsageError
from components.registry.signing import SIGNING_KEY_VARIABLE, VERIFY_KEY_VARIABLE
from pipeline.images import references
from pipeline.local import containers

if TYPE_CHECKING:
    import docker
    from kfp import local

RUN_LABEL = "mnist-pipeline.run"  # docker ps --all --filter label=mnist-pipeline.run
NO_NETWORK = "none"

# Google's clients read these; they reach the containers only when a network does.
_CLOUD_VARIABLES = ("GOOGLE_CLOUD_PROJECT", "STORAGE_EMULATOR_HOST")
_CREDENTIALS_VARIABLE = "GOOGLE_APPLICATION_CREDENTIALS"


@dataclasses.dataclass(frozen=True)
class Options:
    """What only a run in containers takes.

    Attributes:
      registry: as `references.resolve` takes it; so are `tag` and `digests`.
      tag: the images' tag.
      digests: file that pins the images.
      network: an engine network (`bridge`, `host`, …) or `none`.
      gpus: `all`, a count, or empty for none.
    """

    registry: str = ""
    tag: str = ""
    digests: Path | None = None
    network: str = NO_NETWORK
    gpus: str = ""

    def check_unused(self) -> None:
        """Raises UsageError that names an option which was given, for a run without containers."""
        for field in dataclasses.fields(self):
            if getattr(self, field.name) != field.default:
                raise UsageError(f"--{field.name}: needs --runner docker")


def for_run(
    spec: dict[str, Any], arguments: Mapping[str, Any], options: Options, *, runs_dir: Path, pinned: bool
) -> contextlib.AbstractContextManager["local.DockerRunner"]:
    """Gives the runner for one compiled pipeline and its arguments.

    Args:
      spec: the pipeline's IR; its images are replaced by those of `options`.
      arguments: of which the local bucket and mirror are mounted.
      options: which images, and what they may reach.
      runs_dir: where the run's folder will be made.
      pinned: keep the images that the spec names, whatever the checkout's code is.

    Raises:
      UsageError, StorageError: as `docker_runner`, when it is entered.
    """
    from pipeline.compile import documents as compilation

    if pinned and (options.registry or options.tag or options.digests):
        raise UsageError("--from-yaml names its images: leave out --registry, --tag and --digests")
    if not pinned:
        chosen = references.resolve(registry=options.registry, tag=options.tag, digests_path=options.digests)
        compilation.use_images(spec, chosen)
    return docker_runner(
        compilation.images_of(spec),
        runs_dir=runs_dir,
        bucket_uri=arguments["bucket_uri"],
        checkpoint_uri=arguments["checkpoint_uri"],
        mirror=arguments["mirror"],
        network=options.network,
        gpus=options.gpus,
        check_code=not pinned,
    )


@contextlib.contextmanager
def docker_runner(
    images_by_component: Mapping[str, str],
    *,
    runs_dir: Path,
    bucket_uri: str = "",
    checkpoint_uri: str = "",
    mirror: str = "",
    network: str = NO_NETWORK,
    gpus: str = "",
    check_code: bool = True,
) -> Iterator["local.DockerRunner"]:
    """Checks engine, images and directories, then gives the runner; leaves no container behind.

    Args:
      images_by_component: image references that the compiled pipeline names.
      runs_dir: where the runs' artifacts go; made if it doesn't exist. KFP mounts its run's folder.
      bucket_uri: a local one is made if it doesn't exist, and mounted writable; so is `checkpoint_uri`.
      checkpoint_uri: where train saves what it has.
      mirror: a local one is mounted read-only.
      network: an engine network (`bridge`, `host`, …) or `none`.
      gpus: `all`, a count, or empty for none.
      check_code: refuse images that were built from other code than the checkout's.

    Raises:
      UsageError: an image is missing, for another architecture or of other code; a bucket or mirror needs
        the network that is not given; `gpus` is neither `all` nor a count.
      StorageError: no engine, no permission, a directory that the caller cannot write.
    """
    from kfp import local
    from kfp.local import docker_task_handler

    confinement = run_arguments(
        runs_dir=runs_dir,
        bucket_uri=bucket_uri,
        checkpoint_uri=checkpoint_uri,
        mirror=mirror,
        network=network,
        gpus=gpus,
    )
    run_id = uuid.uuid4().hex
    label = f"{RUN_LABEL}={run_id}"
    with _engine() as client:
        for component, reference in images_by_component.items():
            labels = _check_image(client, reference)
            if check_code:
                references.check_fresh(component, reference, labels)
        original = docker_task_handler.run_docker_container
        docker_task_handler.run_docker_container = containers.run
        try:
            with containers.stopped_by_signals(lambda: containers.discard_all(client, label)):
                yield local.DockerRunner(labels={RUN_LABEL: run_id}, **confinement)
        finally:
            docker_task_handler.run_docker_container = original
            containers.discard_all(client, label)


@contextlib.contextmanager
def _engine() -> Iterator["docker.DockerClient"]:
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


def _check_image(client: "docker.DockerClient", reference: str) -> dict[str, str]:
    """Returns the labels of an image that this engine can run, pulled if it names a registry."""
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


def run_arguments(
    *, runs_dir: Path, bucket_uri: str, checkpoint_uri: str = "", mirror: str, network: str, gpus: str
) -> dict[str, Any]:
    """Returns what every container is started with: nothing writable but its outputs, /tmp and the bucket.

    Raises:
      UsageError: a remote bucket or mirror without a network, `gpus` that is neither `all` nor a count.
      StorageError: a directory is missing or not writable.
    """
    from docker.types import LogConfig, Mount

    _writable_dir("--runs-dir", runs_dir)
    mounts = []
    for field, uri in {"bucket_uri": bucket_uri, "checkpoint_uri": checkpoint_uri}.items():
        if directory := _local_dir(field, uri, network):
            _writable_dir(field, directory)
            mounts.append(Mount(str(directory), str(directory), type="bind"))
    if mirror_dir := _local_dir("mirror", mirror, network):
        if not mirror_dir.is_dir():
            raise StorageError(f"mirror={mirror}: is not a directory")
        mounts.append(Mount(str(mirror_dir), str(mirror_dir), type="bind", read_only=True))
    environment = {"HOME": "/tmp", "TF_CPP_MIN_LOG_LEVEL": os.environ.get("TF_CPP_MIN_LOG_LEVEL", "3")}
    files = [SIGNING_KEY_VARIABLE, VERIFY_KEY_VARIABLE]
    if network != NO_NETWORK:
        environment |= {name: os.environ[name] for name in _CLOUD_VARIABLES if name in os.environ}
        files.append(_CREDENTIALS_VARIABLE)
    given = {name: str(Path(os.environ[name]).absolute()) for name in files if os.environ.get(name)}
    environment |= given
    mounts += [Mount(path, path, type="bind", read_only=True) for path in sorted(set(given.values()))]
    return {
        "user": f"{os.getuid()}:{os.getgid()}",
        "read_only": True,
        "tmpfs": {"/tmp": "rw,nosuid,nodev,mode=1777"},
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "network_mode": network,
        "mounts": mounts,
        "environment": environment,
        "device_requests": _device_requests(gpus),
        "log_config": LogConfig(type="json-file"),  # an engine's default may be one that cannot be read back
    }


def _writable_dir(field: str, directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            pass
    except OSError as error:
        why = f"cannot be written by uid {os.getuid()}: {error.strerror}"
        raise StorageError(f"{field}={directory}: {why}") from None


def _local_dir(field: str, uri: str, network: str) -> Path | None:
    """Returns the local directory that `uri` names, None for an empty or a remote one."""
    if uri and "://" in uri and not uri.startswith("file://"):
        if network == NO_NETWORK:
            raise UsageError(
                f"{field}={uri}: containers have no network unless one is given, as --network bridge"
            )
        return None
    return Path(uri.removeprefix("file://")).absolute() if uri else None


def _device_requests(gpus: str) -> list[Any]:
    from docker.types import DeviceRequest

    if not gpus:
        return []
    if gpus != "all" and not (gpus.isdecimal() and int(gpus) > 0):
        raise UsageError(f"--gpus={gpus}: must be `all` or a whole number of at least 1")
    return [DeviceRequest(count=-1 if gpus == "all" else int(gpus), capabilities=[["gpu"]])]
