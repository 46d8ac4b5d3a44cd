"""The DAG with nothing but its images: the same model as without them, and every failure in one line."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import docker
import pytest

from components.registry.files import hash_model
from components.storage.opening import open_bucket
from pipeline.compile.documents import to_documents, to_yaml
from pipeline.compile.nodes import KfpNodes, Placement
from pipeline.images import references
from pipeline.local import docker_runner
from tests.conftest import TrainModel, heed_signals
from tests.fakes.gcs_fixtures import Gcs
from tests.sweeps.overtaking import overtake

pytestmark = pytest.mark.containers

QUICK = ("min_accuracy=0.5", "min_digit_recall=0.5")  # 0.95 after one epoch: published
FIGURES = ("accuracy", "loss", "recall", "precision", "confusion", "dataset_fingerprint", "model_sha256")


def command(
    directory: Path, *arguments: str, runner: str = "docker", epochs: int = 1, bucket: str = ""
) -> list[str]:
    settings = (f"epochs={epochs}", f"checkpoint_uri={directory}/checkpoints", *QUICK)
    parameters = [word for setting in settings for word in ("-p", setting)]
    options = ["--runner", runner, "--runs-dir", str(directory / "runs")]
    options += ["--bucket", bucket or str(directory / "bucket")]
    return [sys.executable, "-m", "pipeline", "run", *options, *parameters, *arguments]


def run(directory: Path, *arguments: str, **changes: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(directory, *arguments, **changes), capture_output=True, text=True, cwd=references.CHECKOUT
    )


def the_only(directory: Path, pattern: str) -> Path:
    (path,) = directory.rglob(pattern)
    return path


def read(directory: Path, pattern: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(the_only(directory, pattern).read_text(encoding="utf-8"))
    return content


def files(directory: Path) -> dict[str, str]:
    return {
        path.relative_to(directory).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in directory.rglob("*")
        if path.is_file()
    }


def assert_nothing_is_left(engine: docker.DockerClient, directory: Path) -> None:
    """Other runs on this machine may be under way: only containers that work in `directory` count."""
    containers = engine.containers.list(
        all=True, ignore_removed=True, filters={"label": docker_runner.RUN_LABEL}
    )
    assert not [each for each in containers if str(directory) in json.dumps(each.attrs["Mounts"])]


def assert_one_line(done: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    assert done.returncode == code, done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("error: ")
    for word in words:
        assert word in done.stderr


def test_containers_and_processes_give_the_same_model_to_the_bit(
    engine: docker.DockerClient, built: dict[str, str], tmp_path: Path
) -> None:
    for runner in ("docker", "subprocess"):
        done = run(tmp_path / runner, runner=runner)
        assert done.returncode == 0, done.stdout + done.stderr
    models = [
        the_only(tmp_path / runner / "runs", "saved_model.pb").parent for runner in ("docker", "subprocess")
    ]
    assert files(models[0]) == files(models[1])
    provenance, other = (read(model, "model.json") for model in models)
    assert provenance["weights_sha256"] == other["weights_sha256"]
    evaluation, other = (
        read(tmp_path / runner / "runs", "evaluation.json") for runner in ("docker", "subprocess")
    )
    assert [evaluation[name] for name in FIGURES] == [other[name] for name in FIGURES]
    assert evaluation["rows"] == 10_000
    published = [
        files(the_only(tmp_path / runner / "bucket", "model")) for runner in ("docker", "subprocess")
    ]
    assert published[0] == published[1] == files(models[0])
    assert_nothing_is_left(engine, tmp_path)


def test_a_run_reaches_a_remote_bucket_through_the_network_that_it_is_given(
    built: dict[str, str], gcs: Gcs, tmp_path: Path
) -> None:
    bucket_uri = gcs.new_bucket()
    done = run(tmp_path, "--network", "host", bucket=bucket_uri)
    assert done.returncode == 0, done.stdout + done.stderr
    published = read(tmp_path / "runs", "published.json")
    assert published["promoted"]
    assert published["model_uri"].startswith(f"{bucket_uri}/versions/")
    pointer = open_bucket(bucket_uri).read("champion.json")
    assert pointer is not None
    assert published["version"] in pointer.data.decode()


def test_an_export_that_was_overtaken_is_evaluated_again_in_an_image_that_can(
    built: dict[str, str], tmp_path: Path, train_model: TrainModel
) -> None:
    rival_dir = tmp_path / "bucket" / "rival"  # where the containers can read it
    shutil.copytree(train_model(epochs=1, seed=3), rival_dir)
    documents = to_documents(built, Placement(KfpNodes(accelerator="none")))
    overtake(documents[0], rival_dir)
    (tmp_path / "pipeline.yaml").write_text(to_yaml(documents), encoding="utf-8")
    done = run(tmp_path, "--from-yaml", str(tmp_path / "pipeline.yaml"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no TensorFlow here to evaluate again" in done.stdout
    published = read(tmp_path / "runs", "published.json")
    assert (published["promoted"], published["parent"]) == (True, hash_model(rival_dir))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_an_interrupted_run_leaves_a_checkpoint_and_no_container(
    engine: docker.DockerClient, built: dict[str, str], tmp_path: Path, number: signal.Signals
) -> None:
    interrupted = subprocess.Popen(
        command(tmp_path, epochs=500),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=references.CHECKOUT,
        preexec_fn=heed_signals,
    )
    assert interrupted.stdout is not None
    assert any("epoch 1/500" in line for line in interrupted.stdout)
    interrupted.send_signal(number)
    _, errors = interrupted.communicate(timeout=60)
    assert interrupted.returncode == 75
    assert errors.startswith(f"error: interrupted by {number.name}: train: stopped by SIGTERM in epoch ")
    assert errors.endswith("; a rerun goes on from there\n")
    assert list((tmp_path / "checkpoints").rglob("*.ckpt"))
    assert_nothing_is_left(engine, tmp_path)


def test_a_components_own_error_and_exit_code_come_through(
    engine: docker.DockerClient, built: dict[str, str], tmp_path: Path
) -> None:
    mirror_dir = tmp_path / "mirror"
    mirror_dir.mkdir()
    bundled_dir = references.CHECKOUT / "components" / "ingest" / "bundled" / "mnist"
    for archive in bundled_dir.glob("*.gz"):
        (mirror_dir / archive.name).write_bytes(archive.read_bytes()[:-1])
    done = run(tmp_path, "-p", f"mirror={mirror_dir}")
    assert_one_line(done, 3, "ingest: ", "idx")
    assert_nothing_is_left(engine, tmp_path)


def test_a_full_disk_is_one_line(engine: docker.DockerClient, built: dict[str, str], tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    runs_dir = tmp_path / "runs"
    runs_dir.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", runs_dir], check=True)
    try:
        done = run(tmp_path)
    finally:
        subprocess.run(["umount", runs_dir], check=True)
    assert_one_line(done, 5, "ingest: ", "No space left on device")
    assert_nothing_is_left(engine, tmp_path)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--tag", "none"], 2, ":none: is not on this machine; run `make images`"),
        (["--tag", "latest"], 2, "--tag=latest"),
        (["--registry", "127.0.0.1:9", "--tag", "none"], 2, "is not here and cannot be pulled"),
        (["-p", "mirror=gs://bucket/mnist"], 2, "mirror=gs://bucket/mnist: containers have no network"),
        (["--gpus", "some"], 2, "--gpus=some"),
        (["--gpus", "all"], 5, "container engine: mnist-pipeline-train"),
        (["--runs-dir", "/proc/runs"], 5, "--runs-dir=/proc/runs: cannot be written"),
    ],
)
def test_bad_input_is_one_line(
    engine: docker.DockerClient,
    built: dict[str, str],
    tmp_path: Path,
    arguments: list[str],
    code: int,
    words: str,
) -> None:
    assert_one_line(run(tmp_path, *arguments), code, words)
    assert_nothing_is_left(engine, tmp_path)


def test_docker_options_need_the_docker_runner(tmp_path: Path) -> None:
    assert_one_line(run(tmp_path, "--gpus", "all", runner="subprocess"), 2, "--gpus: needs --runner docker")
