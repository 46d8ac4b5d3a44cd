"""Builds and pushes the images."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from components import revision
from components.errors import StorageError, UsageError
from pipeline.images import references
from pipeline.version import VERSION

VARIANTS = ("cpu", "gpu")
SIGNING_LOCK = "sign"
SIGNERS = ("evaluate", "export")  # who read and write a bucket's manifests
DIGESTS_PATH = Path("output/digests.json")


def build(
    *, registry: str = "", tag: str = "", tf_variant: str = "cpu", signing: bool = False
) -> dict[str, str]:
    """Builds the four images from the checkout; a tag that is not given ends in what is unusual in them.

    Returns:
      Component name to image reference.

    Raises:
      UsageError: a bad registry, tag or variant; no client that can build.
      StorageError: no engine, no base image, or the build failed; its log is on stderr.
    """
    check_variant(tf_variant)
    if not tag:
        tag = references.git_tag() + ("" if tf_variant == "cpu" else f"-{tf_variant}") + "-signing" * signing
    named = references.resolve(registry=registry, tag=tag)
    client = build_client()
    fixed = {
        "BASE_IMAGE": base_image(),
        "TF_VARIANT": tf_variant,
        "SIGNING_LOCK": SIGNING_LOCK if signing else "",
        "VERSION": VERSION,
        "REVISION": revision.of_checkout(references.CHECKOUT) or revision.UNKNOWN,
    }
    for component, reference in named.items():
        started = time.perf_counter()
        _run([client, *_build_arguments(component, reference, fixed)], f"building {reference}")
        size = int(_output([client, "image", "inspect", "--format", "{{.Size}}", reference]))
        print(f"{reference}  {size / 1e9:.2f} GB  {time.perf_counter() - started:.1f} s", flush=True)
    return named


def _build_arguments(component: str, reference: str, fixed: Mapping[str, str]) -> Iterator[str]:
    yield from ("build", "--file", "containers/Dockerfile", "--target", component, "--tag", reference)
    for name, value in {**fixed, "CODE_SHA256": references.code_sha256(component)}.items():
        yield from ("--build-arg", f"{name}={value}")
    if authorities := _certificate_authorities():
        yield from ("--secret", f"id=ca,src={authorities}")
    yield "."


def base_image(*, make: bool = True) -> str:
    """Returns the image that the Dockerfile builds on here: by digest, or a stand-in if none can be pulled.

    Args:
      make: False finds it only, and neither pulls nor makes it.

    Raises:
      StorageError: it is not here and cannot be had, with the reason.
    """
    command = [str(references.CHECKOUT / "containers" / "base-image.sh"), *([] if make else ["--find"])]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    if done.returncode:
        raise StorageError(done.stderr.strip().splitlines()[-1])
    print(done.stderr, end="", file=sys.stderr, flush=True)
    return done.stdout.strip()


def _certificate_authorities() -> str:
    """Returns the file that this machine's clients trust, if it names one: pip and uv need it too."""
    paths = (os.environ.get(name, "") for name in ("SSL_CERT_FILE", "PIP_CERT"))
    return next((path for path in paths if path and Path(path).is_file()), "")


def check_variant(tf_variant: str) -> None:
    """Raises UsageError unless there is such a train image."""
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
    for component, reference in references.resolve(registry=registry, tag=tag).items():
        _run([client, "push", reference], f"pushing {reference}")
        digests = json.loads(
            _output([client, "image", "inspect", "--format", "{{json .RepoDigests}}", reference])
        )
        repository = references.repository(component, registry)
        pushed[component] = next(digest for digest in digests if digest.startswith(f"{repository}@"))
        print(pushed[component], flush=True)
    references.write_digests(digests_path, pushed)
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
    done = subprocess.run(command, cwd=references.CHECKOUT, env=environment, stdout=sys.stderr, check=False)
    if done.returncode:
        raise StorageError(f"{what} failed (exit code {done.returncode}): the engine's words are above")


def _output(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", check=False)
    if done.returncode:
        raise StorageError(f"`docker {' '.join(command[1:])}` failed: {' '.join(done.stderr.split())}")
    return done.stdout.strip()
