"""What a pipeline is compiled for, and where its train task runs there. Needs no KFP."""

import dataclasses
import enum
from collections.abc import Mapping, Sequence

from components.errors import UsageError


class Target(enum.StrEnum):
    """Where the compiled pipeline will run."""

    KFP = "kfp"
    VERTEX = "vertex"


DEFAULT_ACCELERATOR_TYPE = {
    Target.KFP: "nvidia.com/gpu",  # a Kubernetes resource name
    Target.VERTEX: "NVIDIA_TESLA_T4",  # a Vertex AI accelerator type
}
NO_ACCELERATOR = "none"


@dataclasses.dataclass(frozen=True)
class Nodes:
    """Where the train task runs, in the target's own terms.

    Attributes:
      accelerator: a Kubernetes resource name for KFP (`nvidia.com/gpu`), `NVIDIA_TESLA_T4` and the like for
        Vertex; empty for a CPU node.
      count: how many accelerators, 1 to 16.
      selector: KFP only; labels that the node must carry.
      tolerations: KFP only; taints beside the accelerator's own: key, operator, value, effect.
      spot: KFP only; GKE's spot nodes.
    """

    accelerator: str
    count: int = 1
    selector: Mapping[str, str] = dataclasses.field(default_factory=dict)
    tolerations: Sequence[Mapping[str, str]] = ()
    spot: bool = False


def nodes_for(
    target: Target,
    accelerator: str = "",
    count: int = 1,
    selector: Mapping[str, str] | None = None,
) -> Nodes:
    """Returns the target's nodes, its default accelerator for an empty one, CPU nodes for `none`.

    Raises:
      UsageError: a type that the target does not know, a count out of range, a selector for Vertex.
    """
    if selector and target is Target.VERTEX:
        raise UsageError("--node-selector: Vertex AI chooses the node by the accelerator type; only for kfp")
    if accelerator == NO_ACCELERATOR:
        return Nodes("", count, selector or {})
    accelerator = accelerator or DEFAULT_ACCELERATOR_TYPE[target]
    is_resource_name = "/" in accelerator
    if is_resource_name != (target is Target.KFP):
        raise UsageError(
            f"--accelerator-type={accelerator}: target {target} wants one like "
            f"{DEFAULT_ACCELERATOR_TYPE[target]}, or {NO_ACCELERATOR}"
        )
    if not 1 <= count <= 16:
        raise UsageError(f"--accelerator-count={count}: must be a whole number from 1 to 16")
    return Nodes(accelerator, count, selector or {})
