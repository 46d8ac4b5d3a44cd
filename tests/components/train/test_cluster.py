"""Several workers on loopback, as Kubeflow Trainer and Vertex AI start them."""

import json
import os
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from components.errors import RetryableError, UsageError
from components.train import loop
from components.train.cluster import Worker, connect, parse_tf_config
from tests.sweeps.training_sweep import RETRYABLE, Training

TWO = {"worker": ["127.0.0.1:2001", "127.0.0.1:2002"]}


def config(cluster: Any, kind: Any = "worker", index: Any = 0) -> str:
    return json.dumps({"cluster": cluster, "task": {"type": kind, "index": index}})


def test_without_tf_config_or_alone_in_it_there_is_one_device() -> None:
    assert parse_tf_config("") is None
    assert parse_tf_config(config({"worker": ["127.0.0.1:2001"]})) is None
    assert parse_tf_config(config({"chief": ["127.0.0.1:2001"]}, "chief")) is None
    assert connect("").strategy is None
    assert connect("").is_chief


def test_the_chief_comes_first() -> None:
    cluster = {"worker": ["b:1", "c:1"], "chief": ["a:1"]}
    assert parse_tf_config(config(cluster, "worker", 1)) == Worker(["a:1", "b:1", "c:1"], 2)
    assert parse_tf_config(config(cluster, "chief")) == Worker(["a:1", "b:1", "c:1"], 0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON"),
        ("[]", "must have cluster.worker"),
        ("{}", "must have cluster.worker"),
        (json.dumps({"cluster": TWO}), "must have cluster.worker"),
        (config(TWO, "worker", 2), "task=worker 2: is not in its cluster, which has worker 0 to 1"),
        (config(TWO, "chief"), "task=chief 0: is not in its cluster"),
        (config(TWO, "ps"), "task=ps 0: is not in its cluster"),
        (config(TWO, "worker", "one"), "is not JSON|must have cluster.worker"),
        (config({"worker": ["127.0.0.1", "127.0.0.1:2"]}), "address '127.0.0.1': must be host:port"),
        (config({"worker": ["a:99999", "b:1"]}), "address 'a:99999': must be host:port"),
    ],
)
def test_a_wrong_tf_config_is_one_line(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as error:
        parse_tf_config(text)
    assert "TF_CONFIG" in str(error.value)
    assert "\n" not in str(error.value)


def free_addresses(count: int) -> list[str]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    addresses = [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]
    for each in sockets:
        each.close()
    return addresses


def test_a_worker_that_does_not_come_is_an_error_in_bounded_time() -> None:
    addresses = free_addresses(2)
    started = time.monotonic()
    with pytest.raises(RetryableError, match=rf"worker 1 at {addresses[1]}: did not answer within 0.5 s"):
        connect(config({"worker": addresses}), start_seconds=0.5)
    assert time.monotonic() - started < 10


def test_more_replicas_than_rows_in_a_batch_are_refused() -> None:
    from components.train.settings import Settings

    Settings(batch_size=4).check_replicas(4)
    with pytest.raises(UsageError, match="batch_size=4: must be at least 5, the number of replicas"):
        Settings(batch_size=4).check_replicas(5)


@pytest.mark.parametrize(("rows", "batch_size", "replicas"), [(10, 4, 1), (10, 4, 2), (11, 5, 2), (7, 7, 3)])
def test_every_row_is_in_one_replicas_part_of_one_step(rows: int, batch_size: int, replicas: int) -> None:
    order = loop.epoch_order(rows, seed=0, epoch=1)
    batches, weights = loop._batches(order, batch_size, replicas)
    assert batches.shape == weights.shape == (-(-rows // batch_size), replicas, -(-batch_size // replicas))
    assert sorted(batches[weights == 1]) == list(range(rows))
    for step, first in enumerate(range(0, rows, batch_size)):
        of_step = batches[step][weights[step] == 1]
        assert sorted(of_step) == sorted(order[first : first + batch_size])


def start_workers(training: Training, addresses: list[str]) -> list[subprocess.Popen[str]]:
    workers = []
    for index in range(len(addresses)):
        os.environ["TF_CONFIG"] = config({"worker": addresses}, index=index)
        try:
            workers.append(training.start())
        finally:
            del os.environ["TF_CONFIG"]
    return workers


QUICK = {"epochs": 2, "batch_size": 63, "hidden_units": [16]}


def test_two_workers_train_the_weights_of_one_and_only_the_chief_writes(
    dataset_dir: str, tmp_path: Path
) -> None:
    alone, together = (
        Training(dataset_dir, tmp_path / name, "functional", QUICK) for name in ("alone", "two")
    )
    for training in (alone, together):
        training.directory.mkdir()
    alone.finish()
    outputs = []
    for worker in start_workers(together, free_addresses(2)):
        outputs.append(worker.communicate(timeout=200)[0])
        assert worker.returncode == 0, outputs
    assert [path.parent.name for path in together.directory.glob("attempt-*/model")] == ["attempt-0"]
    assert not list((together.directory / "attempt-1").iterdir())
    for name, shape in tf.train.list_variables(weights_of(alone)):
        if shape:
            np.testing.assert_allclose(
                tf.train.load_variable(weights_of(alone), name),
                tf.train.load_variable(weights_of(together), name),
                atol=2e-5,
            )


def weights_of(training: Training) -> str:
    return str(training.directory / "attempt-0" / "model" / "variables" / "variables")


def test_a_dead_worker_ends_the_others_with_a_clear_error_and_a_rerun_resumes(
    dataset_dir: str, tmp_path: Path
) -> None:
    long = {"epochs": 400, "batch_size": 16, "hidden_units": [16]}
    training = Training(dataset_dir, tmp_path / "two", "functional", long)
    training.directory.mkdir()
    chief, other = start_workers(training, free_addresses(2))
    deadline = time.monotonic() + 120
    while not training.checkpoints():
        assert chief.poll() is None, chief.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.1)
    other.send_signal(signal.SIGKILL)
    killed = time.monotonic()
    output, _ = chief.communicate(timeout=120)
    other.communicate()
    assert chief.returncode == RETRYABLE, output
    assert "RetryableError: another worker is gone: " in output
    assert time.monotonic() - killed < 90
    with training.start() as rerun:
        for line in rerun.stdout or ():
            if line.startswith("resumed in epoch"):
                break
        else:
            pytest.fail("did not resume")
        rerun.kill()
