"""Which image runs which component: names, tags, digests, and whether an image holds this checkout's code.

`resolve(registry="registry.example/team", tag="3f2a9c1d5e7b")["train"]` is
`registry.example/team/mnist-pipeline-train:3f2a9c1d5e7b`.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from components import revision
from components.errors import UsageError, quoted
from pipeline import files

COMPONENTS = ("ingest", "train", "evaluate", "export")  # each a target of containers/Dockerfile
# Tasks in another component's image: components too small for one of their own, and an export that evaluates.
GUESTS = {"scan": "export", "lookup": "export", "notify": "export", "export-2": "evaluate"}
TASKS = (*COMPONENTS, *GUESTS)
WINGS = ("storage", "registry", "model", "judging", "batches")  # in every image: the stage `shared`
CHECKOUT = Path(__file__).resolve().parents[2]

TITLE_LABEL = "org.opencontainers.image.title"
VERSION_LABEL = "org.opencontainers.image.version"
REVISION_LABEL = "org.opencontainers.image.revision"
CODE_LABEL = "mnist-pipeline.code-sha256"

_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_REGISTRY = re.compile(r"[a-z0-9][a-z0-9.-]*(:[0-9]+)?(/[a-z0-9]+([._-]+[a-z0-9]+)*)*")
_BY_DIGEST = re.compile(r"[a-z0-9][a-z0-9.:/_-]*@sha256:[0-9a-f]{64}")
_ABBREVIATION = 12
_MAX_REGISTRY = 200  # an image's whole name may have 255
_BUILD_FILES = ("Dockerfile", "Dockerfile.dockerignore", "compile_bytecode.py", "install.sh", "usage.py")


def repository(component: str, registry: str = "") -> str:
    """Returns the image's name without a tag: `[registry/]mnist-pipeline-<component>`."""
    name = f"mnist-pipeline-{component}"
    return f"{registry}/{name}" if registry else name


def resolve(*, registry: str = "", tag: str = "", digests_path: Path | None = None) -> dict[str, str]:
    """Returns each component's image reference, by tag or, from a file that `make push` wrote, by digest.

    Args:
      registry: host and path that the images are below; empty for this machine's own.
      tag: empty for the checkout's `git_tag()`.
      digests_path: JSON, component name to `name@sha256:…`; excludes the other two.

    Raises:
      UsageError: `latest`, an invalid tag or registry, a file that does not pin every component by digest.
    """
    if digests_path is not None:
        if registry or tag:
            raise UsageError("--digests names whole references: leave out --registry and --tag")
        return _read_digests(digests_path)
    tag = tag or git_tag()
    if tag == "latest":
        raise UsageError("--tag=latest: names another image tomorrow; give a git SHA, or --digests FILE")
    if not _TAG.fullmatch(tag):
        raise UsageError(
            f"--tag={quoted(tag)}: must be 1 to 128 of A-Z a-z 0-9 _ . - and start with none of . -"
        )
    if registry and not (_REGISTRY.fullmatch(registry) and len(registry) <= _MAX_REGISTRY):
        raise UsageError(
            f"--registry={quoted(registry)}: must be host[:port][/path] in lower case, without a scheme"
        )
    return {component: f"{repository(component, registry)}:{tag}" for component in COMPONENTS}


def _read_digests(path: Path) -> dict[str, str]:
    try:
        references = json.loads(files.read_text(path, "--digests"))
    except UsageError:  # a ValueError too
        raise
    except (ValueError, RecursionError) as error:
        raise UsageError(f"--digests={path}: is not JSON: {error}") from None
    if not isinstance(references, dict) or set(references) != set(COMPONENTS):
        raise UsageError(f"--digests={path}: must name exactly the components {', '.join(COMPONENTS)}")
    for component, reference in references.items():
        if not (isinstance(reference, str) and _BY_DIGEST.fullmatch(reference)):
            raise UsageError(
                f"--digests={path}: {component}={reference!r}: must be name@sha256:<64 hex digits>"
            )
    return {component: references[component] for component in COMPONENTS}


def write_digests(path: Path, references: Mapping[str, str]) -> None:
    """Writes the file that `resolve(digests_path=…)` reads."""
    files.write_text(path, json.dumps(dict(references), indent=2) + "\n", "--digests")


def git_tag(checkout: Path = CHECKOUT) -> str:
    """Returns the tag of `checkout`'s images: its commit's first 12 digits, `-dirty` where it differs.

    Raises:
      UsageError: not a git checkout, or one that git refuses to read.
    """
    found = revision.of_checkout(checkout)
    if found is None:
        raise UsageError(f"{checkout}: is not a git checkout to name the images after; give --tag")
    sha, dirty = found.partition("-")[::2]
    return sha[:_ABBREVIATION] + (f"-{dirty}" if dirty else "")


def code_sha256(component: str, checkout: Path = CHECKOUT) -> str:
    """Returns one SHA-256 over everything of `checkout` that decides what the component's image does."""
    digest = hashlib.sha256()
    for path in sorted(_sources(component, checkout)):
        digest.update(f"{path.relative_to(checkout).as_posix()}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _sources(component: str, checkout: Path) -> Iterator[Path]:
    yield from (checkout / "components").glob("*.py")
    yield from (checkout / "components" / "train").glob("settings.py")  # lookup reads it
    for wing in WINGS:
        yield from (checkout / "components" / wing).glob("*.py")
    for inhabitant in (component, *(guest for guest, host in GUESTS.items() if host == component)):
        for path in (checkout / "components" / component_of(inhabitant)).rglob("*"):
            if path.is_file() and path.name != "component.py" and path.parent.name != "__pycache__":
                yield path
    yield from (checkout / "containers" / name for name in _BUILD_FILES)
    for path in (checkout / "requirements").glob("*.txt"):
        if path.stem not in {"local", "dev"}:
            yield path


def image_of(task: str) -> str:
    """Returns which of COMPONENTS' images a task runs in: its component's own, or its host's."""
    return GUESTS.get(task, task)


def component_of(task: str) -> str:
    """Returns the component that a task runs; KFP numbers all tasks of one but the first."""
    return task.partition("-")[0]


def check_fresh(component: str, reference: str, labels: Mapping[str, str], checkout: Path = CHECKOUT) -> None:
    """Checks that the image was built from the checkout's code.

    Args:
      component: whose image it is.
      reference: what the message calls it.
      labels: the image's labels.
      checkout: what the image must have been built from.

    Raises:
      UsageError: it was built from other code; says from which revision.
    """
    if labels.get(CODE_LABEL) != code_sha256(image_of(component), checkout):
        built_from = labels.get(REVISION_LABEL, "an unknown revision")
        raise UsageError(
            f"image {reference}: was built from other code ({built_from}) than this checkout "
            f"({revision.of_checkout(checkout) or 'no git checkout'}); run `make images`"
        )
