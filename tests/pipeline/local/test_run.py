"""The whole pipeline through the real KFP local runner, on real MNIST with few training rows."""

import dataclasses
import gzip
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from components.dataset import Dataset
from components.errors import DataError, PipelineError, UsageError
from components.model import serving
from pipeline.compile.documents import local_spec
from pipeline.images.references import CHECKOUT
from pipeline.local import run
from pipeline.local.log import RunLog
from pipeline.parameters import resolve
from tests import pages
from tests.conftest import FEW_ROWS
from tests.golden.__main__ import GOLDEN_DIR

QUICK = {
    **FEW_ROWS,
    "epochs": 1,
    "batch_size": 32,
    "min_accuracy": 0.3,
    "min_digit_recall": 0.0,
}


REVISION = "0123456789abcdef0123456789abcdef01234567"  # so that the checkout may differ from its commit


def pipeline(*arguments: str, cwd: Path, **parameters: Any) -> subprocess.CompletedProcess[str]:
    """Runs `python -m pipeline run` as a user does, from another folder."""
    assignments = [
        f"-p{name}={json.dumps(value).strip(chr(34))}" for name, value in (QUICK | parameters).items()
    ]
    return subprocess.run(
        [sys.executable, "-m", "pipeline", "run", *assignments, *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT), "COLUMNS": "120", "PIPELINE_GIT_REVISION": REVISION},
        capture_output=True,
        text=True,
        timeout=240,
    )


def files(directory: Path) -> list[str]:
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file())


@dataclasses.dataclass(frozen=True)
class FirstRun:
    """A finished run, as it left its folder; tests only read it."""

    home: Path
    done: subprocess.CompletedProcess[str]

    @property
    def summary(self) -> dict[str, str]:
        lines = self.done.stdout.split("\n\n")[-1].strip().splitlines()
        return dict(line.split(maxsplit=1) for line in lines)


@pytest.fixture(scope="module")
def first_run(tmp_path_factory: pytest.TempPathFactory) -> FirstRun:
    # KFP 2.17's runner rewrites `python3` wherever it stands, in paths too.
    home = tmp_path_factory.mktemp("python3.11-work")
    done = pipeline(cwd=home, model_style="functional")
    assert done.returncode == 0, done.stdout + done.stderr
    return FirstRun(home, done)


@pytest.fixture
def home(first_run: FirstRun, tmp_path: Path) -> Path:
    """A folder with a copy of its bucket, in which a later run can challenge the champion."""
    home = tmp_path / first_run.home.name
    shutil.copytree(first_run.home / "output" / "bucket", home / "output" / "bucket")
    return home


def test_a_run_shows_its_tasks_and_their_progress(first_run: FirstRun) -> None:
    for task in ("ingest", "lookup", "train", "evaluate", "export", "notify"):
        assert f"{task} started" in first_run.done.stdout
        assert f"{task} done in " in first_run.done.stdout
    assert "epoch 1/1  loss " in first_run.done.stdout
    assert "executor_input" not in first_run.done.stdout
    assert first_run.done.stderr == ""


def test_readme_shows_what_a_run_prints(first_run: FirstRun) -> None:
    """But for the figures: the README's run has ten times the epochs and fifty times the rows."""
    [shown] = [
        block for block in pages.blocks(CHECKOUT / "README.md") if block.text.startswith("$ make run\n")
    ]
    [step] = pages.steps(dataclasses.replace(shown, marker=pages.FIGURES_VARY))
    assert pages.is_as_printed(step, first_run.done.stdout)


def test_a_run_ends_with_an_accuracy_and_a_model_that_answers_raw_pixels(
    first_run: FirstRun, dataset_dir: str
) -> None:
    summary = first_run.summary
    assert summary["verdict"] == "blessed: first model in this bucket, no champion to beat"
    assert summary["model"].startswith("output/bucket/versions/")
    images, labels = Dataset.open(dataset_dir).test()
    answers = serving.load(str(first_run.home / summary["model"]))(images).argmax(axis=1)
    assert summary["accuracy"] == f"{(answers == labels).mean():.4f} on 10,000 test rows"
    assert "<svg" in (first_run.home / summary["curves"]).read_text(encoding="utf-8")
    assert "blessed" in (first_run.home / summary["report"]).read_text(encoding="utf-8")
    code = shlex.split(summary["load"])
    answered = subprocess.run(code, cwd=first_run.home, capture_output=True, text=True, timeout=120)
    assert "shape=(1, 10), dtype=float32" in answered.stdout, answered.stderr


def test_a_run_leaves_nothing_outside_its_folders(first_run: FirstRun) -> None:
    assert [path.name for path in first_run.home.iterdir()] == ["output"]
    assert sorted(path.name for path in (first_run.home / "output").iterdir()) == [
        "bucket",
        "checkpoints",
        "runs",
    ]


def test_the_same_run_from_yaml_publishes_nothing_new(first_run: FirstRun, home: Path) -> None:
    published = files(home / "output" / "bucket")
    yaml_path = str(GOLDEN_DIR / "kfp.yaml")
    again = pipeline("--from-yaml", yaml_path, cwd=home, model_style="functional")
    assert again.returncode == 0, again.stdout + again.stderr
    assert "this model is the champion already; nothing to publish" in again.stdout
    assert first_run.summary["model"] in again.stdout
    assert files(home / "output" / "bucket") == published


def test_an_unchanged_run_ends_before_training_and_says_so(home: Path) -> None:
    again = pipeline(cwd=home, model_style="functional", skip_unchanged=True)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "lookup: unchanged, published as " in again.stdout
    assert "notify: mnist-pipeline " in again.stdout
    assert "train started" not in again.stdout
    assert "unchanged: a model of this data, code and parameters is published already" in again.stdout


def test_a_better_model_replaces_the_champion_and_a_tie_does_not(home: Path) -> None:
    bucket = home / "output" / "bucket"
    better = pipeline(
        "--bucket", f"file://{bucket}", cwd=home, model_style="sequential_add", epochs=2, max_slice_loss=1.0
    )
    assert better.returncode == 0, better.stdout + better.stderr
    assert "blessed: beats the champion's accuracy" in better.stdout
    assert len(list((bucket / "versions").iterdir())) == 2

    # The same layers and seed in another style: other bytes, the same answers.
    tie = pipeline(cwd=home, model_style="subclass", epochs=2)
    assert tie.returncode == 4
    assert "a tie keeps the champion" in tie.stderr
    assert len(list((bucket / "versions").iterdir())) == 2


def test_a_closed_gate_is_exit_code_4_and_publishes_nothing(tmp_path: Path) -> None:
    done = pipeline("--bucket", "models", cwd=tmp_path, model_style="sequential_list", min_accuracy=1.0)
    assert done.returncode == 4
    assert "export started" not in done.stdout
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("error: not blessed: accuracy 0.")
    assert line.endswith("must be at least 1 (min_accuracy)")
    assert not (tmp_path / "models").exists()


def test_a_failing_task_gives_its_exit_code_and_its_own_line_last(tmp_path: Path) -> None:
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    (mirror / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(b"not images"))
    done = pipeline("--retries", "1", cwd=tmp_path, mirror=str(mirror))
    assert done.returncode in (3, 5)
    assert "ingest failed" in done.stdout
    assert "ingest started again" in done.stdout
    assert "train started" not in done.stdout
    assert "notify: mnist-pipeline " in done.stdout
    assert ": FAILED" in done.stdout
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("error: ingest: ")
    assert str(mirror) in line
    assert "Traceback" not in done.stdout
    assert not (tmp_path / "output" / "bucket").exists()


def test_ctrl_c_saves_and_the_next_run_goes_on_from_there(tmp_path: Path) -> None:
    long = {**QUICK, "epochs": 60, "batch_size": 4, "model_style": "functional"}
    assignments = [f"-p{name}={json.dumps(value).strip(chr(34))}" for name, value in long.items()]
    command = [sys.executable, "-m", "pipeline", "run", "--retries", "2", *assignments]
    with subprocess.Popen(
        command,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        for line in process.stdout or ():
            if line.startswith("  epoch 3/"):
                os.killpg(process.pid, signal.SIGINT)  # as a terminal does
                break
        output, error = process.communicate(timeout=60)
    assert process.returncode == 75, output + error
    assert "train started again" not in output
    (line,) = error.strip().splitlines()
    assert line.startswith("error: train: stopped by SIGINT in epoch ")
    assert line.endswith("; a rerun goes on from there")
    done = pipeline(cwd=tmp_path, **long)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "resumed in epoch " in done.stdout
    assert "epoch 2/60" not in done.stdout
    assert not list(tmp_path.rglob("*.ckpt"))


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (
            ["-p", "model_style=nope"],
            2,
            "must be one of sequential_add, sequential_list, functional, subclass",
        ),
        (["--parameters", "none.yaml"], 2, "none.yaml: cannot be read: No such file or directory"),
        (["--from-yaml", "none.yaml"], 2, "none.yaml: cannot be read: No such file or directory"),
        (["--bucket", "/proc/models"], 5, "/proc/models"),
        (["--bucket", "s3://models"], 2, "s3"),
        (["--bucket", "models[1]"], 2, "TensorFlow takes '[' in a path for a pattern"),
        (["--bucket", "~/models*"], 2, "TensorFlow takes '*' in a path for a pattern"),
        (["--runs-dir", "runs?"], 2, "--runs-dir="),
        (["-p", "checkpoint_uri=~/x"], 2, "checkpoint_uri='~/x': only a shell expands '~'"),
        (["-p", "mirror=~/x"], 2, "mirror='~/x': only a shell expands '~'"),
    ],
)
def test_a_users_mistake_is_one_line_before_anything_runs(
    arguments: list[str], code: int, message: str, tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", "run", *arguments],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == code, done.stderr
    (line,) = done.stderr.strip().splitlines()
    assert message in line
    assert done.stdout == ""
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("bucket_uri", "field"), [("models", "bucket_uri"), ("gs://models", "TMPDIR")])
def test_a_folder_that_models_could_not_be_loaded_from_is_refused_wherever_it_comes_from(
    bucket_uri: str, field: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The person's own folder, or the machine's for temporary files."""
    odd = tmp_path / "odd [1]"
    odd.mkdir()
    monkeypatch.chdir(odd)
    if field == "TMPDIR":
        monkeypatch.setattr("tempfile.tempdir", str(odd))
    with pytest.raises(UsageError, match=rf"^{field}='{re.escape(str(odd))}.*takes '\[' in a path"):
        run.on_this_machine({"bucket_uri": bucket_uri, "checkpoint_uri": "", "mirror": ""})
    assert not list(odd.iterdir())


def test_success_without_a_declared_output_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """KFP's runner can take a failed task for a successful one; files decide."""
    spec = local_spec()
    command = spec["deploymentSpec"]["executors"]["exec-train"]["container"]["command"]
    source = command[-1]
    command[-1] = source[: source.index("    from components")] + "    pass\n"
    monkeypatch.chdir(tmp_path)
    changed = spec["components"]["comp-condition-2"]["dag"]["tasks"]
    changed.pop("evaluate")
    changed.pop("condition-3")
    arguments = resolve(spec, [f"bucket_uri={tmp_path}/bucket", "checkpoint_uri="])
    with pytest.raises(DataError, match="train: reported success without its output"):
        run.run(spec, arguments | QUICK, runs_dir=tmp_path / "runs", retries=0)


def test_a_task_that_dies_without_a_word_points_to_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = local_spec()
    command = spec["deploymentSpec"]["executors"]["exec-ingest"]["container"]["command"]
    source = command[-1]
    command[-1] = source[: source.index("    from components")] + "    import os; os.abort()\n"
    arguments = resolve(spec, ["bucket_uri=/b"])
    with pytest.raises(PipelineError, match=r"ingest failed without an error line; see .*run\.log") as error:
        run.run(spec, arguments, runs_dir=tmp_path / "runs", retries=0)
    assert error.value.exit_code == 1
    assert not os.environ.get("TMPDIR", "").startswith(str(tmp_path))


def test_a_log_that_cannot_be_kept_hides_nothing(tmp_path: Path) -> None:
    """The exit handler runs after the task that filled the disk, and the line about it is still last."""
    os.mkfifo(tmp_path / "run.log")
    reader = os.open(tmp_path / "run.log", os.O_RDONLY | os.O_NONBLOCK)
    log = RunLog(tmp_path / "run.log")
    with log.capturing():
        os.close(reader)  # from here on every write to the log fails
        print("INFO - Executing task 'ingest'")
        print("    StorageError: data: cannot be written: No space left on device")
        print("Task 'ingest' finished with status FAILURE")
        print("INFO - Executing task 'notify'")
        print("Task 'notify' finished with status SUCCESS")
    assert log.failed_task == "ingest"
    assert "No space left on device" in str(log.error())
    assert log.error().exit_code == 5
