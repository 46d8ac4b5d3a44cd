"""One container, on a real engine: its log, its end, its limits, and nothing left of it."""

import contextlib
import dataclasses
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import pytest

from pipeline.local import containers
from pipeline.local.containers import Container, Mount
from pipeline.local.stopping import Stop

pytestmark = pytest.mark.containers

FAST_FAILURES = 50
LABEL = f"mnist-pipeline.test={os.getpid()}"


@pytest.fixture
def container(engine: docker.DockerClient, base_image: str) -> Iterator[Container]:
    yield Container(base_image, LABEL)
    assert engine.containers.list(all=True, ignore_removed=True, filters={"label": LABEL}) == []


@contextlib.contextmanager
def never(end: Callable[[], None], kill: Callable[[], None]) -> Iterator[None]:
    """Stops nothing."""
    yield


def shell(container: Container, script: str) -> int:
    return containers.run(container, ["sh", "-c", script], never)


def test_no_container_that_fails_at_once_is_taken_for_a_success(container: Container) -> None:
    codes = [containers.run(container, ["sh", "-c", "exit 3"], never) for _ in range(FAST_FAILURES)]
    assert codes == [3] * FAST_FAILURES


def test_the_log_comes_while_the_container_runs(
    container: Container, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[str] = []

    def look() -> None:
        time.sleep(1.5)
        seen.append(capsys.readouterr().out)

    watcher = threading.Thread(target=look)
    watcher.start()
    assert shell(container, "echo first; sleep 3; echo last; printf 'caf\\303\\251'") == 0
    watcher.join()
    assert seen == ["first\n"]
    assert capsys.readouterr().out == "last\ncaf\u00e9\n"


def test_a_container_can_write_only_what_is_mounted_for_that_and_tmp(
    container: Container, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outputs, inputs = tmp_path / "outputs", tmp_path / "inputs"
    for directory in (outputs, inputs):
        directory.mkdir()
    script = f"""
        for directory in {outputs} /tmp; do touch $directory/written || exit 1; done
        for directory in {inputs} / /home /usr; do touch $directory/written 2>/dev/null && exit 2; done
        grep CapEff /proc/self/status
        grep NoNewPrivs /proc/self/status
        ls /sys/class/net
        id -u
    """
    mounts = (Mount(str(outputs), writable=True), Mount(str(inputs)))
    assert shell(dataclasses.replace(container, mounts=mounts), script) == 0
    shown = capsys.readouterr().out.split()
    assert shown == ["CapEff:", "0" * 16, "NoNewPrivs:", "1", "lo", str(os.getuid())]
    assert (outputs / "written").stat().st_uid == os.getuid()


def test_a_network_is_there_when_it_is_asked_for(
    container: Container, capsys: pytest.CaptureFixture[str]
) -> None:
    assert shell(dataclasses.replace(container, network="bridge"), "ls /sys/class/net") == 0
    assert "eth0" in capsys.readouterr().out.split()


def test_a_variable_is_inherited_only_if_it_is_named(
    container: Container, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NAMED", "here")
    monkeypatch.setenv("OTHER", "here")
    assert shell(dataclasses.replace(container, inherited=("NAMED", "UNSET")), "env") == 0
    shown = capsys.readouterr().out
    assert re.findall(r"^(NAMED|OTHER|UNSET)=", shown, re.M) == ["NAMED"]


def test_memory_is_limited_and_its_end_is_said(
    container: Container, capsys: pytest.CaptureFixture[str]
) -> None:
    small = dataclasses.replace(container, memory_bytes=64 << 20)
    assert shell(small, "python3 -c 'bytearray(200 << 20)'; exit $?") == 137
    assert "out of memory: this container may use 67,108,864 bytes" in capsys.readouterr().out


def test_tmp_is_limited(container: Container, capsys: pytest.CaptureFixture[str]) -> None:
    assert shell(container, "df --output=size -B1 /tmp") == 0
    assert capsys.readouterr().out.split()[-1] == str(containers.TMP_BYTES)


def test_processes_are_limited(container: Container, capsys: pytest.CaptureFixture[str]) -> None:
    """Whichever way this system's control groups tell it."""
    where = "/sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max"
    assert shell(container, f"cat {where} 2>/dev/null; true") == 0
    assert capsys.readouterr().out.strip() == str(containers.PIDS)


# A shell that passes no signal on, as KFP's, and in it what saves for a moment.
SAVES = """sh -c 'trap "sleep 0.5; echo saved; exit 75" TERM; echo working; while :; do :; done'; exit $?"""


def stopped(container: Container, script: str, stop: Stop) -> int:
    """Runs a container that is asked to stop once it works."""
    return containers.run(container, ["sh", "-c", script], stop.passed_on)


def test_a_container_that_is_to_stop_saves_first(
    container: Container, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stop = Stop(tmp_path)
    threading.Timer(2, lambda: stop.ask("SIGHUP")).start()
    assert stopped(container, SAVES, stop) == 75
    assert capsys.readouterr().out == "working\nsaved\n"


def test_a_container_that_does_not_end_is_ended_once_all_is_given_up(
    container: Container, tmp_path: Path
) -> None:
    stop = Stop(tmp_path)
    stop.ask("SIGINT")
    threading.Timer(2, stop.give_up).start()
    assert stopped(container, "trap '' TERM; while true; do sleep 0.1; done", stop) == 137


def test_what_the_engine_refuses_is_one_line_and_a_failure(
    container: Container, capsys: pytest.CaptureFixture[str]
) -> None:
    assert shell(dataclasses.replace(container, gpus=containers.ALL_GPUS), "true") == 5
    line = capsys.readouterr().out.strip()
    assert line.startswith(f"StorageError: container engine: {container.image}: ")
    assert "\n" not in line


def test_what_a_killed_run_has_left_is_removed_by_its_label(
    engine: docker.DockerClient, container: Container
) -> None:
    running = engine.containers.create(command=["sleep", "60"], **container.arguments())
    running.start()
    containers.remove_all(engine, LABEL)
    assert engine.containers.list(all=True, filters={"label": LABEL}) == []
