"""README and docs/ are true: their commands run, their links lead somewhere, their tables are complete."""

import contextlib
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from typer.testing import CliRunner

from components import errors
from components.parameters import REQUIRED, Declaration
from pipeline import dag
from pipeline.cli import app
from pipeline.environments import PREFIX
from pipeline.images.references import COMPONENTS, repository, write_digests
from tests import pages
from tests.fakes import remotes
from tests.fakes.gcs_server import GcsServer
from tests.pages import CHECKOUT, Block, Reader

BLOCKS = {page: pages.blocks(page) for page in pages.PAGES}
ALL_BLOCKS = [block for found in BLOCKS.values() for block in found]
NOT_RUN = [block for block in ALL_BLOCKS if block.marker.startswith(pages.NOT_RUN)]
RUN = {page: [block for block in found if block.is_run] for page, found in BLOCKS.items()}
DIGESTS = {name: f"registry.example/team/{repository(name)}@sha256:{'a' * 64}" for name in COMPONENTS}
every_page = pytest.mark.parametrize("page", pages.PAGES, ids=pages.name_of)


# The commands.


@contextlib.contextmanager
def kubeflow() -> Iterator[dict[str, str]]:
    with remotes.remote("kfp", namespace="mnist") as remote:
        yield {f"{PREFIX}HOST": remote.server.url, f"{PREFIX}TOKEN": remotes.TOKEN}


@contextlib.contextmanager
def vertex() -> Iterator[dict[str, str]]:
    with remotes.remote("vertex") as remote:
        yield {
            f"{PREFIX}API_ENDPOINT": remote.server.url,
            f"{PREFIX}AUTH": "bearer",
            f"{PREFIX}TOKEN": remotes.TOKEN,
        }


@contextlib.contextmanager
def bucket() -> Iterator[dict[str, str]]:
    with GcsServer() as server:
        server.make_bucket("models")
        yield {"STORAGE_EMULATOR_HOST": server.url}


# What answers a page's commands in place of the platform that they are about, over its protocol.
REMOTE_ENDS = {
    "docs/kubeflow.md": kubeflow,
    "docs/vertex.md": vertex,
    "docs/schedules.md": kubeflow,
    "docs/publishing.md": bucket,
}


def variables(home: Path) -> dict[str, str]:
    """A shell's, in which nothing of these tests is set and no `.venv` is active."""
    ours = ("PYTHONPATH", "VIRTUAL_ENV", "PYTEST_", "STORAGE_EMULATOR_", "MAKE", "MFLAGS", "GIT_", PREFIX)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    own_bin = Path(sys.executable).parent.resolve()
    path = [entry for entry in kept["PATH"].split(os.pathsep) if Path(entry).resolve() != own_bin]
    own_cache = {"PRE_COMMIT_HOME": str(home / "pre-commit")}
    return {**kept, **own_cache, "PATH": os.pathsep.join(path), "COLUMNS": "120"}


@pytest.mark.parametrize("page", [page for page in pages.PAGES if RUN[page]], ids=pages.name_of)
def test_every_command_does_what_the_page_says(page: Path, tmp_path: Path) -> None:
    """As somebody would type them who follows the page from top to bottom on a fresh clone."""
    typed = [step for block in RUN[page] for step in pages.steps(block)]
    reader = Reader.at(tmp_path / "clone")
    write_digests(reader.home / "output" / "digests.json", DIGESTS)  # as `make push` does
    remote_end = REMOTE_ENDS.get(pages.name_of(page), contextlib.nullcontext)
    with remote_end() as found:
        done = list(reader.types(typed, {**variables(tmp_path), **(found or {})}))
    for step, code, shown in done:
        assert code == 0 or step.may_fail, f"{step.block}: {step.command}\nexit code {code}\n{shown}"
        assert pages.is_as_printed(step, shown), f"{step.block}: {step.command}\nprinted\n{shown}"
    assert len(done) == len(typed)


def pipeline_arguments(block: Block) -> Iterator[list[str]]:
    """What a block leads `python -m pipeline` to be called with, directly or by a target of the Makefile."""
    for step in pages.steps(block):
        lines = [step.command]
        if step.command.startswith("make "):
            dry_run = step.command.replace("make ", "make --dry-run ", 1)
            made = subprocess.run(dry_run, shell=True, cwd=CHECKOUT, capture_output=True, encoding="utf-8")
            assert made.returncode == 0, f"{block}: {step.command}\n{made.stderr}"
            lines = made.stdout.splitlines()
        for line in lines:
            if called := re.match(r"(?:\.venv/bin/)?python -m pipeline (.*)", line):
                yield shlex.split(called[1], comments=True)


@pytest.mark.parametrize("block", [*NOT_RUN, *pages.workflow_blocks()], ids=str)
def test_what_is_not_run_could_be_typed(block: Block) -> None:
    """Its targets, verbs and options exist."""
    assert block.language in pages.COMMANDS
    for arguments in pipeline_arguments(block):
        parsed = CliRunner().invoke(app, [*arguments, "--help"])
        assert parsed.exit_code == 0, f"{block}: {arguments}\n{parsed.output}"


@every_page
def test_no_command_hides_in_a_block_that_is_not_one(page: Path) -> None:
    for block in BLOCKS[page]:
        assert block.language in pages.LANGUAGES, f"{block}: ```{block.language}"
        if block.language == "text":
            assert not re.search(r"^(\$|make|python|\.venv/)", block.text, re.MULTILINE), str(block)
    markers = re.findall(r"<!-- (.*?) -->", page.read_text(encoding="utf-8"), re.DOTALL)
    assert markers == [block.marker for block in BLOCKS[page] if block.marker]  # none without its block
    for marker in markers:
        assert marker == pages.FIGURES_VARY or marker.startswith(pages.NOT_RUN), marker


# What a page names.


@every_page
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in pages.links(page):
        if link.startswith(("https://", "http://")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{page}: {link}"
        assert not anchor or anchor in pages.anchors(target), f"{page}: {link}"


ROOMS = "components|containers|docs|pipeline|requirements|tests|\\.github|\\.ci"
FILE = re.compile(rf"(?:{ROOMS})/[\w./*-]*")
BARE_FILE = re.compile(r"\w[\w-]*\.(?:py|yaml|md|sh|toml|txt)")


@every_page
def test_every_file_that_is_named_is_there(page: Path) -> None:
    """In prose and in blocks that nothing runs."""
    for span in pages.code_spans(page):
        if FILE.fullmatch(span):
            assert list(CHECKOUT.glob(span.rstrip("/"))), f"{page}: {span}"
        if BARE_FILE.fullmatch(span):
            assert span in {path.name for path in pages.tracked()}, f"{page}: {span}"
    for block in BLOCKS[page]:
        for name in [] if block.is_run else re.findall(rf"(?<![\w./-]){FILE.pattern}", block.text):
            assert list(CHECKOUT.glob(name)), f"{block}: {name}"


@every_page
def test_every_target_and_command_that_is_named_is_there(page: Path) -> None:
    targets = set(
        re.findall(r"^([a-z-]+):", (CHECKOUT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    )
    for span in pages.code_spans(page):
        if match := re.match(r"make ([a-z-]+)", span):
            assert match[1] in targets, f"{page}: {span}"


def test_readme_is_one_screen_to_read_before_running() -> None:
    readme = CHECKOUT / "README.md"
    assert len(readme.read_text(encoding="utf-8").splitlines()) <= 150
    for page in pages.PAGES[1:]:
        assert f"({pages.name_of(page)})" in readme.read_text(encoding="utf-8"), (
            f"README leads nowhere near {page.name}"
        )


# The tables of docs/cli.md.


def verbs(command: Any, path: tuple[str, ...] = ()) -> Iterator[str]:
    """The commands as one types them: `run`, `models list`."""
    if not hasattr(command, "commands"):
        yield " ".join(path)
    for name, inner in getattr(command, "commands", {}).items():
        yield from verbs(inner, (*path, name))


CLI = CHECKOUT / "docs" / "cli.md"


def test_every_verb_is_in_the_table() -> None:
    listed = []
    for names, _ in pages.table_rows(CLI, "Commands and parameters"):
        first, *others = re.findall(r"`([^`]+)`", names)
        group = f"{first.split()[0]} " if " " in first else ""
        listed += [first, *(f"{group}{other}" for other in others)]
    assert sorted(listed) == sorted(verbs(typer.main.get_command(app)))


def test_every_parameter_is_in_the_table_as_it_is_declared() -> None:
    declared = [parameter for kind in dag.INPUTS for parameter in kind.declarations()]
    rows = [[f"`{it.name}`", default_of(it), it.allowed, it.help] for it in declared]
    assert list(pages.table_rows(CLI, "Parameters")) == rows


def default_of(declaration: Declaration) -> str:
    """A default as one would type it."""
    value = declaration.default
    if value in (REQUIRED, ""):
        return ""
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


def test_every_exit_code_is_in_the_table() -> None:
    listed = set()
    for codes, _ in pages.table_rows(CLI, "Exit codes"):
        listed |= {int(code) for code in re.findall(r"\d+", codes)}
    assert {kind.exit_code for kind in kinds(errors.PipelineError)} <= listed


def kinds(error: type[errors.PipelineError]) -> Iterator[type[errors.PipelineError]]:
    yield error
    for kind in error.__subclasses__():
        yield from kinds(kind)
