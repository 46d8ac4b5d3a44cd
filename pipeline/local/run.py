"""Runs the compiled pipeline through the KFP local runner, shows its progress and checks what it left.

KFP's runner reports through the root logger and stdout; both go whole into `run.log`, and the lines that
matter to a person go on to the terminal.
"""

import contextlib
import dataclasses
import datetime
import json
import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from kfp import components as kfp_components
from kfp import local

from components.errors import DataError, StorageError
from components.registry.reading import model_prefix
from components.registry.signing import check_signing_key
from components.storage import uri
from components.storage.opening import check_writable, open_bucket
from pipeline.local.log import RunLog

CHECKOUT = Path(__file__).resolve().parents[2]
Spec = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a finished run left behind.

    Attributes:
      run_dir: report.html, curves.html, run.log, and a folder with every task's outputs.
      evaluation: what evaluation.json says; None if lookup ended the run, for nothing had changed.
      published: what published.json says; None if nothing was published.
      model_uri: the SavedModel, published by this run or before it; None if the gate stayed closed.
    """

    run_dir: Path
    evaluation: dict[str, Any] | None
    published: dict[str, Any] | None
    model_uri: str | None


def on_this_machine(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Makes local paths absolute, for tasks may run elsewhere, and asks the bucket whether it can be written.

    Raises:
      UsageError: TensorFlow could not read a model from where it would lie; nothing was started.
      StorageError: the bucket cannot be written; nothing was started either.
    """
    paths = {name: arguments[name] for name in ("bucket_uri", "checkpoint_uri", "mirror")}
    for name, given in paths.items():
        if given and "://" not in given:
            paths[name] = str(Path(given).resolve())
    uri.check_model_path(
        tempfile.gettempdir(), "TMPDIR"
    )  # where the champion is compared with the challenger
    bucket = uri.parse(paths["bucket_uri"])
    if bucket.is_local:
        uri.check_model_path(bucket.path, "bucket_uri")
    check_writable(paths["bucket_uri"])
    check_signing_key(open_bucket(paths["bucket_uri"]))
    if paths["checkpoint_uri"]:
        check_writable(paths["checkpoint_uri"])
    return {**arguments, **paths}


def run(
    spec: Spec, arguments: Mapping[str, Any], *, runs_dir: Path, retries: int, runner: Any = None
) -> Outcome:
    """Runs a compiled pipeline to its end.

    Args:
      spec: the pipeline's IR.
      arguments: a value for every parameter.
      runs_dir: a folder of its own is made in it for this run.
      retries: how often a failed task is tried again; waits are for clusters, here it is at once.
      runner: a KFP local runner; None for this interpreter's.

    Raises:
      PipelineError: the failing task's own error, or outputs are missing.
    """
    pipeline_root = _new_run_dir(runs_dir)
    log = RunLog(pipeline_root / "run.log")
    # Containers are stopped by their runner; a process of this terminal gets Ctrl-C itself.
    interrupts = contextlib.nullcontext() if runner else log.waiting_for_the_task()
    with _task_environment(), log.capturing(), interrupts:
        local.init(
            runner=runner or local.SubprocessRunner(use_venv=False),
            pipeline_root=str(pipeline_root),
            raise_on_error=False,
        )
        pipeline = kfp_components.load_component_from_text(
            yaml.safe_dump(_for_here(spec, retries, in_containers=runner is not None))
        )
        try:
            pipeline(**arguments)
        except KeyboardInterrupt:
            if not log.failed_task:  # else it only kept the interrupted task from being tried again
                raise
    if log.failed_task:
        raise log.error()
    return _outcome(spec, arguments["bucket_uri"], pipeline_root, log)


def _new_run_dir(runs_dir: Path) -> Path:
    stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    run_dir = runs_dir.resolve() / f"{stamp}-{secrets.token_hex(2)}"
    uri.check_model_path(run_dir, "--runs-dir")
    try:
        run_dir.mkdir(parents=True)
    except OSError as error:
        raise StorageError(f"{run_dir}: cannot be made: {error.strerror}") from None
    return run_dir


def _for_here(spec: Spec, retries: int, *, in_containers: bool) -> Spec:
    """Returns the IR with this retry count and no waits, and silent of images that no task runs in."""
    copy = json.loads(json.dumps(spec))
    if not in_containers:
        for executor in copy["deploymentSpec"]["executors"].values():
            executor["container"].pop("env", None)
    for task in _tasks(copy).values():
        task.pop("retryPolicy", None)
        if retries:
            task["retryPolicy"] = {"maxRetryCount": retries, "backoffDuration": "0s"}
    return copy  # type: ignore[no-any-return]


@contextlib.contextmanager
def _task_environment() -> Iterator[None]:
    """What the task processes need from this one, undone afterwards.

    KFP 2.17 replaces the text `python3` in every argument, paths included, by `sys.executable`. Naming the
    interpreter `python3` makes that an identity. It also leaves a folder in TMPDIR for every task.
    """
    executable = sys.executable
    with tempfile.TemporaryDirectory(prefix="mnist-pipeline-") as scratch:
        changes = {
            "PATH": f"{Path(executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
            "PYTHONPATH": str(CHECKOUT),
            "PYTHONUNBUFFERED": "1",
            # KFP reads what tasks print in this machine's encoding; what that does not have must end no task.
            "PYTHONIOENCODING": os.environ.get("PYTHONIOENCODING") or ":backslashreplace",
            "TF_CPP_MIN_LOG_LEVEL": os.environ.get("TF_CPP_MIN_LOG_LEVEL", "3"),
            "TMPDIR": scratch,
            "_KFP_RUNTIME": "true",
        }
        before = {name: os.environ.get(name) for name in changes}
        os.environ.update(changes)
        sys.executable = "python3"
        try:
            yield
        finally:
            sys.executable = executable
            for name, value in before.items():
                os.environ.pop(name)
                if value is not None:
                    os.environ[name] = value


def _tasks(spec: Spec) -> dict[str, Any]:
    """Returns every task of the pipeline, those inside conditions too."""
    dags = [spec["root"], *spec["components"].values()]
    return {name: task for dag in dags for name, task in dag.get("dag", {}).get("tasks", {}).items()}


def _outcome(spec: Spec, bucket_uri: str, pipeline_root: Path, log: RunLog) -> Outcome:
    """Trusts files, not KFP's word: a task is done only if each of its declared outputs is there."""
    run_dir = next(path for path in pipeline_root.iterdir() if path.is_dir())

    def must_have_run(*tasks: str) -> None:
        for name in tasks:
            if name not in log.started:
                raise DataError(f"{run_dir}: {name} did not run")
            _check_outputs(run_dir / name, spec["components"][f"comp-{name}"])

    must_have_run("ingest", "lookup", "notify")
    if not _returned(run_dir / "lookup"):
        return Outcome(pipeline_root, None, None, None)
    must_have_run("train", "evaluate")
    evaluation = _read_json(run_dir / "evaluate" / "evaluation" / "evaluation.json")
    _show_pages(run_dir, pipeline_root)
    published = model_uri = None
    if evaluation["blessed"]:
        must_have_run("export")
        exporter = "export-2" if _returned(run_dir / "export") else "export"
        must_have_run(exporter)
        published = _read_json(run_dir / exporter / "published" / "published.json")
        model_uri = published["model_uri"]
    elif evaluation["unchanged"]:
        model_uri = f"{bucket_uri}/{model_prefix(evaluation['champion']['version'])}".rstrip("/")
    return Outcome(pipeline_root, evaluation, published, model_uri)


def _returned(task_dir: Path) -> Any:
    """Returns the task's single return value."""
    return _read_json(task_dir / "executor_output.json")["parameterValues"]["Output"]


def _read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _show_pages(run_dir: Path, pipeline_root: Path) -> None:
    """KFP names an HTML artifact without an ending; a browser wants one."""
    for task, output in (("train", "curves"), ("evaluate", "report")):
        shutil.copyfile(run_dir / task / output, pipeline_root / f"{output}.html")


def _check_outputs(task_dir: Path, component: Spec) -> None:
    outputs = component.get("outputDefinitions", {})
    written = _read_json(task_dir / "executor_output.json") if outputs else {}
    for name in outputs.get("artifacts", {}):
        # Metrics live in their artifact's metadata, which is in executor_output.json.
        metadata = [a["metadata"] for a in written.get("artifacts", {}).get(name, {}).get("artifacts", [])]
        if not (task_dir / name).exists() and not any(metadata):
            raise DataError(f"{task_dir.name}: reported success without its output {name}")
    for name in outputs.get("parameters", {}):
        is_a_file = (task_dir / name).exists()  # of a component that writes it to a path
        if not is_a_file and name not in written.get("parameterValues", {}):
            raise DataError(f"{task_dir.name}: reported success without its output {name}")
