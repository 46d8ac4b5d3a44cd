"""The whole pipeline through the real KFP local runner, on real MNIST with few training rows."""

import contextlib
import dataclasses
import fcntl
import gzip
import json
import os
import pty
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import termios
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kfp
import pytest

from components.dataset import Dataset
from components.errors import DataError, PipelineError, UsageError
from components.model import serving
from pipeline.compile.documents import local_spec
from pipeline.images.references import CHECKOUT
from pipeline.local import run
from pipeline.local.confinement import PLACES
from pipeline.parameters import resolve
from tests import pages
from tests.conftest import FEW_ROWS, heed_signals
from tests.fakes.loopback import Json, Loopback, Request
from tests.golden.__main__ import GOLDEN_DIR

QUICK = {
    **FEW_ROWS,
    "epochs": 1,
    "batch_size": 32,
    "min_accuracy": 0.3,
    "min_digit_recall": 0.0,
}


REVISION = "0123456789abcdef0123456789abcdef01234567"  # so that the checkout may differ from its commit


def assignments(parameters: dict[str, Any]) -> list[str]:
    return [f"-p{name}={json.dumps(value).strip(chr(34))}" for name, value in (QUICK | parameters).items()]


def pipeline(*arguments: str, cwd: Path, **parameters: Any) -> subprocess.CompletedProcess[str]:
    """Runs `python -m pipeline run` as a user does, from another folder."""
    return subprocess.run(
        [sys.executable, "-m", "pipeline", "run", *assignments(parameters), *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT), "COLUMNS": "120", "PIPELINE_GIT_REVISION": REVISION},
        capture_output=True,
        text=True,
        timeout=240,
    )


def files(directory: Path) -> list[str]:
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file())


class Webhook(Loopback):
    """Takes every POST."""

    def answer(self, request: Request) -> Json:
        request.json()
        return {}


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
    [told] = [line for line in first_run.done.stdout.splitlines() if "notify: mnist-pipeline " in line]
    assert re.search(r": published [0-9a-f]{12}, blessed: first model in this bucket.*; accuracy 0\.", told)


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
    bucket = home / "output" / "bucket"
    published = [files(bucket / folder) for folder in ("versions", "serving")]
    yaml_path = str(GOLDEN_DIR / "kfp.yaml")
    again = pipeline("--from-yaml", yaml_path, cwd=home, model_style="functional")
    assert again.returncode == 0, again.stdout + again.stderr
    assert "this model is the champion already; nothing to publish" in again.stdout
    assert first_run.summary["model"] in again.stdout
    assert [files(bucket / folder) for folder in ("versions", "serving")] == published
    assert "notify: mnist-pipeline " in again.stdout
    assert ": this model is the champion already; nothing to publish; accuracy 0." in again.stdout


def test_an_unchanged_run_ends_before_training_and_says_so(home: Path) -> None:
    again = pipeline(cwd=home, model_style="functional", skip_unchanged=True)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "lookup: unchanged, published as " in again.stdout
    assert re.search(
        r"notify: mnist-pipeline .*: nothing trained: unchanged, published as [0-9a-f]{12}", again.stdout
    )
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
    assert re.search(r"notify: mnist-pipeline .*: not published, not blessed: accuracy 0\.", done.stdout)
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["conclusions"]


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


def take_the_terminal() -> None:
    """Makes stdin the terminal of a new process's session."""
    heed_signals()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


class Launched:
    """A run in a terminal of its own, as after `ssh`."""

    def __init__(self, cwd: Path, *arguments: str) -> None:
        self.temporary_dir = cwd / "tmp"
        self.temporary_dir.mkdir()
        self.shown = ""
        self.terminal, its_end = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "pipeline", "run", *arguments],
            cwd=cwd,
            env={**os.environ, "PYTHONPATH": str(CHECKOUT), "TMPDIR": str(self.temporary_dir)},
            stdin=its_end,
            stdout=its_end,
            stderr=its_end,
            start_new_session=True,
            preexec_fn=take_the_terminal,
        )
        os.close(its_end)

    def wait_for(self, text: str) -> None:
        while text not in self.shown:
            self.shown += os.read(self.terminal, 4096).decode()

    def exit_code(self) -> int:
        with contextlib.suppress(OSError):  # the end of a terminal is an error
            while chunk := os.read(self.terminal, 4096):
                self.shown += chunk.decode()
        return self.process.wait(timeout=60)


def ctrl_c(run: Launched) -> None:
    os.killpg(run.process.pid, signal.SIGINT)  # as a terminal does


def sigterm_to_the_launcher_alone(run: Launched) -> None:
    run.process.terminate()


def dropped_connection(run: Launched) -> None:
    os.close(run.terminal)  # the kernel sends SIGHUP, and nobody can be told anything


LONG = {"epochs": 60, "batch_size": 4, "model_style": "functional"}


@pytest.mark.parametrize("interrupt", [ctrl_c, sigterm_to_the_launcher_alone, dropped_connection])
def test_an_interrupted_run_saves_and_leaves_nothing_else(
    tmp_path: Path, interrupt: Callable[[Launched], None]
) -> None:
    run = Launched(tmp_path, "--retries", "2", *assignments(LONG))
    run.wait_for("epoch 3/60")
    interrupt(run)
    assert run.exit_code() == 75, run.shown
    assert "train\x1b[0m started again" not in run.shown
    assert list((tmp_path / "output" / "checkpoints").rglob("*.ckpt"))
    assert list(run.temporary_dir.iterdir()) == []
    (log,) = (tmp_path / "output" / "runs").rglob("run.log")
    assert "notify: mnist-pipeline " in log.read_text(
        encoding="utf-8"
    )  # whoever is told how runs end, is told this too
    if interrupt is ctrl_c:
        last = run.shown.strip().splitlines()[-1]
        assert "error: interrupted by SIGINT: train: stopped by SIGTERM in epoch " in last
        assert "; a rerun goes on from there" in last
        assert_the_next_run_goes_on(tmp_path)


def assert_the_next_run_goes_on(home: Path) -> None:
    done = pipeline(cwd=home, **LONG)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "resumed in epoch " in done.stdout
    assert "epoch 2/60" not in done.stdout
    assert not list(home.rglob("*.ckpt"))


def test_a_run_that_is_stopped_before_it_trains_says_that_a_rerun_starts_anew(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        mirror = f"http://127.0.0.1:{silent.getsockname()[1]}"
        run = Launched(tmp_path, *assignments({"mirror": mirror}))
        run.wait_for("ingest\x1b[0m started")
        sigterm_to_the_launcher_alone(run)
        assert run.exit_code() == 75, run.shown
    assert "error: interrupted by SIGTERM: ingest: was stopped; a rerun starts it again" in run.shown
    assert list(run.temporary_dir.iterdir()) == []


def test_a_signal_that_is_to_be_ignored_is(tmp_path: Path) -> None:
    """`nohup` wants that: the connection drops, and the run goes on to its own end."""
    command = ["nohup", sys.executable, "-m", "pipeline", "run", *assignments({"mirror": str(tmp_path)})]
    with subprocess.Popen(
        command,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "scan started\n"
        os.killpg(process.pid, signal.SIGHUP)
        _, errors = process.communicate(timeout=60)
    assert process.returncode in (3, 5)
    assert "error: ingest: " in errors


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
        run.on_this_machine(dict.fromkeys(PLACES, "") | {"bucket_uri": bucket_uri})
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


def local_run_of_ingest(code: str, tmp_path: Path) -> PipelineError:
    """Runs the pipeline with other code in ingest's place; returns how it failed."""
    spec = local_spec()
    command = spec["deploymentSpec"]["executors"]["exec-ingest"]["container"]["command"]
    source = command[-1]
    command[-1] = source[: source.index("    from components")] + f"    {code}\n"
    with pytest.raises(PipelineError) as failed:
        run.run(spec, resolve(spec, ["bucket_uri=/b"]), runs_dir=tmp_path / "runs", retries=0)
    return failed.value


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import os; os.abort()", r"ingest was killed by SIGABRT.*; see .*run\.log"),
        ("import os; os._exit(7)", r"ingest failed with exit code 7.*; see .*run\.log"),
        ("raise ValueError('no such\\nthing')", r"ingest: ValueError: no such; see .*run\.log"),
        ("import nowhere", r"ingest: ModuleNotFoundError: No module named 'nowhere'; see .*run\.log"),
    ],
)
def test_a_task_that_dies_without_a_line_of_its_own_is_told_in_one(
    tmp_path: Path, code: str, words: str
) -> None:
    error = local_run_of_ingest(code, tmp_path)
    assert re.fullmatch(words, str(error))
    assert error.exit_code == 1
    assert not os.environ.get("TMPDIR", "").startswith(str(tmp_path))


def test_a_kfp_that_fails_itself_is_named_with_its_version(tmp_path: Path) -> None:
    spec = local_spec()
    arguments = resolve(spec, ["bucket_uri=/b"])
    spec["components"]["comp-exit-handler-1"]["dag"]["tasks"]["scan"]["componentRef"]["name"] = "comp-x"
    with pytest.raises(PipelineError, match=rf"kfp {kfp.__version__}: its local runner ") as error:
        run.run(spec, arguments, runs_dir=tmp_path / "runs", retries=0)
    assert "\n" not in str(error.value)


def test_a_kfp_that_runs_no_task_as_it_is_told_is_named_with_its_version(tmp_path: Path) -> None:
    spec = local_spec()
    arguments = resolve(spec, ["bucket_uri=/b"])
    spec["root"]["dag"]["tasks"] = {}
    with pytest.raises(PipelineError, match=rf"kfp {kfp.__version__}: its local runner started none of"):
        run.run(spec, arguments, runs_dir=tmp_path / "runs", retries=0)


def test_a_webhooks_address_is_told_to_nobody_but_notify(tmp_path: Path) -> None:
    """Whoever knows it may post; KFP logs what tasks are given."""
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    with Webhook() as webhook:
        done = pipeline(cwd=tmp_path, mirror=str(mirror), notify_webhook=f"{webhook.url}/canary")
    assert done.returncode != 0
    [request] = webhook.log
    assert request.path == "/canary"
    assert "notify: the webhook was told" in done.stdout
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.name == "run.log" for path in written)
    assert not [path for path in written if b"canary" in path.read_bytes()]
    assert "canary" not in done.stdout + done.stderr
