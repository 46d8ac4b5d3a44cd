"""One container from its start to its removal, with its log printed and its exit code kept."""

import contextlib
import dataclasses
import http
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from components.errors import StorageError

if TYPE_CHECKING:
    import docker
    from docker.models.containers import Container as Running

# Takes what tells a task to end, and what ends it; for the time in which that may be needed.
Stoppable = Callable[[Callable[[], None], Callable[[], None]], contextlib.AbstractContextManager[None]]

PIDS = 4096  # threads too, of which TensorFlow starts some for each core
TMP_BYTES = 1 << 30
ALL_GPUS = -1


@dataclasses.dataclass(frozen=True)
class Mount:
    """A file or directory of this machine that a container sees at the same path."""

    path: str
    writable: bool = False


@dataclasses.dataclass(frozen=True)
class Container:
    """What a task runs in, sees and may use. Whatever is not named here is not there.

    Attributes:
      image: its reference.
      label: name=value, by which a run's containers are found.
      mounts: beside the run's folder, of which a task writes its own part.
      environment: variables and their values.
      inherited: variables that have the value which they have here, and which is written nowhere.
      network: an engine network, or `none`.
      memory_bytes: more ends it, swap included; 0 for no limit.
      gpus: how many; ALL_GPUS for all.
    """

    image: str
    label: str
    mounts: tuple[Mount, ...] = ()
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)
    inherited: tuple[str, ...] = ()
    network: str = "none"
    memory_bytes: int = 1 << 30
    gpus: int = 0

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> "Container":
        """Returns what `dataclasses.asdict` and JSON have made of one."""
        mounts = tuple(Mount(**mount) for mount in found["mounts"])
        return cls(**found | {"mounts": mounts, "inherited": tuple(found["inherited"])})

    def arguments(self) -> dict[str, Any]:
        """Returns what docker-py's `create` takes for it."""
        from docker.types import DeviceRequest, LogConfig
        from docker.types import Mount as EngineMount

        name, _, value = self.label.partition("=")
        inherited = {name: os.environ[name] for name in self.inherited if name in os.environ}
        return {
            "image": self.image,
            "labels": {name: value},
            "user": f"{os.getuid()}:{os.getgid()}",
            "read_only": True,
            "tmpfs": {"/tmp": f"rw,nosuid,nodev,mode=1777,size={TMP_BYTES}"},
            "cap_drop": ["ALL"],
            # SELinux would want labels on the user's own folders; the mounts say what may be seen.
            "security_opt": ["no-new-privileges:true", "label=disable"],
            "network_mode": self.network,
            "mounts": [
                EngineMount(mount.path, mount.path, type="bind", read_only=not mount.writable)
                for mount in self.mounts
            ],
            "environment": {**self.environment, **inherited},
            "pids_limit": PIDS,
            "mem_limit": self.memory_bytes,
            "memswap_limit": self.memory_bytes,
            "device_requests": [DeviceRequest(count=self.gpus, capabilities=[["gpu"]])] if self.gpus else [],
            "log_config": LogConfig(
                type="json-file"
            ),  # an engine's default may be one that cannot be read back
        }


def run(container: Container, command: Sequence[str], stoppable: Stoppable) -> int:
    """Runs one container to its end, printing its log as it comes, and removes it whatever happens.

    Returns:
      Its exit code, read before it is removed. When the engine refuses or its disk is full: that of a
      StorageError, whose line is printed like a task's own.
    """
    from docker.errors import DockerException

    try:
        with _created(container, command) as running:
            running.start()
            with stoppable(lambda: _tell_to_end(running), lambda: _kill(running)):
                _print_log(running)
                code = int(running.wait()["StatusCode"])
            running.reload()
            if running.attrs["State"]["OOMKilled"]:
                print(f"out of memory: this container may use {container.memory_bytes:,} bytes", flush=True)
            return code
    except DockerException as error:
        print(f"StorageError: container engine: {container.image}: {one_line(error)}", flush=True)
        return StorageError.exit_code


@contextlib.contextmanager
def _created(container: Container, command: Sequence[str]) -> Iterator["Running"]:
    import docker

    with contextlib.closing(docker.from_env()) as client:
        running = client.containers.create(command=list(command), **container.arguments())
        try:
            yield running
        finally:
            _remove(running)


def _print_log(running: "Running") -> None:
    """Prints what the container writes, as it comes, in whole lines, since KFP indents each print."""
    pending = b""
    seen = 0
    with contextlib.closing(running.logs(stream=True, follow=True)) as chunks:
        for chunk in chunks:
            seen += len(chunk)
            *lines, pending = (pending + chunk).split(b"\n")
            _print_lines(lines)
    running.wait()
    # The engine may end a followed log before its last line, which for a failed task is the error.
    _print_lines((pending + running.logs()[seen:]).splitlines())


def _print_lines(lines: list[bytes]) -> None:
    for line in lines:
        print(line.decode(errors="replace"), flush=True)


def _tell_to_end(running: "Running") -> None:
    """Sends SIGTERM to all of its processes but the first: that one is KFP's shell, which passes none on."""
    from docker.errors import APIError

    with contextlib.suppress(APIError):  # it has ended
        running.exec_run(["sh", "-c", "kill -TERM -1"], detach=True)


def _kill(running: "Running") -> None:
    from docker.errors import APIError

    with contextlib.suppress(APIError):  # as above
        running.kill()


def remove_all(client: "docker.DockerClient", label: str) -> None:
    """Removes every container with this label, running or not."""
    for running in client.containers.list(all=True, ignore_removed=True, filters={"label": label}):
        _remove(running)


def _remove(running: "Running") -> None:
    from docker.errors import APIError, NotFound

    try:
        running.remove(force=True)
    except NotFound:
        pass
    except APIError as error:
        if error.status_code != http.HTTPStatus.CONFLICT:  # somebody else is removing it
            raise


def one_line(error: Exception) -> str:
    """Returns the engine's own words without the HTTP request around them."""
    words = getattr(error, "explanation", None) or str(error)
    return " ".join(str(words).split())
