"""Builds, pushes and inventories the images: `python -m pipeline images build|push|sbom`."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from components.errors import StorageError, UsageError
from pipeline import images

app = typer.Typer(no_args_is_help=True, help="The components' container images.")

VARIANTS = ("cpu", "gpu")
SIGNING_LOCK = "sign"
SIGNERS = ("evaluate", "export")  # who read and write a bucket's manifests
DIGESTS_PATH = Path("output/digests.json")
SBOM_DIR = Path("output/sbom")

Registry = Annotated[
    str, typer.Option(help="Host and path to put the images below; empty for this machine only.")
]
Tag = Annotated[str, typer.Option(help="Empty for the checkout's git SHA, with -dirty when it is.")]
Variant = Annotated[str, typer.Option(help="TensorFlow of the train image: cpu or gpu.")]
Signing = Annotated[
    bool, typer.Option("--signing", help="With what signed models need, in evaluate and export.")
]


@app.command("build")
def build_command(
    registry: Registry = "", tag: Tag = "", tf_variant: Variant = "cpu", signing: Signing = False
) -> None:
    """Builds the four images and prints each reference, its size and how long it took."""
    build(registry=registry, tag=tag, tf_variant=tf_variant, signing=signing)


@app.command("push")
def push_command(
    registry: Registry = "", tag: Tag = "", digests: Annotated[Path, typer.Option()] = DIGESTS_PATH
) -> None:
    """Pushes the four images and writes the file for `compile --digests`."""
    push(registry=registry, tag=tag, digests_path=digests)


@app.command("sbom")
def sbom_command(
    directory: Annotated[Path, typer.Option()] = SBOM_DIR,
    tf_variant: Variant = "cpu",
    signing: Signing = False,
) -> None:
    """Writes one CycloneDX file an image: every locked package with its hashes."""
    sbom(directory=directory, tf_variant=tf_variant, signing=signing)


def build(
    *, registry: str = "", tag: str = "", tf_variant: str = "cpu", signing: bool = False
) -> dict[str, str]:
    """Builds the four images from the checkout; a tag that is not given ends in what is unusual in them.

    Returns:
      Component name to image reference.

    Raises:
      UsageError: a bad registry, tag or variant; no client that can build.
      StorageError: no engine, or the build failed; its log is on stderr.
    """
    _check_variant(tf_variant)
    if not tag:
        tag = images.git_tag() + ("" if tf_variant == "cpu" else f"-{tf_variant}") + "-signing" * signing
    references = images.resolve(registry=registry, tag=tag)
    client = build_client()
    for component, reference in references.items():
        started = time.perf_counter()
        _run([client, *_build_arguments(component, reference, tf_variant, signing)], f"building {reference}")
        size = int(_output([client, "image", "inspect", "--format", "{{.Size}}", reference]))
        print(f"{reference}  {size / 1e9:.2f} GB  {time.perf_counter() - started:.1f} s", flush=True)
    return references


def _build_arguments(component: str, reference: str, tf_variant: str, signing: bool) -> Iterator[str]:
    yield from ("build", "--file", "containers/Dockerfile", "--target", component, "--tag", reference)
    build_arguments = {
        "TF_VARIANT": tf_variant,
        "SIGNING_LOCK": SIGNING_LOCK if signing else "",
        "VERSION": project_version(),
        "REVISION": images.git_revision(),
        "CODE_SHA256": images.code_sha256(component),
    }
    for name, value in build_arguments.items():
        yield from ("--build-arg", f"{name}={value}")
    if authorities := _certificate_authorities():
        yield from ("--secret", f"id=ca,src={authorities}")
    yield "."


def project_version() -> str:
    """Returns the version in pyproject.toml, which the images carry as a label."""
    return str(
        tomllib.loads((images.CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    )


def _certificate_authorities() -> str:
    """Returns the file that this machine's clients trust, if it names one: pip and uv need it too."""
    paths = (os.environ.get(name, "") for name in ("SSL_CERT_FILE", "PIP_CERT"))
    return next((path for path in paths if path and Path(path).is_file()), "")


def _check_variant(tf_variant: str) -> None:
    if tf_variant not in VARIANTS:
        raise UsageError(f"--tf-variant={tf_variant}: must be one of {', '.join(VARIANTS)}")


def push(*, registry: str, tag: str = "", digests_path: Path = DIGESTS_PATH) -> dict[str, str]:
    """Pushes the four images and writes their digests.

    Returns:
      Component name to `name@sha256:…`, as the registry stored it.

    Raises:
      UsageError: no registry.
      StorageError: an image is missing, or the registry refused.
    """
    if not registry:
        raise UsageError("--registry: is needed to push")
    client = build_client()
    pushed = {}
    for component, reference in images.resolve(registry=registry, tag=tag).items():
        _run([client, "push", reference], f"pushing {reference}")
        digests = json.loads(
            _output([client, "image", "inspect", "--format", "{{json .RepoDigests}}", reference])
        )
        repository = images.repository(component, registry)
        pushed[component] = next(digest for digest in digests if digest.startswith(f"{repository}@"))
        print(pushed[component], flush=True)
    images.write_digests(digests_path, pushed)
    print(f"wrote {digests_path}")
    return pushed


def build_client() -> str:
    """Returns a `docker` with BuildKit: any that has buildx, or one older than 23, which has it built in.

    Raises:
      UsageError: there is none on the PATH.
    """
    found = [path for directory in os.get_exec_path() if (path := shutil.which("docker", path=directory))]
    for path in found:
        if subprocess.run([path, "buildx", "version"], capture_output=True, check=False).returncode == 0:
            return path
        major = re.search(r"version (\d+)\.", _output([path, "--version"]))
        if major and int(major[1]) < 23:
            return path
    raise UsageError(
        "no docker client with BuildKit on the PATH: install Docker with its buildx plugin"
        + (f" (without it: {', '.join(found)})" if found else "")
    )


def _run(command: list[str], what: str) -> None:
    """Runs an engine command with its log on stderr."""
    environment = os.environ | {"DOCKER_BUILDKIT": "1"}
    done = subprocess.run(command, cwd=images.CHECKOUT, env=environment, stdout=sys.stderr, check=False)
    if done.returncode:
        raise StorageError(f"{what} failed (exit code {done.returncode}): the engine's words are above")


def _output(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise StorageError(f"`docker {' '.join(command[1:])}` failed: {' '.join(done.stderr.split())}")
    return done.stdout.strip()


def sbom(*, directory: Path = SBOM_DIR, tf_variant: str = "cpu", signing: bool = False) -> list[Path]:
    """Writes `<image>.cdx.json` for each image: the packages of its locks, with their hashes.

    Raises:
      UsageError: a bad variant.
      StorageError: `cyclonedx-py` is not installed or failed.
    """
    _check_variant(tf_variant)
    directory.mkdir(parents=True, exist_ok=True)
    paths = []
    for component in images.COMPONENTS:
        path = directory / f"{images.repository(component)}.cdx.json"
        locked = "\n".join(locked_requirements(component, tf_variant, signing=signing))
        module = ["cyclonedx_py", "requirements", "--output-reproducible", "-", "-o", str(path)]
        command = [sys.executable, "-m", *module]
        done = subprocess.run(command, input=locked, capture_output=True, text=True, check=False)
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
        text = (images.CHECKOUT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
        for line in text.replace("\\\n", " ").splitlines():
            requirement, _, hashes = line.partition(" --hash=")
            pinned, _, marker = requirement.partition(";")
            if "==" in pinned and not line.lstrip().startswith("#"):
                environment: dict[str, Any] = dict(LINUX)
                if not marker.strip() or Marker(marker).evaluate(environment):
                    lines.append(f"{pinned.strip()} --hash={' '.join(hashes.split())}")
    return lines
