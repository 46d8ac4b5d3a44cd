"""Where a training run computes: one device, all GPUs of the node, or several workers by `TF_CONFIG`."""

import contextlib
import dataclasses
import json
import socket
import threading
import time
from collections.abc import Iterator

import tensorflow as tf

from components.errors import RetryableError, UsageError

JOBS = ("chief", "worker")
START_SECONDS = 300.0  # pods of one job start within minutes of each other
COLLECTIVE_SECONDS = 60  # a step takes milliseconds; who is silent for so long is gone
LOST_WORKER = (
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.InternalError,
    tf.errors.UnavailableError,
)


@dataclasses.dataclass(frozen=True)
class Worker:
    """This process's place in a job of several.

    Attributes:
      addresses: host:port of every worker, the chief first.
      index: this one's place among them.
    """

    addresses: list[str]
    index: int


@dataclasses.dataclass(frozen=True)
class Cluster:
    """What to compute with.

    Attributes:
      strategy: None for one device.
      is_chief: whether this process writes what the job leaves behind.
    """

    strategy: tf.distribute.Strategy | None
    is_chief: bool

    @property
    def replicas(self) -> int:
        """In how many parts a batch is computed."""
        return self.strategy.num_replicas_in_sync if self.strategy else 1

    def scope(self) -> contextlib.AbstractContextManager[object]:
        """Variables that are made inside are kept equal on all replicas."""
        return self.strategy.scope() if self.strategy else contextlib.nullcontext()


def parse_tf_config(text: str) -> Worker | None:
    """Reads TF_CONFIG; None if it names this process alone.

    Vertex AI's custom jobs set it, and Kubeflow's legacy training operator for a TFJob. Kubeflow Trainer v2
    does not (kubeflow/trainer#2699): there, as anywhere else, whoever starts the workers sets it.

    Raises:
      UsageError: not JSON, no cluster of chief and workers, or a task that is not in it.
    """
    if not text:
        return None
    try:
        config = json.loads(text)
        jobs = {job: list(config["cluster"].get(job, [])) for job in JOBS}
        job, index = config["task"]["type"], int(config["task"]["index"])
    except ValueError as error:
        raise UsageError(f"TF_CONFIG={text[:80]!r}: is not JSON: {error}") from None
    except (AttributeError, KeyError, TypeError):
        wanted = "cluster.worker, a list of host:port, and task.type and task.index"
        raise UsageError(f"TF_CONFIG={text[:80]!r}: must have {wanted}") from None
    if job not in JOBS or not 0 <= index < len(jobs[job]):
        known = ", ".join(f"{name} 0 to {len(hosts) - 1}" for name, hosts in jobs.items() if hosts)
        raise UsageError(
            f"TF_CONFIG task={job} {index}: is not in its cluster, which has {known or 'nobody'}"
        )
    addresses = [address for hosts in jobs.values() for address in hosts]
    for address in addresses:
        host, _, port = str(address).rpartition(":")
        if not (host and port.isdigit() and 0 < int(port) < 65_536):
            raise UsageError(f"TF_CONFIG address {address!r}: must be host:port")
    if len(addresses) == 1:
        return None
    return Worker(addresses, index + (len(jobs["chief"]) if job == "worker" else 0))


def connect(tf_config: str, start_seconds: float = START_SECONDS) -> Cluster:
    """Chooses the strategy; with several workers, waits until all of them are there.

    Args:
      tf_config: the environment's TF_CONFIG, or "".
      start_seconds: how long to wait for the other workers.

    Raises:
      UsageError: TF_CONFIG is wrong.
      RetryableError: a worker did not come in time.
    """
    worker = parse_tf_config(tf_config)
    if worker:
        _meet(worker, start_seconds)
        options = tf.distribute.experimental.CommunicationOptions(timeout_seconds=COLLECTIVE_SECONDS)
        strategy = tf.distribute.MultiWorkerMirroredStrategy(communication_options=options)
        return Cluster(strategy, is_chief=worker.index == 0)
    if len(tf.config.list_logical_devices("GPU")) > 1:
        return Cluster(tf.distribute.MirroredStrategy(), is_chief=True)
    return Cluster(None, is_chief=True)


def _meet(worker: Worker, start_seconds: float) -> None:
    """Waits until every worker answers at its address.

    TensorFlow's own wait for an absent worker has no end that can be set, and cannot be interrupted.
    """
    deadline = time.monotonic() + start_seconds
    with _answering(worker.addresses[worker.index]):
        for index, address in enumerate(worker.addresses):
            while index != worker.index and not _answers(address):
                if time.monotonic() > deadline:
                    raise RetryableError(
                        f"TF_CONFIG worker {index} at {address}: did not answer within {start_seconds:g} s"
                    )
                time.sleep(0.2)


def _answers(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=2).close()
    except OSError:
        return False
    return True


@contextlib.contextmanager
def _answering(address: str) -> Iterator[None]:
    """Answers at this worker's own port until its TensorFlow server takes it over."""
    port = int(address.rpartition(":")[2])
    try:
        listener = socket.create_server(("", port))
    except OSError as error:
        raise UsageError(f"TF_CONFIG address {address}: cannot listen there: {error.strerror}") from None

    def accept() -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                listener.accept()[0].close()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
