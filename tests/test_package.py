"""The project as a package: a wheel of it has every file, one version, its command and what it needs."""

import email
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from email.message import Message
from pathlib import Path

import pytest

from pipeline.version import VERSION
from tests import pages
from tests.pages import CHECKOUT


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[zipfile.ZipFile]:
    """Built as `make` installs it, from a copy: setuptools leaves folders beside what it builds."""
    home = tmp_path_factory.mktemp("package")
    for name in pages.tracked():
        (home / "source" / name).parent.mkdir(parents=True, exist_ok=True)
        (home / "source" / name).write_bytes((CHECKOUT / name).read_bytes())
    build = ["uv", "build", "--quiet", "--wheel", "--offline", "--no-build-isolation"]
    subprocess.run(
        [*build, "--python", sys.executable, "--out-dir", home / "dist", home / "source"],
        check=True,
        capture_output=True,
        timeout=120,
    )
    [path] = (home / "dist").glob("*.whl")
    with zipfile.ZipFile(path) as opened:
        yield opened


def metadata(wheel: zipfile.ZipFile) -> Message:
    return email.message_from_bytes(wheel.read(f"mnist_pipeline-{VERSION}.dist-info/METADATA"))


def test_it_has_every_file_of_the_product_and_none_beside(wheel: zipfile.ZipFile) -> None:
    product = {str(path) for path in pages.tracked() if path.parts[0] in ("components", "pipeline")}
    assert {name for name in wheel.namelist() if ".dist-info/" not in name} == product


def test_its_command_and_its_version_are_the_projects(wheel: zipfile.ZipFile) -> None:
    commands = wheel.read(f"mnist_pipeline-{VERSION}.dist-info/entry_points.txt").decode()
    assert commands.split() == ["[console_scripts]", "mnist-pipeline", "=", "pipeline.cli:main"]
    assert metadata(wheel)["Version"] == VERSION


def names(requirements: str) -> set[str]:
    """The packages' names, as an index writes them."""
    found = re.findall(r"^[A-Za-z][\w.-]*", requirements, re.MULTILINE)
    return {re.sub(r"[-_.]+", "-", name).lower() for name in found}


def test_what_it_needs_is_locked(wheel: zipfile.ZipFile) -> None:
    needed = metadata(wheel).get_all("Requires-Dist", [])
    for extra, lock in (("", "local"), ("submit", "submit"), ("sign", "sign")):
        wanted = [
            text for text in needed if (f'extra == "{extra}"' in text if extra else "extra" not in text)
        ]
        assert len(wanted) > 1
        assert names("\n".join(wanted)) <= names(
            (CHECKOUT / "requirements" / f"{lock}.txt").read_text(encoding="utf-8")
        )


def test_it_runs_where_it_is_unpacked(wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    """Its environments, schedules and templates come along."""
    wheel.extractall(tmp_path)
    for arguments, expected in ((["--version"], VERSION), (["env", "list"], "vertex-example")):
        shown = subprocess.run(
            [sys.executable, "-m", "pipeline", *arguments],
            cwd=tmp_path,
            env={"PYTHONPATH": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert expected in shown.stdout, shown.stderr
