"""What the checkout gives to the programs around it: make, a shell, git on another system."""

import os
import subprocess
from pathlib import Path

import pytest

from components import revision

CHECKOUT = Path(__file__).parent.parent
SHOW_ARGUMENTS = '#!/bin/sh\nprintf "%s\\n" "$@"\n'
ODD = """a b'c"d;e`f&(g)*"""


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """The Makefile in a folder with everything installed, where `python` says what it was called with."""
    for name in ("Makefile", "pyproject.toml"):
        (tmp_path / name).write_bytes((CHECKOUT / name).read_bytes())
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / "requirements").mkdir()
    for name in ("uv", "local", "submit", "dev"):
        (tmp_path / "requirements" / f"{name}.txt").touch()
    for name in ("uv", "local", "submit", "dev"):
        (tmp_path / ".venv" / name).touch()
    (tmp_path / ".venv" / "bin" / "python").write_text(SHOW_ARGUMENTS, encoding="utf-8")
    (tmp_path / ".venv" / "bin" / "python").chmod(0o755)
    return tmp_path


def make(house: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", "--silent", *arguments],
        cwd=house,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("target", "variable", "option"),
    [
        ("run", "BUCKET", "--bucket"),
        ("run-docker", "BUCKET", "--bucket"),
        ("run-docker", "REGISTRY", "--registry"),
        ("run-docker", "TAG", "--tag"),
        ("push", "REGISTRY", "--registry"),
        ("push", "TAG", "--tag"),
        ("sbom", "TF_VARIANT", "--tf-variant"),
        ("submit", "ENV", "--env"),
        ("schedule", "ENV", "--env"),
    ],
)
@pytest.mark.parametrize("given", ["on the command line", "in the environment"])
def test_make_hands_on_what_a_person_gives_letter_by_letter(
    house: Path, target: str, variable: str, option: str, given: str
) -> None:
    if given == "in the environment":
        done = make(house, target, **{variable: ODD})
    else:
        done = make(house, target, f"{variable}={ODD}")
    assert done.returncode == 0, done.stderr
    shown = done.stdout.splitlines()
    assert shown[shown.index(option) + 1] == ODD


def test_make_leaves_arguments_that_were_not_given_out(house: Path) -> None:
    assert make(house, "run").stdout.split() == ["-m", "pipeline", "run"]
    assert make(house, "run", "ARGS=-p epochs=3").stdout.split()[-2:] == ["-p", "epochs=3"]


def test_make_in_a_hook_of_another_repository_does_not_name_that_to_its_recipes(house: Path) -> None:
    (house / ".venv" / "bin" / "python").write_text("#!/bin/sh\nenv\n", encoding="utf-8")
    shown = make(
        house, "run", GIT_DIR="/other/.git", GIT_INDEX_FILE="/other/index", GIT_CONFIG_GLOBAL="/mine"
    )
    names = {line.partition("=")[0] for line in shown.stdout.splitlines()}
    assert not {"GIT_DIR", "GIT_INDEX_FILE"} & names
    assert "GIT_CONFIG_GLOBAL" in names


def test_a_clone_on_a_system_with_other_line_ends_has_the_same_bytes(tmp_path: Path) -> None:
    """With `core.autocrlf` alone, no shell script would start, and no image's code digest would fit."""
    options = ["-c", "core.autocrlf=true", "-c", "core.eol=crlf"]
    command = ["git", *options, "checkout-index", "--all", f"--prefix={tmp_path}/"]
    subprocess.run(command, cwd=CHECKOUT, env=revision.git_environment(), check=True)
    written = [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".gz"]
    assert written
    assert [path for path in written if b"\r\n" in path.read_bytes()] == []
    for archive in CHECKOUT.glob("components/ingest/bundled/*/*.gz"):
        assert (tmp_path / archive.relative_to(CHECKOUT)).read_bytes() == archive.read_bytes()
