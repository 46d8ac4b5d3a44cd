"""Tells each task of the DAG, in its target's words, where it runs, what it is given and for how long."""

from collections.abc import Iterator
from typing import Any

from kfp import dsl, kubernetes

from components.registry.signing import SIGNING_KEY_VARIABLE
from pipeline import dag
from pipeline.compile.nodes import TIMEOUT, KfpNodes, Placement, Resources, Toleration, in_seconds
from pipeline.compile.target import Target

GKE_SPOT = "cloud.google.com/gke-spot"  # GKE's label and taint of spot nodes
WEBHOOK_VARIABLE = "NOTIFY_WEBHOOK"
SIGNING_DIR = "/etc/mnist-pipeline/signing"  # where a cluster mounts the secret with the private key
GRACE = "30s"  # between SIGTERM, on which train saves what it has, and SIGKILL; as Kubernetes has it
# KFP starts Python below a shell, and SIGTERM goes to both. A shell that died of it would end the container
# before train has saved; one that ignores it waits, and returns train's own exit code.
_UNIMPRESSED = ("sh", "-c", "trap '' TERM; exec \"$@\"", "sh")


def placing(placement: Placement) -> dag.Place:
    """Returns what `dag` calls for each of its tasks."""

    def place(task: dsl.PipelineTask) -> None:
        _ask(task, placement)
        for name, value in placement.variables.items():
            task.set_env_variable(name, value)
        _give_secrets(task, placement)
        if isinstance(placement.nodes, KfpNodes):
            if placement.run_as_non_root:
                # With what the backend sets by itself, all that Pod Security's "restricted" asks for.
                kubernetes.set_security_context(task, run_as_non_root=True)
            _settle_on_kubernetes(task, placement.nodes, resources_of(task.name, placement))

    return place


def resources_of(task_name: str, placement: Placement) -> Resources:
    """Returns what a task asks for: its own wish, else that of the task it is sized like, else the DAG's."""
    figures = dag.RESOURCES[task_name]
    if task_name == dag.GPU_TASK:
        figures = placement.nodes.machine().over(figures)
    for name in (dag.SIZED_LIKE.get(task_name, task_name), task_name):
        figures = placement.resources.get(name, Resources()).over(figures)
    return figures


def limit_time(spec: dict[str, Any], placement: Placement) -> None:
    """Has each container end itself in time, in place: for a target without a time limit of its own."""
    for label, executor in spec["deploymentSpec"]["executors"].items():
        limit = resources_of(label.removeprefix("exec-"), placement).time_limit
        if limit:
            limited = (TIMEOUT, f"--kill-after={GRACE}", limit, *_UNIMPRESSED)
            executor["container"]["command"] = [*limited, *executor["container"]["command"]]


def _ask(task: dsl.PipelineTask, placement: Placement) -> None:
    """Asks for what the task needs of its node."""
    asked = resources_of(task.name, placement)
    if asked.cpu:
        task.set_cpu_request(asked.cpu)
        if placement.nodes.target is Target.VERTEX:
            task.set_cpu_limit(asked.cpu)  # Vertex AI picks the machine type by the limits
    if asked.memory:
        task.set_memory_request(asked.memory)
        task.set_memory_limit(asked.memory)
    if task.name == dag.GPU_TASK and placement.nodes.has_accelerator:
        task.set_accelerator_type(placement.nodes.accelerator)
        task.set_accelerator_limit(placement.nodes.count)


def _give_secrets(task: dsl.PipelineTask, placement: Placement) -> None:
    if (webhook := placement.webhook_secret) and task.name == dag.NOTIFY_TASK:
        variables = {webhook.key: WEBHOOK_VARIABLE}
        kubernetes.use_secret_as_env(task, secret_name=webhook.name, secret_key_to_env=variables)
    if (signing := placement.signing_secret) and task.name in dag.EXPORT_TASKS:
        kubernetes.use_secret_as_volume(task, secret_name=signing.name, mount_path=SIGNING_DIR)
        task.set_env_variable(SIGNING_KEY_VARIABLE, f"{SIGNING_DIR}/{signing.key}")


def _settle_on_kubernetes(task: dsl.PipelineTask, nodes: KfpNodes, resources: Resources) -> None:
    """Adds what Kubernetes needs to know beyond resources."""
    if resources.time_limit:
        kubernetes.set_timeout(task, in_seconds(resources.time_limit))
    if task.name != dag.GPU_TASK:
        return
    for toleration in _tolerations(nodes):
        # Every field: without an operator Kubernetes reads Equal, without an effect it reads all of them.
        kubernetes.add_toleration(task, **toleration.model_dump())
    labels = nodes.selector | ({GKE_SPOT: "true"} if nodes.spot else {})
    for label, value in labels.items():
        kubernetes.add_node_selector(task, label, value)


def _tolerations(nodes: KfpNodes) -> Iterator[Toleration]:
    if nodes.has_accelerator:  # GKE and the GPU operators taint such nodes with the resource's own name
        yield Toleration(key=nodes.accelerator)
    yield from nodes.tolerations
    if nodes.spot:
        yield Toleration(key=GKE_SPOT, operator="Equal", value="true")
