"""`make setup` installs what the locks name, and nothing else: not even to build what has no wheel."""

import hashlib
import io
import os
import re
import shlex
import subprocess
import tarfile
import zipfile
from pathlib import Path

from pipeline.images.references import CHECKOUT

# A build backend that somebody slipped in under setuptools' name and version.
BACKEND = """
import pathlib, zipfile

def get_requires_for_build_wheel(config_settings=None):
    return []

def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    pathlib.Path({proof!r}).touch()
    name = "thing-1.0-py3-none-any.whl"
    with zipfile.ZipFile(pathlib.Path(wheel_directory, name), "w") as wheel:
        info = "thing-1.0.dist-info"
        wheel.writestr(f"{{info}}/METADATA", "Metadata-Version: 2.1\\nName: thing\\nVersion: 1.0\\n")
        wheel.writestr(f"{{info}}/WHEEL", "Wheel-Version: 1.0\\nTag: py3-none-any\\n")
        wheel.writestr(f"{{info}}/RECORD", "")
    return name
"""
PYPROJECT = """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"
[project]
name = "thing"
version = "1.0"
"""


def write_sdist(directory: Path) -> str:
    """Writes an sdist without a wheel, and returns its hash."""
    path = directory / "thing-1.0.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name, text in {
            "pyproject.toml": PYPROJECT,
            "PKG-INFO": "Metadata-Version: 2.1\nName: thing\nVersion: 1.0\n",
        }.items():
            entry = tarfile.TarInfo(f"thing-1.0/{name}")
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write_backend(directory: Path, version: str, proof: Path) -> None:
    info = f"setuptools-{version}.dist-info"
    with zipfile.ZipFile(directory / f"setuptools-{version}-py3-none-any.whl", "w") as wheel:
        wheel.writestr("setuptools/__init__.py", "")
        wheel.writestr("setuptools/build_meta.py", BACKEND.format(proof=str(proof)))
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: setuptools\nVersion: {version}\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")


def install_command() -> list[str]:
    """What the Makefile installs with, as it stands there."""
    shown = subprocess.run(
        ["make", "--no-print-directory", "--eval", "show:;@echo $(INSTALL)", "show"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=True,
    )
    return shlex.split(shown.stdout)


def test_a_source_package_is_built_with_locked_packages_only(tmp_path: Path) -> None:
    (tmp_path / "index").mkdir()
    locked = re.search(
        r"^setuptools==(\S+)", (CHECKOUT / "requirements" / "build.txt").read_text(encoding="utf-8"), re.M
    )
    assert locked
    write_backend(tmp_path / "index", locked[1], tmp_path / "built")
    digest = write_sdist(tmp_path / "index")
    (tmp_path / "lock.txt").write_text(f"thing==1.0 --hash=sha256:{digest}\n", encoding="utf-8")
    options = ["--no-cache", "--no-index", "--find-links", str(tmp_path / "index"), "--target", str(tmp_path)]
    done = subprocess.run(
        [*install_command(), str(tmp_path / "lock.txt"), *options],
        cwd=CHECKOUT,
        env={name: value for name, value in os.environ.items() if not name.startswith("UV_")},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode != 0
    assert "Hash mismatch for `setuptools==" in done.stderr
    assert not (tmp_path / "built").exists()
