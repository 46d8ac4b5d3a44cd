"""From what a person asks for to a finished run on this machine."""

import contextlib
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from components.errors import GateError
from components.registry import signing
from pipeline import dag
from pipeline.compile.documents import Spec, load_documents, local_spec
from pipeline.local import docker_runner, run, summary
from pipeline.parameters import resolve


@dataclasses.dataclass(frozen=True)
class Launch:
    """A run to be, on this machine.

    Attributes:
      assignments: `name=value` of pipeline parameters.
      files: YAML files of them.
      fallback_bucket: where models are published if neither says so.
      from_yaml: a compiled pipeline; None for the checkout's DAG.
      runs_dir: a folder for the run is made in it.
      retries: how often a failed task is tried again.
      docker: run tasks in containers, with these options; None for processes.
    """

    assignments: Sequence[str] = ()
    files: Sequence[Path] = ()
    fallback_bucket: str = dag.LOCAL_BUCKET
    from_yaml: Path | None = None
    runs_dir: Path = Path("output/runs")
    retries: int = 0
    docker: docker_runner.Options | None = None

    def spec(self) -> Spec:
        """Returns the pipeline to run, as IR."""
        return load_documents(self.from_yaml)[0] if self.from_yaml else local_spec()

    def parameters(self) -> dict[str, Any]:
        """Returns every pipeline parameter with its value; raises UsageError as `resolve` does."""
        return self.parameters_of(self.spec())

    def parameters_of(self, spec: Spec) -> dict[str, Any]:
        """As `parameters`, for a pipeline that was read already."""
        fallbacks = {"bucket_uri": self.fallback_bucket, "checkpoint_uri": dag.LOCAL_CHECKPOINTS}
        return resolve(spec, self.assignments, self.files, fallbacks=fallbacks)


def launch(wanted: Launch) -> None:
    """Runs the pipeline to its end and shows what came of it.

    Raises:
      GateError: the gate stayed closed.
      PipelineError: a parameter is wrong, or a task failed.
    """
    spec = wanted.spec()
    arguments = run.on_this_machine(wanted.parameters_of(spec))
    containers: contextlib.AbstractContextManager[Any]
    if wanted.docker:
        containers = docker_runner.for_run(
            spec, arguments, wanted.docker, runs_dir=wanted.runs_dir, pinned=bool(wanted.from_yaml)
        )
    else:
        signing.check_installed()
        containers = contextlib.nullcontext()
    with containers as kfp_runner:
        outcome = run.run(
            spec, arguments, runs_dir=wanted.runs_dir, retries=wanted.retries, runner=kfp_runner
        )
    summary.show(outcome)
    evaluation = outcome.evaluation
    if evaluation and not (evaluation["blessed"] or evaluation["unchanged"]):
        raise GateError(evaluation["reason"])
