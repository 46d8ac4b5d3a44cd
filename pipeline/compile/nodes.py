"""What a pipeline is compiled for, where its tasks run there and what they are given. Needs no KFP.

Placement(KfpNodes(accelerator="nvidia.com/gpu"), resources={"train": Resources(memory="16G")})
"""

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, ValidationError, model_validator

from components.errors import UsageError
from pipeline.compile.target import Target
from pipeline.sections import Section, matching, reason_of

_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
LONGEST_TIME_LIMIT = "2d"  # so that the last retry ends within dag.RETRY_BACKOFF_MAX of the first start


# coreutils': for a target that ends no task. It hands on a SIGTERM that it gets, as a process 1 must.
TIMEOUT = "timeout"


def in_seconds(duration: str) -> int:
    """Returns `90m` as 5400."""
    return int(duration[:-1]) * _SECONDS[duration[-1]]


def _not_too_long(duration: str) -> str:
    if not 0 < in_seconds(duration) <= in_seconds(LONGEST_TIME_LIMIT):
        raise ValueError(f"must be more than 0 and at most {LONGEST_TIME_LIMIT}")
    return duration


Cpu = Annotated[str, matching(r"\d+(\.\d+)?|\d+m", "cores such as 2, 0.5 or 500m")]
Memory = Annotated[str, matching(r"\d+(\.\d+)?(K|M|G|T|Ki|Mi|Gi|Ti)", "an amount such as 4G or 512Mi")]
TimeLimit = Annotated[
    str, matching(r"[0-9]{1,6}[smhd]", "a duration such as 45m, 6h or 1d"), AfterValidator(_not_too_long)
]


class Resources(Section):
    """What one task asks of its node, and for how long; nothing where it is None.

    Attributes:
      cpu: cores.
      memory: in Kubernetes units; who takes more is ended.
      time_limit: of one attempt; who takes longer is ended, and may be tried again.
    """

    cpu: Cpu | None = None
    memory: Memory | None = None
    time_limit: TimeLimit | None = None

    def over(self, other: "Resources") -> "Resources":
        """Returns the other's figures, with these in their place where there are any."""
        return other.model_copy(update=self.model_dump(exclude_none=True))


NO_ACCELERATOR = "none"


class _Nodes(Section):
    """What the nodes of both targets have."""

    target: ClassVar[Target]
    accelerator: str
    count: int = 1

    @property
    def has_accelerator(self) -> bool:
        """Whether train runs on more than a CPU."""
        return self.accelerator != NO_ACCELERATOR

    def machine(self) -> Resources:
        """Returns what the choice of a machine says about train's resources."""
        return Resources()

    @model_validator(mode="after")
    def _a_count_counts_something(self) -> Self:
        if self.count > 1 and not self.has_accelerator:
            raise ValueError(f"count={self.count}: needs an accelerator")
        return self


class Toleration(Section):
    """A taint that train's pod puts up with."""

    key: str
    operator: Literal["Exists", "Equal"] = "Exists"
    value: str = ""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] = "NoSchedule"

    @model_validator(mode="after")
    def _as_kubernetes_takes_it(self) -> Self:
        if self.operator == "Exists" and self.value:
            raise ValueError(f"value={self.value}: operator Exists has none; did you mean operator: Equal?")
        if self.operator == "Equal" and not self.key:
            raise ValueError("key: may be empty, for every taint, with operator Exists only")
        return self


_LABEL = r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?"
LabelName = Annotated[str, matching(rf"([a-z0-9.-]+/)?{_LABEL}", "the name of a Kubernetes label")]
LabelValue = Annotated[str, matching(rf"({_LABEL})?", "the value of a Kubernetes label")]


class KfpNodes(_Nodes):
    """Where train runs on a Kubernetes cluster.

    Attributes:
      accelerator: the Kubernetes resource name, `nvidia.com/gpu`; `none` for a CPU node.
      count: how many.
      selector: labels that the node must carry (its pool).
      tolerations: taints beside the accelerator's own, which is always tolerated.
      spot: GKE's spot nodes: their label is selected and their taint tolerated.
    """

    target = Target.KFP
    accelerator: Annotated[
        str,
        matching(r"none|[a-z0-9.-]+/[a-z0-9.-]+", "a Kubernetes resource such as nvidia.com/gpu, or none"),
    ]
    count: int = Field(default=1, ge=1, le=16)
    selector: dict[LabelName, LabelValue] = {}
    tolerations: tuple[Toleration, ...] = ()
    spot: bool = False


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


class VertexNodes(_Nodes):
    """Where train runs on Vertex AI.

    A pipeline cannot name a machine type there: Vertex AI takes the machine that fits cpu, memory and
    accelerator. `machine_type` asks for exactly the cpu and memory of that type.

    Attributes:
      accelerator: Vertex AI's name for it, `NVIDIA_TESLA_T4`; `none` for a CPU machine.
      count: how many.
      machine_type: such as `n1-standard-4`, instead of train's cpu and memory.
    """

    target = Target.VERTEX
    accelerator: Annotated[
        str,
        matching(r"none|NVIDIA_[A-Z0-9_]+|TPU_V\d\w*", "a Vertex AI type such as NVIDIA_TESLA_T4, or none"),
    ]
    count: Annotated[int, AfterValidator(_vertex_count)] = 1
    machine_type: (
        Annotated[
            str,
            matching(
                rf"({'|'.join(GIB_PER_VCPU)})-[1-9][0-9]{{0,2}}",
                f"a machine type such as n1-standard-4; known: {', '.join(GIB_PER_VCPU)}",
            ),
        ]
        | None
    ) = None

    def machine(self) -> Resources:
        """Returns the cpu and memory of `machine_type`, if one was asked for."""
        if self.machine_type is None:
            return Resources()
        family, _, vcpus = self.machine_type.rpartition("-")
        return Resources(cpu=vcpus, memory=f"{int(int(vcpus) * GIB_PER_VCPU[family] * 1024)}Mi")


Nodes = KfpNodes | VertexNodes
_KINDS: dict[Target, type[Nodes]] = {Target.KFP: KfpNodes, Target.VERTEX: VertexNodes}
DEFAULT_ACCELERATOR_TYPE = {
    Target.KFP: "nvidia.com/gpu",  # a Kubernetes resource name
    Target.VERTEX: "NVIDIA_TESLA_T4",  # a Vertex AI accelerator type
}


def nodes_for(
    target: Target,
    accelerator: str = "",
    count: int = 1,
    selector: Mapping[str, str] | None = None,
) -> Nodes:
    """Returns the target's nodes from the flags of `compile`; its default accelerator for an empty one.

    Raises:
      UsageError: a type that the target does not know, a count that it does not have, a selector for Vertex.
    """
    wanted: dict[str, Any] = {"accelerator": accelerator or DEFAULT_ACCELERATOR_TYPE[target], "count": count}
    if selector:
        wanted["selector"] = dict(selector)
    try:
        return _KINDS[target](**wanted)
    except ValidationError as error:
        raise UsageError("; ".join(_flagged(target, line) for line in error.errors())) from None


_FLAGS = {"accelerator": "--accelerator-type", "count": "--accelerator-count", "selector": "--node-selector"}


def _flagged(target: Target, line: Any) -> str:
    """Returns what is wrong with one flag, from a pydantic error."""
    if not line["loc"]:
        return f"--accelerator-{reason_of(line)}"
    flag = _FLAGS[line["loc"][0]]
    if line["type"] == "extra_forbidden":
        return f"{flag}: target {target} chooses the node by the accelerator; only for {Target.KFP}"
    return f"{flag}={line['input']}: {reason_of(line)} (target {target})"


KubernetesName = Annotated[str, matching(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", "a Kubernetes name")]


class SecretKey(Section):
    """One value of a Kubernetes secret in the runs' namespace."""

    name: KubernetesName
    key: Annotated[str, matching(r"[A-Za-z0-9._-]+", "a key of a Kubernetes secret")]


@dataclasses.dataclass(frozen=True)
class Placement:
    """Where a pipeline's tasks run, and what they are given there.

    Attributes:
      nodes: where train runs; their kind says for which target the pipeline is compiled.
      resources: task name to what it asks for instead of the DAG's figures.
      variables: environment variables of every task.
      run_as_non_root: KFP only; whether Kubernetes refuses to start a pod as root.
      webhook_secret: KFP only; becomes notify's variable `placing.WEBHOOK_VARIABLE`.
      signing_secret: KFP only; holds the private key that export signs with.
    """

    nodes: Nodes
    resources: Mapping[str, Resources] = dataclasses.field(default_factory=dict)
    variables: Mapping[str, str] = dataclasses.field(default_factory=dict)
    run_as_non_root: bool = True
    webhook_secret: SecretKey | None = None
    signing_secret: SecretKey | None = None
