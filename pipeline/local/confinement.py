"""What each task's container may see of this machine: what its own parameters name, and no more.

| task             | bucket | checkpoints | mirror | batches | signing key | public key | webhook |
|------------------|--------|-------------|--------|---------|-------------|------------|---------|
| scan             |        |             |        | reads   |             |            |         |
| ingest           |        |             | reads  | reads   |             |            |         |
| lookup, evaluate | reads* |             |        |         |             | reads      |         |
| train            |        | writes      |        |         |             |            |         |
| export, export-2 | writes |             |        |         | reads       | reads      |         |
| notify           | reads  |             |        |         |             | reads      | posts   |

* and writes what the run came to, in a folder of the bucket that holds nothing else.
"""

import dataclasses
import os
import re
import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from components.errors import StorageError, UsageError
from components.notify.settings import VARIABLE
from components.registry import conclusions
from components.registry.signing import SIGNING_KEY_VARIABLE, VERIFY_KEY_VARIABLE
from components.storage.gcs_client import EMULATOR, EMULATOR_OPT_IN
from components.storage.opening import DEADLINE_VARIABLE
from pipeline import dag
from pipeline.compile.placing import WEBHOOK_VARIABLE
from pipeline.local.containers import ALL_GPUS, Container, Mount
from pipeline.local.docker_options import NO_NETWORK, Options

BUCKET, CHECKPOINTS, MIRROR, BATCHES = "bucket_uri", "checkpoint_uri", "mirror", "batches_uri"
PLACES = (BUCKET, CHECKPOINTS, MIRROR, BATCHES)
WEBHOOK = "notify_webhook"

_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")
_AUTHORITIES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")  # files, whose certificates such proxies need
_STORES = (EMULATOR, EMULATOR_OPT_IN, "GOOGLE_CLOUD_PROJECT")
_CREDENTIALS = "GOOGLE_APPLICATION_CREDENTIALS"  # a file
_QUANTITY = re.compile(r"(\d+(?:\.\d+)?)([KMGT]?)(i?)")


@dataclasses.dataclass(frozen=True)
class Confinement:
    """What all containers of a run share, and what there is to be shared out among them.

    Attributes:
      options: as the person gave them.
      directories: those parameters that name local directories, with these.
      webhook: the variable that holds the webhook's address; empty for none.
      label: of the run's containers.
    """

    options: Options
    directories: Mapping[str, str]
    webhook: str
    label: str

    def of(self, task: str, image: str, inputs: Collection[str], environment: Mapping[str, str]) -> Container:
        """Returns the container of one task.

        Args:
          task: its name in the DAG.
          image: what it runs in.
          inputs: names of its parameters.
          environment: what the compiled pipeline sets for it.
        """
        variables, files = self._variables(task, inputs)
        given = {name: str(Path(os.environ[name]).absolute()) for name in files if os.environ.get(name)}
        own = {"HOME": "/tmp", "TF_CPP_MIN_LOG_LEVEL": os.environ.get("TF_CPP_MIN_LOG_LEVEL", "3")}
        return Container(
            image=image,
            label=self.label,
            mounts=(*self._directories(task, inputs), *(Mount(path) for path in sorted(set(given.values())))),
            environment={**own, **environment, **given},
            inherited=tuple(name for name in variables if name in os.environ),
            network=self.options.network,
            memory_bytes=memory_bytes(self.options.memory or dag.RESOURCES[task].memory or "0"),
            gpus=_gpus(self.options.gpus) if task == dag.GPU_TASK else 0,
        )

    def _directories(self, task: str, inputs: Collection[str]) -> list[Mount]:
        writable = {CHECKPOINTS, BUCKET} if task in dag.EXPORT_TASKS else {CHECKPOINTS}
        mounts = [
            Mount(path, writable=name in writable)
            for name, path in self.directories.items()
            if name in inputs
        ]
        if task in dag.CONCLUDING_TASKS and BUCKET in self.directories:
            mounts.append(Mount(f"{self.directories[BUCKET]}/{conclusions.FOLDER}", writable=True))
        return mounts

    def _variables(self, task: str, inputs: Collection[str]) -> tuple[list[str], list[str]]:
        """Returns which variables a task gets, and which that name files."""
        variables, files = [DEADLINE_VARIABLE], []
        if task in dag.EXPORT_TASKS:
            files.append(SIGNING_KEY_VARIABLE)
        if BUCKET in inputs:
            files.append(VERIFY_KEY_VARIABLE)
        if self.options.network == NO_NETWORK:
            return variables, files
        variables += _PROXIES
        files += _AUTHORITIES
        if set(PLACES) & set(inputs):
            variables += _STORES
            files.append(_CREDENTIALS)
        if WEBHOOK in inputs and self.webhook:
            variables.append(self.webhook)
        return variables, files


def confine(arguments: Mapping[str, Any], options: Options, *, runs_dir: Path, label: str) -> Confinement:
    """Looks at this machine, and makes the directories that a run writes to.

    Raises:
      UsageError: a remote bucket, mirror or webhook without a network; GPUs that are neither `all` nor a
        count; memory that is no quantity.
      StorageError: a directory is missing or not writable.
    """
    _gpus(options.gpus)
    if options.memory:
        memory_bytes(options.memory)
    _writable_dir("--runs-dir", runs_dir)
    directories = {}
    for field in PLACES:
        if directory := _local_dir(field, arguments[field], options.network):
            directories[field] = str(directory)
            if field in (BUCKET, CHECKPOINTS):
                _writable_dir(field, directory)
                if field == BUCKET:
                    _writable_dir(field, directory / conclusions.FOLDER)
            elif not directory.is_dir():
                raise StorageError(f"{field}={arguments[field]}: is not a directory")
    webhook = webhook_variable(arguments[WEBHOOK])
    if webhook and options.network == NO_NETWORK:
        raise UsageError(f"{WEBHOOK}: {_WITHOUT_NETWORK}")
    return Confinement(options, directories, webhook, label)


def webhook_variable(notify_webhook: str) -> str:
    """Returns the name of the variable that holds the webhook's address in a local run, "" for none.

    An address that is a parameter's value would stand in KFP's log of what it starts.
    """
    named = VARIABLE.fullmatch(notify_webhook)
    return named[1] if named else WEBHOOK_VARIABLE if notify_webhook else ""


def memory_bytes(quantity: str) -> int:
    """Returns a Kubernetes quantity of memory in bytes: 4G, 512Mi.

    Raises:
      UsageError: it is none.
    """
    found = _QUANTITY.fullmatch(quantity)
    if not found or (found[3] and not found[2]):
        raise UsageError(f"--memory={quantity}: must be a number with K, M, G, T, Ki, Mi, Gi or Ti: 4G")
    return int(float(found[1]) * (1024 if found[3] else 1000) ** " KMGT".index(found[2] or " "))


_WITHOUT_NETWORK = "containers have no network unless one is given, as --network bridge"


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
            raise UsageError(f"{field}={uri}: {_WITHOUT_NETWORK}")
        return None
    return Path(uri.removeprefix("file://")).absolute() if uri else None


def _gpus(gpus: str) -> int:
    if gpus == "all":
        return ALL_GPUS
    if gpus and not (gpus.isdecimal() and int(gpus) > 0):
        raise UsageError(f"--gpus={gpus}: must be `all` or a whole number of at least 1")
    return int(gpus or 0)
