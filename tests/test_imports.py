"""Who may import whom, and what an import may cost. The rules are those of the README."""

import ast
import gc
import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from components.imports import uncollected

CHECKOUT = Path(__file__).parent.parent
COMPONENTS = {path.parent.name for path in CHECKOUT.glob("components/*/component.py")}
SOURCES = sorted([*CHECKOUT.glob("components/**/*.py"), *CHECKOUT.glob("pipeline/**/*.py")])
CLOUD_SDKS = ("google.cloud", "google.auth", "google.api_core", "docker")
TENSORFLOW = ("tensorflow", "keras")
# Where TensorFlow may be imported at the top: a core, and what only a core imports.
MAY_IMPORT_TENSORFLOW = {"core.py", "models.py", "loop.py", "cluster.py", "run.py", "saved_model.py"}


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(CHECKOUT).with_suffix("").parts).removesuffix(".__init__")


def imported(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    if isinstance(node, ast.ImportFrom):
        yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imports(path: Path) -> set[str]:
    """Everything the module imports, wherever in it."""
    return {name for node in ast.walk(ast.parse(path.read_text())) for name in imported(node)}


def top_imports(path: Path) -> set[str]:
    return {name for node in ast.parse(path.read_text()).body for name in imported(node)}


def under(name: str, *packages: str) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def component_of(path: Path) -> str | None:
    parts = path.relative_to(CHECKOUT).parts
    return parts[1] if parts[0] == "components" and parts[1] in COMPONENTS else None


@pytest.mark.parametrize("path", SOURCES, ids=module_of)
def test_import_rules(path: Path) -> None:
    names = imports(path)
    if path.is_relative_to(CHECKOUT / "pipeline"):
        for name in names:
            for component in COMPONENTS:
                allowed = ("component", "limits", "styles")
                if under(name, f"components.{component}"):
                    assert name.split(".")[2] in allowed, f"{path}: imports {name}"
        assert not [name for name in names if under(name, *TENSORFLOW)]
        return
    own = component_of(path)
    others = [f"components.{component}" for component in COMPONENTS - {own}]
    assert not [name for name in names if under(name, "pipeline", *others)], path
    if path.name == "component.py":
        assert not [name for name in top_imports(path) if not under(name, "kfp", "typing")]
    else:
        assert not [name for name in names if under(name, "kfp")], f"{path}: only faces know KFP"
    assert not [name for name in top_imports(path) if under(name, *CLOUD_SDKS)], path
    if path.name not in MAY_IMPORT_TENSORFLOW:
        assert not [name for name in top_imports(path) if under(name, *TENSORFLOW)], path


@pytest.mark.parametrize("path", SOURCES, ids=module_of)
def test_no_future_annotations_in_faces_and_packages_are_empty(path: Path) -> None:
    if path.name == "component.py":
        assert "__future__.annotations" not in imports(path)
    if path.name == "__init__.py":
        assert path.read_text() == ""


@pytest.mark.parametrize("path", SOURCES, ids=module_of)
def test_importing_reads_no_environment(path: Path) -> None:
    """At the top level of a module; inside a function it is that function's business."""
    for statement in ast.parse(path.read_text()).body:
        if not isinstance(statement, ast.FunctionDef | ast.ClassDef):
            for node in ast.walk(statement):
                assert not (isinstance(node, ast.Attribute) and node.attr in {"environ", "getenv"}), path


def test_the_top_level_is_the_house() -> None:
    folders = {path.parts[0] for path in tracked() if len(path.parts) > 1}
    assert folders == {".ci", "components", "containers", "pipeline", "requirements", "tests"}


def test_no_file_is_named_for_having_no_place() -> None:
    homeless = {"utils", "helpers", "common", "manager"}
    assert not [path for path in tracked() if path.stem in homeless or homeless & set(path.parts)]


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files"], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    return [Path(line) for line in listed.stdout.splitlines()]


def loaded_by(statement: str) -> set[str]:
    code = f"{statement}\nimport sys\nprint(*sys.modules)"
    shown = subprocess.run(
        [sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True, check=True
    )
    return set(shown.stdout.split())


def test_the_launcher_and_the_cheap_components_load_no_tensorflow() -> None:
    loaded = loaded_by(
        "import pipeline.cli, pipeline.dag, pipeline.local, components.ingest.core, components.export.core"
    )
    assert not loaded & {"tensorflow", "keras", "google.cloud.storage", "google.cloud.aiplatform"}


def test_help_needs_no_kfp() -> None:
    assert not loaded_by("import pipeline.cli") & {"kfp", "tensorflow", "numpy"}


def test_what_is_imported_uncollected_is_never_searched_and_collecting_goes_on_after_it() -> None:
    frozen = gc.get_freeze_count()
    with pytest.raises(ImportError), uncollected():
        assert not gc.isenabled()
        importlib.import_module("components.no_such_module")
    assert gc.isenabled()
    assert gc.get_freeze_count() > frozen
