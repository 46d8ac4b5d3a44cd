import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from components import revision
from components.errors import UsageError
from pipeline.images import build, inventory, references

DIGEST = "sha256:" + "a" * 64
SHA = "0123456789ab"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A git checkout with what an image is made from."""
    files = ["components/errors.py", "components/train/core.py", "components/train/component.py"]
    files += ["components/train/templates/curves.html", "components/storage/gcs.py"]
    files += [
        "components/lookup/core.py",
        "components/export/core.py",
        "requirements/train-cpu.txt",
        "requirements/dev.txt",
        "README.md",
    ]
    files += [f"containers/{name}" for name in ("Dockerfile", "Dockerfile.dockerignore", "usage.py")]
    files += [f"containers/{name}" for name in ("compile_bytecode.py", "install.sh")]
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name, encoding="utf-8")
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "all"]):
        identity = ["-c", "user.name=test", "-c", "user.email=test@example.invalid"]
        subprocess.run(["git", "-C", tmp_path, *identity, *command], check=True)
    return tmp_path


def test_a_tag_names_every_component() -> None:
    assert references.resolve(registry="registry.example:5000/team", tag=SHA) == {
        "ingest": f"registry.example:5000/team/mnist-pipeline-ingest:{SHA}",
        "train": f"registry.example:5000/team/mnist-pipeline-train:{SHA}",
        "evaluate": f"registry.example:5000/team/mnist-pipeline-evaluate:{SHA}",
        "export": f"registry.example:5000/team/mnist-pipeline-export:{SHA}",
    }


def test_without_a_registry_images_are_this_machines_own() -> None:
    assert references.resolve(tag=SHA)["train"] == f"mnist-pipeline-train:{SHA}"


@pytest.mark.parametrize("tag", ["latest", "-dirty", "a b", "a" * 129, "a@b", "a/b"])
def test_a_moving_or_malformed_tag_is_refused(tag: str) -> None:
    with pytest.raises(UsageError, match="--tag="):
        references.resolve(tag=tag)


@pytest.mark.parametrize(
    "registry", ["https://registry.example", "Registry.example", "registry.example/", "a b"]
)
def test_a_malformed_registry_is_refused(registry: str) -> None:
    with pytest.raises(UsageError, match="--registry="):
        references.resolve(registry=registry, tag=SHA)


def test_written_digests_are_read_back(tmp_path: Path) -> None:
    pinned = {name: f"registry.example/mnist-pipeline-{name}@{DIGEST}" for name in references.COMPONENTS}
    references.write_digests(tmp_path / "new" / "digests.json", pinned)
    assert references.resolve(digests_path=tmp_path / "new" / "digests.json") == pinned


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not JSON"),
        ("[]", "must name exactly"),
        (json.dumps({"train": f"x@{DIGEST}"}), "must name exactly"),
        (json.dumps(dict.fromkeys(references.COMPONENTS, f"x:{SHA}")), "ingest='x:0123456789ab'"),
        (json.dumps(dict.fromkeys(references.COMPONENTS, "x@sha256:abc")), "must be name@sha256"),
        (json.dumps(dict.fromkeys(references.COMPONENTS, 1)), "ingest=1"),
    ],
)
def test_a_file_that_does_not_pin_everything_is_refused(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "digests.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(UsageError, match=message):
        references.resolve(digests_path=path)


def test_a_missing_file_and_a_mixture_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        references.resolve(digests_path=tmp_path / "none.json")
    with pytest.raises(UsageError, match="leave out --registry and --tag"):
        references.resolve(tag=SHA, digests_path=tmp_path / "none.json")


def test_the_tag_is_the_commit_and_says_when_the_checkout_differs(checkout: Path) -> None:
    sha = revision.of_checkout(checkout)
    assert sha
    assert references.git_tag(checkout) == sha[:12]
    (checkout / "components" / "train" / "untracked.py").touch()
    assert references.git_tag(checkout) == f"{sha[:12]}-dirty"


def test_without_git_a_tag_must_be_given(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="give --tag"):
        references.git_tag(tmp_path)


@pytest.mark.parametrize("path", ["README.md", "requirements/dev.txt", "components/train/component.py"])
def test_what_is_not_in_an_image_does_not_make_it_stale(checkout: Path, path: str) -> None:
    before = references.code_sha256("train", checkout)
    (checkout / path).write_text("changed", encoding="utf-8")
    assert references.code_sha256("train", checkout) == before


@pytest.mark.parametrize(
    "path",
    [
        "components/errors.py",
        "components/train/new.py",
        "components/train/templates/curves.html",
        "components/storage/gcs.py",
        "requirements/train-cpu.txt",
        "containers/Dockerfile",
    ],
)
def test_what_is_in_an_image_makes_it_stale(checkout: Path, path: str) -> None:
    labels = {
        references.CODE_LABEL: references.code_sha256("train", checkout),
        references.REVISION_LABEL: revision.of_checkout(checkout) or "",
    }
    references.check_fresh("train", "train:tag", labels, checkout)
    (checkout / path).write_text("changed", encoding="utf-8")
    with pytest.raises(
        UsageError, match=f"image train:tag: was built from other code .{labels[references.REVISION_LABEL]}"
    ):
        references.check_fresh("train", "train:tag", labels, checkout)


@pytest.mark.parametrize(
    ("host", "guest"), [("export", "components/lookup/core.py"), ("evaluate", "components/export/core.py")]
)
def test_a_guests_code_makes_its_hosts_image_stale(checkout: Path, host: str, guest: str) -> None:
    before = references.code_sha256(host, checkout)
    (checkout / guest).write_text("changed", encoding="utf-8")
    assert references.code_sha256(host, checkout) != before


def test_another_component_does_not_make_an_image_stale(checkout: Path) -> None:
    before = references.code_sha256("train", checkout)
    (checkout / "components" / "export" / "core.py").write_text("changed", encoding="utf-8")
    assert references.code_sha256("train", checkout) == before


def test_an_image_without_labels_is_stale(checkout: Path) -> None:
    with pytest.raises(UsageError, match="an unknown revision"):
        references.check_fresh("train", "train:tag", {}, checkout)


def locked_versions(name: str) -> set[tuple[str, str]]:
    lines = (references.CHECKOUT / "requirements" / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    pins = [line.split(" ")[0].partition("==") for line in lines if "==" in line and line[0] not in " #"]
    return {(package, version) for package, _, version in pins}


@pytest.mark.parametrize("lock", ["ingest", "train-cpu", "train-gpu", "evaluate", "export", "kfp"])
def test_images_have_the_versions_of_the_local_environment(lock: str) -> None:
    local = locked_versions("local")
    local_names = {package for package, _ in local}
    shared = {pin for pin in locked_versions(lock) if pin[0] in local_names}
    assert shared <= local
    assert {package for package, _ in locked_versions(lock) - shared} <= {"tensorflow-cpu"} | {
        package for package, _ in locked_versions(lock) if package.startswith(("nvidia-", "cuda-"))
    }


def test_tensorflow_is_one_version_everywhere() -> None:
    versions = {
        version
        for lock in ("local", "train-cpu", "train-gpu", "evaluate")
        for package, version in locked_versions(lock)
        if package in ("tensorflow", "tensorflow-cpu")
    }
    assert len(versions) == 1


def test_export_ships_no_tensorflow() -> None:
    assert not {package for package, _ in locked_versions("export")} & {
        "tensorflow",
        "tensorflow-cpu",
        "keras",
    }


def test_every_locked_package_has_a_hash() -> None:
    for component in references.COMPONENTS:
        for line in inventory.locked_requirements(component):
            assert " --hash=sha256:" in line, line


def test_the_bill_of_materials_lists_every_locked_package_with_its_hashes(tmp_path: Path) -> None:
    paths = inventory.sbom(directory=tmp_path)
    assert [path.name for path in paths] == [
        f"mnist-pipeline-{name}.cdx.json" for name in references.COMPONENTS
    ]
    for component, path in zip(references.COMPONENTS, paths, strict=True):
        bill = json.loads(path.read_text(encoding="utf-8"))
        listed = {
            f"{entry['name']}=={entry['version']}": {
                digest["content"]
                for reference in entry["externalReferences"]
                for digest in reference.get("hashes", ())
            }
            for entry in bill["components"]
        }
        expected: dict[str, set[str]] = {}
        for line in inventory.locked_requirements(component):
            pin, *hashes = line.split(" --hash=sha256:")
            expected[pin] = set(hashes)
        assert listed == expected


@pytest.mark.parametrize("command", [build.build, inventory.sbom])
def test_an_unknown_variant_is_refused(command: Callable[..., object]) -> None:
    with pytest.raises(UsageError, match="must be one of cpu, gpu"):
        command(tf_variant="tpu")


def test_push_needs_a_registry() -> None:
    with pytest.raises(UsageError, match="--registry"):
        build.push(registry="", tag=SHA)
