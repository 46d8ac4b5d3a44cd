"""Where runs go: one typed file per environment, `MNIST_PIPELINE_*` variables over it, secrets only in those.

load("kfp-example")                      # pipeline/environments/kfp-example.yaml
MNIST_PIPELINE_NODES__COUNT=2 …          # the same key, for one command
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from components.errors import UsageError
from components.storage import uri as bucket_uris
from pipeline import yaml_mapping
from pipeline.schedules import cron

FILES_DIR = Path(__file__).with_suffix("")
PREFIX = "MNIST_PIPELINE_"
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")
_SECRETS = ("token", "cookie", "dex_username", "dex_password")


def _matching(pattern: str, description: str) -> AfterValidator:
    """A check that says in words what the pattern wants."""

    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError(f"must be {description}")
        return value

    return AfterValidator(check)


def _bucket_uri(value: str) -> str:
    bucket_uris.parse(value)
    return value


def _time_zone(value: str) -> str:
    cron.zone_named(value)
    return value


BucketUri = Annotated[str, AfterValidator(_bucket_uri)]
GcsUri = Annotated[str, _matching(r"gs://[a-z0-9][a-z0-9._-]+(/[^\s?#]*)?", "gs://bucket/prefix")]
HttpUrl = Annotated[str, _matching(r"https?://[^\s/?#]+[^\s?#]*", "an http:// or https:// address")]
KubernetesName = Annotated[str, _matching(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", "a Kubernetes name")]
TimeZone = Annotated[str, AfterValidator(_time_zone)]
Cpu = Annotated[str, _matching(r"\d+(\.\d+)?|\d+m", "cores such as 2, 0.5 or 500m")]
Memory = Annotated[str, _matching(r"\d+(\.\d+)?(K|M|G|T|Ki|Mi|Gi|Ti)", "an amount such as 4G or 512Mi")]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Resources(_Section):
    """What one task asks of its node, instead of the DAG's figures."""

    cpu: Cpu | None = None
    memory: Memory | None = None


class Toleration(_Section):
    """A taint that train's pod puts up with."""

    key: str
    operator: Literal["Exists", "Equal"] = "Exists"
    value: str = ""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] = "NoSchedule"


class KfpNodes(_Section):
    """Where train runs on a Kubernetes cluster.

    Attributes:
      accelerator: the Kubernetes resource name, `nvidia.com/gpu`; `none` for a CPU node.
      count: how many.
      selector: labels that the node must carry (its pool).
      tolerations: taints beside the accelerator's own, which is always tolerated.
      spot: GKE's spot nodes: their label is selected and their taint tolerated.
    """

    accelerator: Annotated[
        str,
        _matching(r"none|[a-z0-9.-]+/[a-z0-9.-]+", "a Kubernetes resource such as nvidia.com/gpu, or none"),
    ]
    count: int = Field(default=1, ge=1, le=16)
    selector: dict[str, str] = {}
    tolerations: tuple[Toleration, ...] = ()
    spot: bool = False


class SecretKey(_Section):
    """One value of a Kubernetes secret in the runs' namespace."""

    name: KubernetesName
    key: Annotated[str, _matching(r"[A-Za-z0-9._-]+", "a key of a Kubernetes secret")]


VERTEX_COUNTS = (1, 2, 4, 8, 16)  # accelerators of a machine
# Gibibytes of memory per vCPU: https://cloud.google.com/compute/docs/machine-resource
GIB_PER_VCPU = {
    "n1-standard": 3.75,
    "n1-highmem": 6.5,
    "n1-highcpu": 0.9,
    "n2-standard": 4.0,
    "n2-highmem": 8.0,
    "n2-highcpu": 1.0,
    "e2-standard": 4.0,
    "e2-highmem": 8.0,
    "e2-highcpu": 1.0,
}


def _vertex_count(value: int) -> int:
    if value not in VERTEX_COUNTS:
        raise ValueError(f"must be one of {', '.join(map(str, VERTEX_COUNTS))}")
    return value


class VertexNodes(_Section):
    """Where train runs on Vertex AI.

    A pipeline cannot name a machine type there: Vertex AI takes the machine that fits cpu, memory and
    accelerator. `machine_type` asks for exactly the cpu and memory of that type.

    Attributes:
      accelerator: Vertex AI's name for it, `NVIDIA_TESLA_T4`; `none` for a CPU machine.
      count: how many.
      machine_type: such as `n1-standard-4`, instead of `resources.train`.
    """

    accelerator: Annotated[
        str,
        _matching(r"none|NVIDIA_[A-Z0-9_]+|TPU_V\d\w*", "a Vertex AI type such as NVIDIA_TESLA_T4, or none"),
    ]
    count: Annotated[int, AfterValidator(_vertex_count)] = 1
    machine_type: (
        Annotated[
            str,
            _matching(
                rf"({'|'.join(GIB_PER_VCPU)})-[1-9][0-9]{{0,2}}",
                f"a machine type such as n1-standard-4; known: {', '.join(GIB_PER_VCPU)}",
            ),
        ]
        | None
    ) = None

    def machine(self) -> Resources | None:
        """Returns the cpu and memory of `machine_type`, None if none was asked for."""
        if self.machine_type is None:
            return None
        family, _, vcpus = self.machine_type.rpartition("-")
        return Resources(cpu=vcpus, memory=f"{int(int(vcpus) * GIB_PER_VCPU[family] * 1024)}Mi")


class _Environment(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True, hide_input_in_errors=True
    )

    name: str
    bucket_uri: BucketUri

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Variables go over the file, and nothing else is read."""
        return env_settings, init_settings


class LocalEnvironment(_Environment):
    """This machine, through the KFP local runner."""

    target: Literal["local"]


class _RemoteEnvironment(_Environment):
    bucket_uri: GcsUri  # a directory would be one on a task's own disk
    digests: Path
    resources: dict[Literal["ingest", "train", "evaluate", "export"], Resources] = {}
    time_zone: TimeZone
    timeout_seconds: int = Field(default=30, ge=1, le=600)
    token: SecretStr | None = None


class KfpEnvironment(_RemoteEnvironment):
    """A Kubeflow Pipelines installation.

    Attributes:
      host: where its API answers; what kfp.Client calls host.
      auth: `none`, `bearer` (token or token_path), `service-account` (a token that Kubernetes projects into
        this pod) or `dex` (a session cookie, or a user name and password to get one with).
      namespace: the profile's namespace of a multi-user installation; leave it out for a single-user one.
      service_account: of the tasks' pods.
      webhook_secret: the Kubernetes secret whose value is the address that notify tells; for a run whose
        `notify_webhook` is not set otherwise.
      signing_secret: the Kubernetes secret whose value is the private key that export signs models with; the
        images must be those of `make images SIGNING=1`.
      time_zone: the cluster's CRON_SCHEDULE_TIMEZONE, by which it reads every cron expression.
    """

    target: Literal["kfp"]
    host: HttpUrl
    auth: Literal["none", "bearer", "service-account", "dex"]
    token_path: Path | None = None
    ca_cert_path: Path | None = None
    namespace: KubernetesName | None = None
    experiment: str = Field(min_length=1)
    service_account: KubernetesName | None = None
    pipeline_root: str | None = None
    nodes: KfpNodes
    webhook_secret: SecretKey | None = None
    signing_secret: SecretKey | None = None
    cookie: SecretStr | None = None
    dex_username: SecretStr | None = None
    dex_password: SecretStr | None = None

    @model_validator(mode="after")
    def _a_token_file_is_for_who_reads_it(self) -> Self:
        if self.token_path and self.auth not in ("bearer", "service-account"):
            raise ValueError(f"token_path: auth={self.auth} would ignore it; for bearer or service-account")
        return self


class VertexEnvironment(_RemoteEnvironment):
    """Vertex AI Pipelines in one project and region.

    Attributes:
      auth: `adc` (Application Default Credentials) or `bearer` (an access token).
      pipeline_root: where run artifacts go; the bucket must exist.
      service_account: whom the tasks run as; empty for the project's default one.
      network: full name of a peered VPC network.
      api_endpoint: instead of the region's public one, for a private endpoint.
      time_zone: of the schedules.
    """

    target: Literal["vertex"]
    project: Annotated[str, _matching(r"[a-z][a-z0-9-]{4,28}[a-z0-9]", "a Google Cloud project id")]
    region: Annotated[str, _matching(r"[a-z]+-[a-z]+\d+", "a region such as europe-west4")]
    auth: Literal["adc", "bearer"] = "adc"
    pipeline_root: GcsUri
    service_account: Annotated[str, _matching(r"[^@\s]+@[^@\s]+", "an e-mail address")] | None = None
    network: str | None = None
    api_endpoint: str | None = None
    nodes: VertexNodes

    @model_validator(mode="after")
    def _one_word_on_trains_machine(self) -> Self:
        if self.nodes.machine_type and "train" in self.resources:
            raise ValueError("nodes.machine_type and resources.train both size train: leave one of them out")
        return self


Environment = LocalEnvironment | KfpEnvironment | VertexEnvironment
RemoteEnvironment = KfpEnvironment | VertexEnvironment
_KINDS: dict[str, type[Environment]] = {
    "local": LocalEnvironment,
    "kfp": KfpEnvironment,
    "vertex": VertexEnvironment,
}


def names(files_dir: Path = FILES_DIR) -> list[str]:
    """Returns the names of the environments that have a file."""
    return sorted(path.stem for path in files_dir.glob("*.yaml"))


def load(name: str, files_dir: Path = FILES_DIR) -> Environment:
    """Reads one environment; relative paths in it start at its file.

    Raises:
      UsageError: no such environment, or every wrong key in one line, each with its file or variable.
    """
    if name not in names(files_dir):
        raise UsageError(
            f"--env={name}: no such environment in {files_dir}; known: {', '.join(names(files_dir))}"
        )
    path = files_dir / f"{name}.yaml"
    content = _read(path)
    target = os.environ.get(f"{PREFIX}TARGET") or content.get("target")
    if target not in _KINDS:
        raise UsageError(f"{path}: target={target!r}: must be one of {', '.join(_KINDS)}")
    _check_variables(os.environ)
    try:
        environment = _KINDS[target](**{**content, "name": name})
    except ValidationError as error:
        raise UsageError("; ".join(_described(path, line) for line in error.errors())) from None
    return _with_paths_from(path.parent, environment)


def _read(path: Path) -> dict[str, Any]:
    content = yaml_mapping.read(path)
    if not _NAME.fullmatch(path.stem):
        raise UsageError(f"{path}: an environment's name must be of a-z 0-9 -, at most 40 of them")
    for key in ("name", *_SECRETS):
        if key in content:
            reason = (
                "is the file's own name"
                if key == "name"
                else f"is a secret: set {PREFIX}{key.upper()} instead"
            )
            raise UsageError(f"{path}: {key}: {reason}")
    return content


def _check_variables(variables: Mapping[str, str]) -> None:
    """A misspelt variable must not be ignored; one for another target may stand."""
    known = {key for kind in _KINDS.values() for key in kind.model_fields} - {"name"}
    for variable in sorted(variables):
        key = variable.removeprefix(PREFIX).partition("__")[0].lower()
        if variable.startswith(PREFIX) and key not in known:
            raise UsageError(f"{variable}: no such setting; known: {', '.join(sorted(known))}")


def described(path: Path, line: Any) -> str:
    """Returns one wrong key of a file, from a pydantic error: where it is, its name, what is wrong."""
    key = ".".join(str(part) for part in line["loc"])
    return f"{path}: {key}: {_reason(line)}"


def _described(path: Path, line: Any) -> str:
    """As `described`, for a key that a variable may have set."""
    variable = PREFIX + "__".join(str(part) for part in line["loc"]).upper()
    is_variable = any(name == variable or name.startswith(f"{variable}__") for name in os.environ)
    return f"{variable}: {_reason(line)}" if is_variable else described(path, line)


def _reason(line: Any) -> str:
    reasons = {"missing": "is required", "extra_forbidden": "no such key for this target"}
    return reasons.get(line["type"], str(line["msg"]).removeprefix("Value error, "))


def _with_paths_from(directory: Path, environment: Environment) -> Environment:
    paths = {
        key: directory / value
        for key, value in environment
        if isinstance(value, Path) and f"{PREFIX}{key.upper()}" not in os.environ
    }
    return environment.model_copy(update=paths)


def check_credentials(environment: RemoteEnvironment) -> None:
    """Raises UsageError unless what `auth` needs is there; says which variable or key would give it."""
    name = environment.name
    if environment.auth == "bearer" and environment.token is None:
        if isinstance(environment, VertexEnvironment):
            raise UsageError(f"environment {name}: auth=bearer needs {PREFIX}TOKEN")
        if environment.token_path is None:
            raise UsageError(f"environment {name}: auth=bearer needs {PREFIX}TOKEN or token_path")
    if isinstance(environment, KfpEnvironment) and environment.auth == "dex":
        has_login = environment.dex_username and environment.dex_password
        if not (environment.cookie or has_login):
            raise UsageError(
                f"environment {name}: auth=dex needs {PREFIX}COOKIE, "
                f"or {PREFIX}DEX_USERNAME and {PREFIX}DEX_PASSWORD"
            )
