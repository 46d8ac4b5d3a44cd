"""The images themselves: what they hold, whom they run as, and each component alone on real data."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import docker
import pytest
import yaml

from components import revision
from pipeline.images import build, inventory, references
from pipeline.local import containers
from pipeline.version import VERSION

pytestmark = pytest.mark.containers
every_component = pytest.mark.parametrize("component", references.COMPONENTS)

SIZE_LIMITS = {"ingest": 1.70e9, "train": 1.45e9, "evaluate": 1.45e9, "export": 0.25e9}  # bytes, uncompressed
ARBITRARY_USER = "12345:0"  # as OpenShift picks one
STRUCTURE_TEST = Path(sys.executable).parent / "container-structure-test"


def run_in(engine: docker.DockerClient, image: str, code: str, work_dir: Path, **changes: Any) -> int:
    """Runs Python code in a container that is confined as in a local run; `work_dir` is writable."""
    mounts = (containers.Mount(str(work_dir), writable=True),)
    container = containers.Container(image, "mnist-pipeline.test=images", mounts, {"HOME": "/tmp"})
    running = engine.containers.create(
        command=["python3", "-c", code],
        **container.arguments() | {"mem_limit": "4g", "memswap_limit": "4g"} | changes,
    )
    try:
        running.start()
        status = int(running.wait()["StatusCode"])
        print(running.logs().decode())
    finally:
        running.remove(force=True)
    return status


@every_component
def test_an_image_is_small_enough(engine: docker.DockerClient, built: dict[str, str], component: str) -> None:
    assert engine.images.get(built[component]).attrs["Size"] <= SIZE_LIMITS[component]


@every_component
def test_an_image_is_what_a_cluster_expects(built: dict[str, str], component: str, tmp_path: Path) -> None:
    name = references.repository(component)
    labels = {
        references.TITLE_LABEL: name,
        references.VERSION_LABEL: VERSION,
        references.REVISION_LABEL: revision.of_checkout(references.CHECKOUT),
        references.CODE_LABEL: references.code_sha256(component),
        "org.opencontainers.image.base.name": build.base_image(make=False),
    }
    forbidden = [f"/app/{name}" for name in ("pipeline", "tests", "requirements", ".git")]
    forbidden += [
        f"/run/build/{name}" for name in ("installer/install.sh", "requirements/kfp.txt", "cache/wheels-v6")
    ]
    forbidden += [f"/app/components/{component}/component.py"]
    housed = {references.component_of(task) for task, host in references.GUESTS.items() if host == component}
    # Of train everybody has the settings, which lookup returns.
    forbidden += [
        f"/app/components/{other}/core.py" for other in {*references.COMPONENTS} - {component} - housed
    ]
    config = {
        "schemaVersion": "2.0.0",
        "metadataTest": {
            "user": "10001:0",
            "entrypoint": [],
            "cmd": ["python3", "/app/usage.py", component],
            "workdir": "/app",
            "labels": [{"key": key, "value": value} for key, value in labels.items()],
        },
        "fileExistenceTests": [{"name": path, "path": path, "shouldExist": False} for path in forbidden]
        + [{"name": "core", "path": f"/app/components/{component}/core.py", "shouldExist": True}],
        "commandTests": [
            {
                "name": "the core can be imported",
                "command": "python3",
                "args": ["-c", f"import components.{component}.core"],
            }
        ],
    }
    path = tmp_path / "structure.yaml"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    command = [
        str(STRUCTURE_TEST),
        "test",
        "--image",
        built[component],
        "--config",
        str(path),
        "--output",
        "json",
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    failed = [result for result in json.loads(done.stdout)["Results"] if not result["Pass"]]
    assert (done.returncode, failed) == (0, [])


@every_component
def test_an_image_starts_for_any_user_on_a_read_only_root(
    engine: docker.DockerClient, built: dict[str, str], component: str, tmp_path: Path
) -> None:
    code = f"import components.{component}.core"
    assert run_in(engine, built[component], code, tmp_path, user=ARBITRARY_USER) == 0


@every_component
def test_an_image_holds_exactly_the_locked_packages(
    engine: docker.DockerClient,
    built: dict[str, str],
    component: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    code = """
import importlib.metadata, sysconfig
found = importlib.metadata.distributions(path=[sysconfig.get_path("purelib")])
print(*sorted(f"{each.metadata['Name']}=={each.version}" for each in found))"""
    assert run_in(engine, built[component], code, tmp_path) == 0

    def normal(pin: str) -> str:
        return pin.lower().replace("_", "-").replace(".", "-")

    installed = {normal(pin) for pin in capsys.readouterr().out.split()}
    locked = {normal(line.split(" ")[0]) for line in inventory.locked_requirements(component)}
    assert installed == locked


@every_component
def test_the_default_command_prints_the_usage(
    engine: docker.DockerClient, built: dict[str, str], component: str
) -> None:
    text = engine.containers.run(built[component], remove=True, network_mode="none").decode()
    assert text.startswith(f"{component}: ")
    assert "Parameters" in text


def test_a_rebuild_of_the_same_code_is_the_same_image(
    engine: docker.DockerClient, built: dict[str, str]
) -> None:
    again = build.build()
    assert {name: engine.images.get(again[name]).id for name in again} == {
        name: engine.images.get(built[name]).id for name in built
    }


# Each component by hand, in a folder where the one before it has written.
ALONE = {
    "ingest": """
from components.ingest import core
from components.ingest.settings import Settings
core.ingest(Settings(validation_rows=59_000), "data")
""",
    "train": """
from components.train import core
from components.train.settings import Execution, Settings
core.train(
    Settings(model_style="functional", hidden_units=[32], epochs=3), Execution(),
    dataset_dir="data", model_dir="model", curves_path="curves.html", events_dir="events",
)
""",
    "evaluate": """
from components.evaluate import core
from components.judging.thresholds import Thresholds
core.evaluate(
    Thresholds(min_accuracy=0.5, min_digit_recall=0.1), dataset_dir="data", model_dir="model",
    report_path="report.html", evaluation_dir="evaluation", bucket_uri="bucket", run_id="run-1",
)
""",
    "export": """
from components.export import core
core.export(
    dataset_dir="data", model_dir="model", evaluation_dir="evaluation", bucket_uri="bucket",
    published_dir="published", run_id="run-1",
)
""",
}


def test_each_component_runs_alone_on_real_data(engine: docker.DockerClient, built: dict[str, str]) -> None:
    """As a user that the image has never heard of, on the artifacts that the component before it wrote."""
    with tempfile.TemporaryDirectory() as directory:
        uid, gid = (12345, 0) if os.geteuid() == 0 else (os.getuid(), os.getgid())
        os.chown(directory, uid, gid)
        for component in references.COMPONENTS:
            user = f"{uid}:{gid}"
            assert (
                run_in(
                    engine,
                    built[component],
                    ALONE[component],
                    Path(directory),
                    user=user,
                    working_dir=directory,
                )
                == 0
            )
        evaluation = json.loads(Path(directory, "evaluation", "evaluation.json").read_text(encoding="utf-8"))
        published = json.loads(Path(directory, "published", "published.json").read_text(encoding="utf-8"))
    assert (evaluation["rows"], evaluation["blessed"], published["promoted"]) == (10_000, True, True)
    assert evaluation["accuracy"] > 0.7
