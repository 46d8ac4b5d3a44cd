"""What is in the images: a CycloneDX file each, from their locks."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.errors import StorageError
from pipeline import files
from pipeline.images import references
from pipeline.images.build import SIGNERS, SIGNING_LOCK, check_variant

SBOM_DIR = Path("output/sbom")


def sbom(*, directory: Path = SBOM_DIR, tf_variant: str = "cpu", signing: bool = False) -> list[Path]:
    """Writes `<image>.cdx.json` for each image: the packages of its locks, with their hashes.

    Raises:
      UsageError: a bad variant.
      StorageError: `cyclonedx-py` is not installed or failed.
    """
    check_variant(tf_variant)
    files.make_folder(directory, "--directory")
    paths = []
    for component in references.COMPONENTS:
        path = directory / f"{references.repository(component)}.cdx.json"
        locked = "\n".join(locked_requirements(component, tf_variant, signing=signing))
        module = ["cyclonedx_py", "requirements", "--output-reproducible", "-", "-o", str(path)]
        command = [sys.executable, "-m", *module]
        done = subprocess.run(
            command, input=locked, capture_output=True, encoding="utf-8", errors="replace", check=False
        )
        if done.returncode:
            raise StorageError(f"cyclonedx-py failed for {component}: {' '.join(done.stderr.split())}")
        paths.append(path)
        print(f"wrote {path}")
    return paths


LINUX: Mapping[str, str] = {
    "sys_platform": "linux",
    "platform_system": "Linux",
    "platform_machine": "x86_64",
    "platform_python_implementation": "CPython",
    "implementation_name": "cpython",
    "os_name": "posix",
    "python_version": "3.11",
    "python_full_version": "3.11.0",
}


def locked_requirements(component: str, tf_variant: str = "cpu", *, signing: bool = False) -> list[str]:
    """Returns the `name==version --hash=…` lines of the image's locks for Linux x86_64, Python 3.11."""
    from packaging.markers import Marker

    lock = f"train-{tf_variant}" if component == "train" else component
    lines: list[str] = []
    for name in (lock, *([SIGNING_LOCK] if signing and component in SIGNERS else []), "kfp"):
        text = (references.CHECKOUT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
        for line in text.replace("\\\n", " ").splitlines():
            requirement, _, hashes = line.partition(" --hash=")
            pinned, _, marker = requirement.partition(";")
            if "==" in pinned and not line.lstrip().startswith("#"):
                environment: dict[str, Any] = dict(LINUX)
                if not marker.strip() or Marker(marker).evaluate(environment):
                    lines.append(f"{pinned.strip()} --hash={' '.join(hashes.split())}")
    return lines
