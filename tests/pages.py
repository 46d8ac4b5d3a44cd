"""README.md, CONTRIBUTING.md and docs/ as the tests read them: blocks and their markers, links, tables.

A block of commands is `sh` (commands) or `console` (commands after `$`, each with what it prints). It is run
as it stands, unless the line before it says why not:

    <!-- not run: needs a cluster -->

`…` in what a command prints stands for anything; a line of it alone for any lines. After
`<!-- figures vary -->` any number or digest may stand where the page has one.
"""

import dataclasses
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import yaml

CHECKOUT = Path(__file__).parents[1]
PAGES = (CHECKOUT / "README.md", CHECKOUT / "CONTRIBUTING.md", *sorted(CHECKOUT.glob("docs/*.md")))
COMMANDS = ("sh", "console", "python")  # what is run; of the others nothing can be
LANGUAGES = (*COMMANDS, "mermaid", "text", "yaml")
FIGURES_VARY = "figures vary"
NOT_RUN = "not run: "

_FENCE = re.compile(r"(?P<before>[^\n]*)\n```(?P<language>\w*)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE)
_DIGEST_LENGTH = 12
_COLUMN_GAP = re.compile(r"(?:\\ ){2,}")  # escaped blanks; a pipe gets a tab where a terminal gets them
_FIGURE = re.compile(rf"\b[0-9a-f]{{{_DIGEST_LENGTH},}}\b|\d+")
_COMMENT = re.compile(r"<!-- (.*) -->")


@dataclasses.dataclass(frozen=True)
class Block:
    """One fenced block; `marker` is the HTML comment on the line before it, "" where there is none."""

    page: str
    line: int
    language: str
    text: str
    marker: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def is_run(self) -> bool:
        return self.language in COMMANDS and not self.marker.startswith(NOT_RUN)


@dataclasses.dataclass(frozen=True)
class Step:
    """One command of a block, and what the page says that it prints; None where it says nothing."""

    block: Block
    command: str
    printed: str | None = None

    @property
    def may_fail(self) -> bool:
        """Whether the page shows the error that the command ends with."""
        return re.search(r"^error: ", self.printed or "", re.MULTILINE) is not None


def workflow_blocks() -> list[Block]:
    """What the workflows type, as blocks that GitHub runs and no test."""
    found = []
    for path in sorted(CHECKOUT.glob(".github/workflows/*.yml")):
        for job in yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"].values():
            typed = [step["run"] for step in job["steps"] if "run" in step]
            found.append(Block(name_of(path), 0, "sh", "\n".join(typed), f"{NOT_RUN}GitHub does"))
    return found


def name_of(page: Path) -> str:
    return str(page.relative_to(CHECKOUT))


def blocks(page: Path) -> list[Block]:
    """Every fenced block, in order."""
    text = page.read_text(encoding="utf-8")
    found = []
    for match in _FENCE.finditer(text):
        comment = _COMMENT.fullmatch(match["before"])
        line = text.count("\n", 0, match.start("language")) + 1
        found.append(
            Block(name_of(page), line, match["language"], match["text"], comment[1] if comment else "")
        )
    return found


def steps(block: Block) -> list[Step]:
    """The block's commands."""
    if block.language == "python":
        return [Step(block, f".venv/bin/python - <<'END'\n{block.text}END")]
    whole = re.sub(r"\\\n\s*", "", block.text)
    if block.language == "sh":
        return [Step(block, line) for line in whole.splitlines() if line.partition("#")[0].strip()]
    first, *prompts = re.split(r"^\$ ", whole, flags=re.MULTILINE)
    assert first == "", f"{block}: a console block starts with `$ `"
    parts = [prompt.partition("\n") for prompt in prompts]
    return [Step(block, command, printed) for command, _, printed in parts]


def is_as_printed(step: Step, shown: str) -> bool:
    """Whether what the command printed is what the page says."""
    if step.printed is None:
        return True
    pattern = "".join(_pattern(line, step.block.marker) for line in step.printed.strip().splitlines())
    return re.fullmatch(pattern, "".join(f"{line}\n" for line in shown.strip().splitlines())) is not None


def _pattern(line: str, marker: str) -> str:
    if line.strip() == "…":
        return r"(?:.*\n)*"
    pattern = re.escape(line).replace("…", ".*")
    pattern = _FIGURE.sub(_any_like_it, pattern) if marker == FIGURES_VARY else pattern
    return _COLUMN_GAP.sub(r"(?:\\t|  +)", pattern) + r"\n"


def _any_like_it(figure: re.Match[str]) -> str:
    return r"\d+" if figure[0].isdigit() and len(figure[0]) < _DIGEST_LENGTH else "[0-9a-f]+"


def prose(page: Path) -> str:
    """The page without its fenced blocks."""
    return _FENCE.sub(r"\g<before>\n", page.read_text(encoding="utf-8"))


def code_spans(page: Path) -> list[str]:
    return re.findall(r"`([^`\n]+)`", prose(page))


def links(page: Path) -> list[str]:
    return re.findall(r"\]\(([^)\s]+)\)", prose(page))


def anchors(page: Path) -> set[str]:
    """What `#…` after a link to this page can name: its headings, as GitHub writes them."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def table_rows(page: Path, heading: str) -> Iterator[list[str]]:
    """The cells of the first table after a heading, without its head."""
    after = prose(page).split(f"# {heading}\n", 1)[1]
    table = re.search(r"(^\|.*\n)+", after, re.MULTILINE)
    assert table, f"{page}: no table after {heading}"
    for row in table[0].splitlines()[2:]:
        yield [cell.strip() for cell in row.strip("|").split("|")]


@dataclasses.dataclass(frozen=True)
class Reader:
    """Somebody who cloned the project, ran `make setup`, and types what the pages say, from the top down.

    The clone is of the files as they are, and is committed. Its `.venv` is the one that the tests run in,
    with stamps of its own: `make` finds everything installed.
    """

    home: Path

    @classmethod
    def at(cls, home: Path) -> "Reader":
        """Clones the checkout into `home`."""
        for name in tracked():
            (home / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(CHECKOUT / name, home / name)
        _git(home, "init")
        _git(home, "add", "--all")
        _git(home, "commit", "--message", "As the pages say")
        (home / ".venv").mkdir()
        for path in Path(sys.prefix).iterdir():
            if path.is_dir() or path.suffix == ".cfg":
                (home / ".venv" / path.name).symlink_to(path)
        for stamp in ("uv", "local", "submit", "dev"):
            (home / ".venv" / stamp).touch()
        return cls(home)

    def types(self, typed: list[Step], variables: Mapping[str, str]) -> Iterator[tuple[Step, int, str]]:
        """Types the commands into one shell until one fails; yields each with its exit code and output."""
        folder = self.home / "output" / "typed"
        folder.mkdir(parents=True)
        script = [
            f"{{ {step.command}\n}} </dev/null >{folder}/{number} 2>&1\n"
            f"code=$?; echo $code >{folder}/{number}.code\n"
            + ("(exit $code)\n" if step.may_fail else "[ $code = 0 ] || exit\n")
            for number, step in enumerate(typed)
        ]
        subprocess.run(
            ["sh"], input="".join(script), text=True, cwd=self.home, env=dict(variables), timeout=240
        )
        for number, step in enumerate(typed):
            code = folder / f"{number}.code"
            if code.exists():
                yield (
                    step,
                    int(code.read_text(encoding="utf-8")),
                    (folder / str(number)).read_text(encoding="utf-8"),
                )


def tracked() -> list[Path]:
    """The checkout's files, those that git does not know yet included."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=CHECKOUT, capture_output=True, encoding="utf-8", check=True)
    return [Path(name) for name in listed.stdout.splitlines() if (CHECKOUT / name).is_file()]


def _git(home: Path, *arguments: str) -> None:
    nobody = ("-c", "user.name=A reader", "-c", "user.email=reader@example.com")
    subprocess.run(["git", *nobody, *arguments], cwd=home, check=True, capture_output=True)
