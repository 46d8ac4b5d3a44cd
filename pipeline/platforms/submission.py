"""From an environment and parameters to a run: compile, pin, name, send.

A run's name is a function of what runs: environment, pipeline, parameters and the caller's id. Submitting the
same once more, after a lost answer or by a second person, finds the run that is there.
"""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.errors import UsageError
from components.notify.settings import RUN
from pipeline.compile.documents import to_documents, to_yaml
from pipeline.compile.nodes import Placement
from pipeline.compile.placing import WEBHOOK_VARIABLE
from pipeline.environments import KfpEnvironment, RemoteEnvironment, VertexEnvironment
from pipeline.images import references
from pipeline.platforms.pages import run_page
from pipeline.platforms.platform import Package, Submission

_DIGITS = 10


def package_for(environment: RemoteEnvironment) -> Package:
    """Compiles the DAG for an environment, every image pinned by digest.

    Raises:
      UsageError: no digests file, one for other images, a setting that the target would ignore.
    """
    pinned = _images(environment)
    documents = to_documents(pinned, placement_of(environment))
    text = to_yaml(documents)
    digest = hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]
    return Package(tuple(documents), f"{references.git_tag()}-{digest}", text)


def placement_of(environment: RemoteEnvironment) -> Placement:
    """Returns where the environment's runs have their tasks, and what they are given there."""
    placement = Placement(environment.nodes, environment.resources, environment.variables)
    if isinstance(environment, VertexEnvironment):
        return placement
    return dataclasses.replace(
        placement,
        run_as_non_root=environment.run_as_non_root,
        webhook_secret=environment.webhook_secret,
        signing_secret=environment.signing_secret,
    )


def fallbacks(environment: RemoteEnvironment) -> dict[str, str]:
    """Returns the environment's own values for parameters that are not set otherwise."""
    values = {"bucket_uri": environment.bucket_uri, "run_page": run_page(environment, RUN)}
    if isinstance(environment, KfpEnvironment) and environment.webhook_secret:
        values["notify_webhook"] = f"env:{WEBHOOK_VARIABLE}"
    return values


def submission_for(
    environment: RemoteEnvironment, package: Package, parameters: Mapping[str, Any], run_id: str = ""
) -> Submission:
    """Names the run.

    Args:
      environment: where it goes.
      package: what runs.
      parameters: a value for each of the pipeline's parameters.
      run_id: tells apart runs of the same; empty for the one run of it.

    Raises:
      UsageError: `bucket_uri` is a directory.
    """
    if not str(parameters["bucket_uri"]).startswith("gs://"):
        raise UsageError(
            f"bucket_uri={parameters['bucket_uri']}: on target {environment.target} that is the task's own "
            "disk; must be gs://bucket/prefix"
        )
    sent = [environment.name, package.text, dict(parameters), environment.pipeline_root, run_id]
    digest = hashlib.sha256(json.dumps(sent, sort_keys=True).encode()).hexdigest()[:_DIGITS]
    pipeline_name = package.documents[0]["pipelineInfo"]["name"]
    return Submission(f"{pipeline_name}-{package.version.partition('-')[0]}-{digest}", package, parameters)


def renamed(environment: RemoteEnvironment, submission: Submission, run_id: str) -> Submission:
    """Returns the same run under the name that `run_id` gives it."""
    return submission_for(environment, submission.package, submission.parameters, run_id)


def attempts(
    environment: RemoteEnvironment, submission: Submission, run_id: str, retries: int
) -> list[Submission]:
    """Returns the run and, for each retry, the same run under a name of its own, the same one every time."""
    again = [renamed(environment, submission, f"{run_id} retry {number + 1}") for number in range(retries)]
    return [submission, *again]


def _images(environment: RemoteEnvironment) -> dict[str, str]:
    if not environment.digests.is_file():
        raise UsageError(
            f"environment {environment.name}: digests={_shown(environment.digests)}: no such file; "
            "`make push REGISTRY=…` writes it"
        )
    pinned = references.resolve(digests_path=environment.digests)
    for component, reference in pinned.items():
        name = reference.partition("@")[0].rpartition("/")[2]
        if name != references.repository(component):
            raise UsageError(
                f"environment {environment.name}: digests={_shown(environment.digests)}: {component} is "
                f"image {name}, not {references.repository(component)}"
            )
    return pinned


def _shown(path: Path) -> str:
    """The path as a person would write it, from where they are."""
    resolved = path.resolve()
    return str(resolved.relative_to(Path.cwd()) if resolved.is_relative_to(Path.cwd()) else resolved)


def describe(environment: RemoteEnvironment, submission: Submission) -> dict[str, Any]:
    """Returns what would be sent, as JSON values, to be read before it is."""
    used = {
        label.removeprefix("exec-"): executor["container"]["image"]
        for label, executor in submission.package.documents[0]["deploymentSpec"]["executors"].items()
    }
    where = environment.host if isinstance(environment, KfpEnvironment) else environment.project
    return {
        "environment": f"{environment.name} ({environment.target}, {where})",
        "run": submission.run_name,
        "version": submission.package.version,
        "nodes": environment.nodes.model_dump(mode="json"),
        "images": used,
        "parameters": dict(submission.parameters),
    }
