"""Who may import whom, and what an import may cost. The rules are those of docs/development.md."""

import ast
import functools
import gc
import graphlib
import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from components import revision
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


@functools.cache
def imports(path: Path) -> set[str]:
    """Everything the module imports, wherever in it."""
    return {name for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) for name in imported(node)}


def top_imports(path: Path) -> set[str]:
    return {name for node in ast.parse(path.read_text(encoding="utf-8")).body for name in imported(node)}


def under(name: str, *packages: str) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def component_of(path: Path) -> str | None:
    parts = path.relative_to(CHECKOUT).parts
    return parts[1] if parts[0] == "components" and parts[1] in COMPONENTS else None


def rooms(path: Path) -> tuple[str, ...]:
    """The folders that the module lies in, from the top: `("components", "storage")`."""
    return path.relative_to(CHECKOUT).parts[:-1]


# A wing's modules may import themselves, what every component knows, and the wings named here.
BELOW = {
    "components.storage": (),
    "components.model": (),
    "components.batches": ("components.storage", "components.model"),
    "components.registry": ("components.storage", "components.model"),
    "components.judging": (
        "components.storage",
        "components.model",
        "components.batches",
        "components.registry",
    ),
}
KNOWN_TO_ALL = {
    f"components.{path.stem}" for path in (CHECKOUT / "components").glob("*.py") if path.stem != "__init__"
}


@pytest.mark.parametrize("path", [path for path in SOURCES if "pipeline" in rooms(path)], ids=module_of)
def test_what_the_launcher_may_import(path: Path) -> None:
    names = imports(path)
    for component in COMPONENTS:
        of_it = {name.split(".")[2] for name in names if under(name, f"components.{component}")}
        assert of_it <= {"component", "settings"}, f"{path}: looks into {component}"
    commands = {name for name in names if under(name, "pipeline.commands")}
    if rooms(path) == ("pipeline", "commands"):
        shared = {"pipeline.commands.options", "pipeline.commands.tables"}
        assert commands <= shared, f"{path}: a command imports another's module"
    elif module_of(path) != "pipeline.cli":
        assert not commands, f"{path}: only cli imports commands"


@pytest.mark.parametrize("path", [path for path in SOURCES if "components" in rooms(path)], ids=module_of)
def test_what_a_component_may_import(path: Path) -> None:
    names = {name for name in imports(path) if under(name, "components", "pipeline")}
    assert not [name for name in names if under(name, "pipeline")], path
    for other in COMPONENTS - {component_of(path)}:  # what another one can be told is no secret
        of_it = {name.split(".")[2] for name in names if under(name, f"components.{other}")}
        assert of_it <= {"settings"}, f"{path}: looks into {other}"
    wing = ".".join(rooms(path))
    if wing in BELOW:
        allowed = (wing, *BELOW[wing], *KNOWN_TO_ALL)
        assert not [name for name in names if not under(name, *allowed)], f"{path}: looks up"


@pytest.mark.parametrize("path", SOURCES, ids=module_of)
def test_who_may_import_what(path: Path) -> None:
    names = imports(path)
    if path.is_relative_to(CHECKOUT / "pipeline"):
        assert not [name for name in names if under(name, *TENSORFLOW)]
        return
    if path.name == "component.py":
        assert not [name for name in top_imports(path) if not under(name, "kfp", "typing")]
    else:
        assert not [name for name in names if under(name, "kfp")], f"{path}: only faces know KFP"
    assert not [name for name in top_imports(path) if under(name, *CLOUD_SDKS)], path
    if path.name not in MAY_IMPORT_TENSORFLOW:
        assert not [name for name in top_imports(path) if under(name, *TENSORFLOW)], path


def test_no_module_imports_itself_by_a_detour() -> None:
    """Imports inside functions count too: a circle that is not met at once is still a circle."""
    modules = {module_of(path): path for path in SOURCES}
    targets = {
        name: {known for known in modules for found in imports(path) if under(found, known) and known != name}
        for name, path in modules.items()
    }
    # `from a.b import c` names a.b.c; where that is a module, its package is not what is imported.
    packages = {name for name, path in modules.items() if path.name == "__init__.py"}
    sorter = graphlib.TopologicalSorter({name: found - packages for name, found in targets.items()})
    try:
        sorter.prepare()
    except graphlib.CycleError as error:
        pytest.fail(f"a circle of imports: {' -> '.join(error.args[1])}")


@pytest.mark.parametrize("path", SOURCES, ids=module_of)
def test_no_future_annotations_in_faces_and_packages_are_empty(path: Path) -> None:
    if path.name == "component.py":
        assert "__future__.annotations" not in imports(path)
    if path.name == "__init__.py":
        assert path.read_text(encoding="utf-8") == ""


@pytest.mark.parametrize("path", SOURCES, ids=module_of)
def test_importing_reads_no_environment(path: Path) -> None:
    """At the top level of a module; inside a function it is that function's business."""
    for statement in ast.parse(path.read_text(encoding="utf-8")).body:
        if not isinstance(statement, ast.FunctionDef | ast.ClassDef):
            for node in ast.walk(statement):
                assert not (isinstance(node, ast.Attribute) and node.attr in {"environ", "getenv"}), path


IMPORT_IN_TEXT = re.compile(
    r"^[> ]*from ((?:components|pipeline|tests)[\w.]*) import ([\w, ]+)", re.MULTILINE
)
PAGES = [CHECKOUT / "README.md", *CHECKOUT.glob("docs/*.md")]


def texts(path: Path) -> Iterator[str]:
    """A page, or the text constants of a module."""
    if path.suffix != ".py":
        yield path.read_text(encoding="utf-8")
        return
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def is_there(module: str, name: str) -> bool:
    """Whether `from module import name` finds something, without importing it."""
    path = CHECKOUT.joinpath(*module.split("."))
    if path.is_dir():
        return (path / f"{name}.py").is_file() or (path / name).is_dir()
    if not path.with_suffix(".py").is_file():
        return False
    body = ast.parse(path.with_suffix(".py").read_text(encoding="utf-8")).body
    made = {node.id for statement in body for node in ast.walk(statement) if isinstance(node, ast.Name)}
    return name in made | {node.name for node in body if isinstance(node, ast.FunctionDef | ast.ClassDef)}


@pytest.mark.parametrize(
    "path", sorted([*CHECKOUT.glob("tests/**/*.py"), *PAGES]), ids=lambda path: path.stem
)
def test_code_that_stands_in_text_imports_what_is_there(path: Path) -> None:
    """No type checker reads it, and nothing mends it when a module moves."""
    found = [match for text in texts(path) for match in IMPORT_IN_TEXT.findall(text)]
    wrong = [
        f"from {module} import {name}"
        for module, names in found
        for name in names.replace(" ", "").split(",")
        if not is_there(module, name)
    ]
    assert not wrong, f"{path}: {wrong}"


def test_the_top_level_is_the_house() -> None:
    folders = {path.parts[0] for path in tracked() if len(path.parts) > 1}
    assert folders == {
        ".ci",
        ".github",
        "components",
        "containers",
        "docs",
        "pipeline",
        "requirements",
        "tests",
    }


def test_no_file_is_named_for_having_no_place() -> None:
    homeless = {"utils", "helpers", "common", "manager"}
    assert not [path for path in tracked() if path.stem in homeless or homeless & set(path.parts)]


def tracked() -> list[Path]:
    command, environment = ["git", "ls-files"], revision.git_environment()  # not a hook's repository
    listed = subprocess.run(
        command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=True
    )
    return [Path(line) for line in listed.stdout.splitlines()]


def loaded_by(statement: str) -> set[str]:
    code = f"{statement}\nimport sys\nprint(*sys.modules)"
    shown = subprocess.run(
        [sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True, check=True
    )
    return set(shown.stdout.split())


def test_the_launcher_and_the_cheap_components_load_no_tensorflow() -> None:
    loaded = loaded_by(
        "import pipeline.cli, pipeline.local.launch, components.ingest.core, components.export.core"
    )
    assert not loaded & {"tensorflow", "keras", "google.cloud.storage", "google.cloud.aiplatform"}


def test_help_needs_no_kfp() -> None:
    assert not loaded_by("import pipeline.cli") & {"kfp", "tensorflow", "numpy", "pydantic", "rich"}


def test_what_is_imported_uncollected_is_never_searched_and_collecting_goes_on_after_it() -> None:
    frozen = gc.get_freeze_count()
    with pytest.raises(ImportError), uncollected():
        assert not gc.isenabled()
        importlib.import_module("components.no_such_module")
    assert gc.isenabled()
    assert gc.get_freeze_count() > frozen
