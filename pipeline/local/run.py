"""Runs the compiled pipeline through the KFP local runner, shows its progress and checks what it left.

What KFP and the tasks print goes whole into `run.log`, and the lines that matter to a person to the terminal.
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
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import kfp
import yaml
from kfp import components as kfp_components
from kfp import local

from components.errors import DataError, PipelineError, StorageError, one_line
from components.registry.reading import model_prefix
from components.registry.signing import check_signing_key
from components.storage import uri
from components.storage.opening import check_writable, open_bucket
from pipeline.local import task
from pipeline.local.confinement import PLACES, WEBHOOK, webhook_variable
from pipeline.local.containers import Container
from pipeline.local.log import RunLog
from pipeline.local.stopping import Stop

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
    paths = {name: arguments[name] for name in PLACES}
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
    spec: Spec,
    arguments: Mapping[str, Any],
    *,
    runs_dir: Path,
    retries: int,
    containers: Mapping[str, Container] | None = None,
) -> Outcome:
    """Runs a compiled pipeline to its end.

    Args:
      spec: the pipeline's IR.
      arguments: a value for every parameter.
      runs_dir: a folder of its own is made in it for this run.
      retries: how often a failed task is tried again; waits are for clusters, here it is at once.
      containers: what each task runs in; None for processes of this machine.

    Raises:
      PipelineError: the failing task's own error, or outputs are missing; RetryableError after a signal.
    """
    run_dir = _new_run_dir(runs_dir)
    log = RunLog(run_dir / "run.log")
    shown, hidden = _without_secrets(arguments)
    with _task_environment(hidden) as scratch:
        task.prepare(scratch, _settings(spec, containers or {}))
        with log.capturing(), Stop(scratch).on_signals():
            broken = _through_kfp(_for_here(spec, retries, scratch), shown, run_dir)
    if log.failed:
        raise log.failed.failure(log.path)
    if broken or not log.started:
        why = broken or "started none of the tasks"
        raise PipelineError(f"kfp {kfp.__version__}: its local runner {why}; see {log.path}")
    return _outcome(spec, arguments["bucket_uri"], run_dir, log)


def _new_run_dir(runs_dir: Path) -> Path:
    stamp = datetime.datetime.now(datetime.UTC).astimezone().strftime("%Y%m%d-%H%M%S")
    run_dir = runs_dir.resolve() / f"{stamp}-{secrets.token_hex(2)}"
    uri.check_model_path(run_dir, "--runs-dir")
    try:
        run_dir.mkdir(parents=True)
    except OSError as error:
        raise StorageError(f"{run_dir}: cannot be made: {error.strerror}") from None
    return run_dir


def _without_secrets(arguments: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Returns the arguments as KFP may log them, and variables for the tasks with what it may not."""
    address = arguments[WEBHOOK]
    variable = webhook_variable(address)
    if not variable or address == f"env:{variable}":
        return dict(arguments), {}
    return {**arguments, WEBHOOK: f"env:{variable}"}, {variable: address}


def _settings(spec: Spec, containers: Mapping[str, Container]) -> dict[str, task.Settings]:
    last = {
        each["componentRef"]["name"].removeprefix("comp-")
        for each in _tasks(spec).values()
        if any("taskFinalStatus" in value for value in each.get("inputs", {}).get("parameters", {}).values())
    }
    names = (label.removeprefix("exec-") for label in spec["deploymentSpec"]["executors"])
    return {name: task.Settings(containers.get(name), is_last=name in last) for name in names}


def _for_here(spec: Spec, retries: int, scratch: Path) -> Spec:
    """Returns the IR with tasks that run as `task` does, this retry count and no waits."""
    copy = json.loads(json.dumps(spec))
    for label, executor in copy["deploymentSpec"]["executors"].items():
        container = executor["container"]
        own = [*container["command"], *container.pop("args", [])]
        container["command"] = task.command(scratch, label.removeprefix("exec-"), own)
        container.pop("env", None)  # of images; those that run in one have it from `containers`
    for each in _tasks(copy).values():
        each.pop("retryPolicy", None)
        if retries:
            each["retryPolicy"] = {"maxRetryCount": retries, "backoffDuration": "0s"}
    return copy  # type: ignore[no-any-return]


def _through_kfp(spec: Spec, arguments: Mapping[str, Any], run_dir: Path) -> str:
    """Has KFP run the pipeline; returns how KFP itself failed, "" if it did not."""
    try:
        local.init(
            runner=local.SubprocessRunner(use_venv=False), pipeline_root=str(run_dir), raise_on_error=False
        )
        kfp_components.load_component_from_text(yaml.safe_dump(spec))(**arguments)
    except Exception as error:  # noqa: BLE001  # whatever a version of KFP stumbles over; all of it is in the log
        traceback.print_exc(file=sys.stdout)
        return f"failed with {type(error).__name__}: {one_line(error)}"
    return ""


@contextlib.contextmanager
def _task_environment(variables: Mapping[str, str]) -> Iterator[Path]:
    """What the task processes need from this one, undone afterwards; gives a folder that only they share.

    KFP 2.17 replaces the text `python3` in every argument, paths included, by `sys.executable`. Naming the
    interpreter `python3` makes that an identity. It also leaves a folder in TMPDIR for every task.
    """
    executable = sys.executable
    with tempfile.TemporaryDirectory(prefix="mnist-pipeline-", ignore_cleanup_errors=True) as scratch:
        changes = {
            "PATH": f"{Path(executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
            "PYTHONPATH": str(CHECKOUT),
            "PYTHONUNBUFFERED": "1",
            # KFP reads what tasks print in this machine's encoding; what that does not have must end no task.
            "PYTHONIOENCODING": os.environ.get("PYTHONIOENCODING") or ":backslashreplace",
            "TF_CPP_MIN_LOG_LEVEL": os.environ.get("TF_CPP_MIN_LOG_LEVEL", "3"),
            "TMPDIR": scratch,
            "_KFP_RUNTIME": "true",
            **variables,
        }
        before = {name: os.environ.get(name) for name in changes}
        os.environ.update(changes)
        sys.executable = "python3"
        try:
            yield Path(scratch)
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


def _outcome(spec: Spec, bucket_uri: str, run_dir: Path, log: RunLog) -> Outcome:
    """Trusts files, not KFP's word: a task is done only if each of its declared outputs is there."""
    tasks_dir = next(path for path in run_dir.iterdir() if path.is_dir())

    def must_have_run(*tasks: str) -> None:
        for name in tasks:
            if name not in log.started:
                raise DataError(f"{tasks_dir}: {name} did not run")
            _check_outputs(tasks_dir / name, spec["components"][f"comp-{name}"])

    must_have_run("ingest", "lookup", "notify")
    if not _returned(tasks_dir / "lookup"):
        return Outcome(run_dir, None, None, None)
    must_have_run("train", "evaluate")
    evaluation = _read_json(tasks_dir / "evaluate" / "evaluation" / "evaluation.json")
    _show_pages(tasks_dir, run_dir)
    published = model_uri = None
    if evaluation["blessed"]:
        must_have_run("export")
        exporter = "export-2" if _returned(tasks_dir / "export") else "export"
        must_have_run(exporter)
        published = _read_json(tasks_dir / exporter / "published" / "published.json")
        model_uri = published["model_uri"]
    elif evaluation["unchanged"]:
        model_uri = f"{bucket_uri}/{model_prefix(evaluation['champion']['version'])}".rstrip("/")
    return Outcome(run_dir, evaluation, published, model_uri)


def _returned(task_dir: Path) -> Any:
    """Returns the task's single return value."""
    return _read_json(task_dir / "executor_output.json")["parameterValues"]["Output"]


def _read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _show_pages(tasks_dir: Path, run_dir: Path) -> None:
    """KFP names an HTML artifact without an ending; a browser wants one."""
    for name, output in (("train", "curves"), ("evaluate", "report")):
        shutil.copyfile(tasks_dir / name / output, run_dir / f"{output}.html")


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
