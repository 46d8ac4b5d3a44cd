"""From what a person asks for to a finished run on this machine."""

import contextlib
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from components.errors import GateError
from components.registry import signing
from pipeline import dag
from pipeline.compile.documents import Spec, local_spec
from pipeline.local import compiled, docker_runner, run, stopping, summary
from pipeline.local.containers import Container
from pipeline.local.docker_options import Options
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
    docker: Options | None = None

    def spec(self) -> Spec:
        """Returns the pipeline to run, as IR; raises UsageError as `compiled.read` does."""
        return compiled.read(self.from_yaml) if self.from_yaml else local_spec()

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
      RetryableError: a signal ended it; what train had is saved.
      PipelineError: a parameter is wrong, or a task failed.
    """
    with stopping.as_errors():
        spec = wanted.spec()
        arguments = run.on_this_machine(wanted.parameters_of(spec))
        with _containers(wanted, spec, arguments) as containers:
            outcome = run.run(
                spec, arguments, runs_dir=wanted.runs_dir, retries=wanted.retries, containers=containers
            )
    summary.show(outcome)
    evaluation = outcome.evaluation
    if evaluation and not (evaluation["blessed"] or evaluation["unchanged"]):
        raise GateError(evaluation["reason"])


def _containers(
    wanted: Launch, spec: Spec, arguments: Mapping[str, Any]
) -> contextlib.AbstractContextManager[Mapping[str, Container] | None]:
    if wanted.docker:
        pinned = wanted.from_yaml is not None
        return docker_runner.by_task(spec, arguments, wanted.docker, runs_dir=wanted.runs_dir, pinned=pinned)
    signing.check_installed()
    return contextlib.nullcontext()
