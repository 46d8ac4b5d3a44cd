"""Where runs go: one typed file per environment, `MNIST_PIPELINE_*` variables over it, secrets only in those.

load("kfp-example")                      # pipeline/environments/kfp-example.yaml
MNIST_PIPELINE_NODES__COUNT=2 …          # the same key, for one command
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

from components.errors import UsageError
from components.storage import uri as bucket_uris
from pipeline import home, yaml_mapping
from pipeline.compile import variables
from pipeline.compile.nodes import KfpNodes, KubernetesName, Resources, SecretKey, VertexNodes
from pipeline.images.references import TASKS
from pipeline.schedules import cron
from pipeline.sections import matching, reason_of

FILES_DIR = Path(__file__).with_suffix("")
PREFIX = "MNIST_PIPELINE_"
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")
_SECRETS = ("token", "cookie", "dex_username", "dex_password")


def _bucket_uri(value: str) -> str:
    expanded = home.expanded(value)
    bucket_uris.parse(expanded)
    return expanded


def _time_zone(value: str) -> str:
    cron.zone_named(value)
    return value


LocalPath = Annotated[Path, AfterValidator(home.expanded)]
BucketUri = Annotated[str, AfterValidator(_bucket_uri)]
GcsUri = Annotated[str, matching(r"gs://[a-z0-9][a-z0-9._-]+(/[^\s?#]*)?", "gs://bucket/prefix")]
HttpUrl = Annotated[
    str,
    matching(r"https?://[^\s/?#@]+[^\s?#@]*", "http(s)://HOST[/PATH] of the API, with no ?, # or @ in it"),
]
Endpoint = Annotated[str, matching(r"(https?://)?[^\s/?#@]+", "a host name, with no path, ?, # or @")]
TimeZone = Annotated[str, AfterValidator(_time_zone)]


def _task(value: str) -> str:
    if value not in TASKS:
        raise ValueError(f"is no task; known: {', '.join(TASKS)}")
    return value


def _not_empty(value: SecretStr) -> SecretStr:
    if not value.get_secret_value():
        raise ValueError("is empty")
    return value


def _fit_for_a_header(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if text != text.strip() or not text.isprintable():
        raise ValueError("has spaces around it or line breaks in it")
    return value


Secret = Annotated[SecretStr, AfterValidator(_not_empty)]
HeaderSecret = Annotated[Secret, AfterValidator(_fit_for_a_header)]
Task = Annotated[str, AfterValidator(_task)]
Variables = Annotated[
    dict[str, Annotated[str, Field(coerce_numbers_to_str=True)]], AfterValidator(variables.checked)
]


class _Environment(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True, hide_input_in_errors=True
    )

    name: str
    bucket_uri: BucketUri

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003  # pydantic's signature; so are the others
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Variables go over the file, and nothing else is read."""
        return env_settings, init_settings


class LocalEnvironment(_Environment):
    """This machine, through the KFP local runner."""

    target: Literal["local"]


class _RemoteEnvironment(_Environment):
    bucket_uri: GcsUri  # a directory would be one on a task's own disk
    digests: LocalPath
    resources: dict[Task, Resources] = {}
    variables: Variables = {}
    time_zone: TimeZone
    timeout_seconds: int = Field(default=30, ge=1, le=600)
    token: HeaderSecret | None = None


class KfpEnvironment(_RemoteEnvironment):
    """A Kubeflow Pipelines installation.

    Attributes:
      host: where its API answers; what kfp.Client calls host.
      auth: `none`, `bearer` (token or token_path), `service-account` (a token that Kubernetes projects into
        this pod) or `dex` (a session cookie, or a user name and password to get one with).
      namespace: the profile's namespace of a multi-user installation; leave it out for a single-user one.
      service_account: of the tasks' pods.
      run_as_non_root: whether Kubernetes refuses a task that would be root; for backends from 2.16 on.
      webhook_secret: the Kubernetes secret whose value is the address that notify tells; for a run whose
        `notify_webhook` is not set otherwise.
      signing_secret: the Kubernetes secret whose value is the private key that export signs models with; the
        images must be those of `make images SIGNING=1`.
      time_zone: the cluster's CRON_SCHEDULE_TIMEZONE, by which it reads every cron expression.
    """

    target: Literal["kfp"]
    host: HttpUrl
    auth: Literal["none", "bearer", "service-account", "dex"]
    token_path: LocalPath | None = None
    ca_cert_path: LocalPath | None = None
    namespace: KubernetesName | None = None
    experiment: str = Field(min_length=1, max_length=128)  # what the server's table holds
    service_account: KubernetesName | None = None
    pipeline_root: str | None = None
    nodes: KfpNodes
    run_as_non_root: bool = True
    webhook_secret: SecretKey | None = None
    signing_secret: SecretKey | None = None
    cookie: HeaderSecret | None = None
    dex_username: Secret | None = None
    dex_password: Secret | None = None

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
    project: Annotated[str, matching(r"[a-z][a-z0-9-]{4,28}[a-z0-9]", "a Google Cloud project id")]
    region: Annotated[str, matching(r"[a-z]+-[a-z]+\d+", "a region such as europe-west4")]
    auth: Literal["adc", "bearer"] = "adc"
    pipeline_root: GcsUri
    service_account: Annotated[str, matching(r"[^@\s]+@[^@\s]+", "an e-mail address")] | None = None
    network: str | None = None
    api_endpoint: Endpoint | None = None
    nodes: VertexNodes

    @model_validator(mode="after")
    def _one_word_on_trains_machine(self) -> Self:
        train = self.resources.get("train", Resources())
        if self.nodes.machine_type and (train.cpu or train.memory):
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
    if not isinstance(target, str) or target not in _KINDS:
        raise UsageError(f"{path}: target={target!r}: must be one of {', '.join(_KINDS)}")
    _check_variables(os.environ)
    try:
        environment = _KINDS[target](**{**content, "name": name})
    except ValidationError as error:
        raise UsageError("; ".join(_described(path, line) for line in error.errors())) from None
    except SettingsError as error:
        raise UsageError(f"{_not_json(error)}: is not JSON, which a variable for several keys is") from None
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
    return f"{path}: {key}: {reason_of(line)}"


def _described(path: Path, line: Any) -> str:
    """As `described`, for a key that a variable may have set."""
    variable = PREFIX + "__".join(str(part) for part in line["loc"]).upper()
    is_variable = any(name == variable or name.startswith(f"{variable}__") for name in os.environ)
    return f"{variable}: {reason_of(line)}" if is_variable else described(path, line)


def _not_json(error: SettingsError) -> str:
    """Returns the name of the variable that could not be parsed; the error knows its value alone."""
    text = getattr(error.__cause__, "doc", None)
    ours = {name: value for name, value in os.environ.items() if name.startswith(PREFIX)}
    return next((name for name, value in ours.items() if value == text), PREFIX)


def _with_paths_from(directory: Path, environment: Environment) -> Environment:
    paths = {
        key: directory / value.expanduser()
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
