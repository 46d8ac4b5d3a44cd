"""One container from its start to its removal, with its log printed and its exit code kept.

KFP's own function for this lets the engine remove a container as soon as it ends, and takes one that is gone
before it was waited for as a success (kubeflow/pipelines#13332); nor does it stop a container on Ctrl-C.
"""

import contextlib
import http
import signal
import threading
import time
import types
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from components.errors import StorageError

if TYPE_CHECKING:
    import docker
    from docker.models.containers import Container

STOP_SECONDS = 10.0  # from SIGTERM to SIGKILL


def run(
    client: "docker.DockerClient",
    image: str,
    command: list[str],
    volumes: dict[str, Any],
    **arguments: Any,
) -> int:
    """Runs one container to its end, printing its log as it comes, and removes it whatever happens.

    Returns:
      Its exit code, read before it is removed. When the engine refuses or its disk is full: that of a
      StorageError, whose line is printed like a task's own, since KFP keeps no exception of a task.
    """
    from docker.errors import DockerException

    container = None
    try:
        container = client.containers.create(image=image, command=command, volumes=volumes, **arguments)
        container.start()
        _print_log(container)
        return int(container.wait()["StatusCode"])
    except DockerException as error:
        print(f"StorageError: container engine: {image}: {one_line(error)}", flush=True)
        return StorageError.exit_code
    finally:
        if container is not None:
            _discard(container)


def _print_log(container: "Container") -> None:
    """Prints what the container writes, as it comes, in whole lines, since KFP indents each print."""
    pending = b""
    seen = 0
    with contextlib.closing(container.logs(stream=True, follow=True)) as chunks:
        for chunk in chunks:
            seen += len(chunk)
            *lines, pending = (pending + chunk).split(b"\n")
            _print_lines(lines)
    container.wait()
    # The engine may end a followed log before its last line, which for a failed task is the error.
    _print_lines((pending + container.logs()[seen:]).splitlines())


def _print_lines(lines: list[bytes]) -> None:
    for line in lines:
        print(line.decode(errors="replace"), flush=True)


def discard_all(client: "docker.DockerClient", label: str) -> None:
    """Stops and removes every container with this label, written as name=value."""
    for container in client.containers.list(all=True, ignore_removed=True, filters={"label": label}):
        _discard(container)


def _discard(container: "Container") -> None:
    """Removes a container; one that still runs is told to end first, and gets `STOP_SECONDS` for it.

    The signal goes to all of its processes but the first: that one is KFP's shell, which passes none on.
    """
    from docker.errors import APIError, NotFound

    with contextlib.suppress(NotFound):
        container.reload()
        if container.status == "running":
            with contextlib.suppress(APIError):
                container.exec_run(["sh", "-c", "kill -TERM -1"], detach=True)
            deadline = time.monotonic() + STOP_SECONDS
            while container.status == "running" and time.monotonic() < deadline:
                time.sleep(0.1)
                container.reload()
        try:
            container.remove(force=True)
        except APIError as error:
            if error.status_code != http.HTTPStatus.CONFLICT:  # another thread is removing it
                raise


@contextlib.contextmanager
def stopped_by_signals(stop: Callable[[], None]) -> Iterator[None]:
    """Lets SIGINT and SIGTERM call `stop`, then raise KeyboardInterrupt.

    The exception alone would not do: KFP runs a task in a thread and waits for that thread to end by itself.
    """
    stopper = threading.Thread(target=stop)

    def interrupt(signum: int, frame: types.FrameType | None) -> None:
        if not stopper.ident:
            stopper.start()
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        if stopper.ident:
            stopper.join()
        for number, handler in previous.items():
            signal.signal(number, handler)


def one_line(error: Exception) -> str:
    """Returns the engine's own words without the HTTP request around them."""
    words = getattr(error, "explanation", None) or str(error)
    return " ".join(str(words).split())
