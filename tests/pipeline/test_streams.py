"""stdout as people have it. Every test is a process of its own: the streams are the process's."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
LATIN = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "latin-1"}
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": ""}


def shell(line: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Runs a line of bash in which `$program` is ours."""
    return subprocess.run(
        ["bash", "-c", f'program="{sys.executable} -m pipeline"; {line}'],
        cwd=CHECKOUT,
        env=os.environ | variables,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )


def test_a_full_disk_behind_stdout_is_one_line_and_storages_exit_code() -> None:
    done = shell("$program env list > /dev/full")
    assert done.returncode == 5
    assert done.stderr == "error: stdout: cannot be written: No space left on device\n"


@pytest.mark.parametrize(
    "arguments", ["env list", "--help", "run --help", "compile --target kfp --output-dir $out"]
)
def test_a_reader_that_goes_is_no_error(arguments: str, tmp_path: Path) -> None:
    done = shell(
        f"$program {arguments} | true; echo ${{PIPESTATUS[0]}}", out=str(tmp_path), PYTHONUNBUFFERED=""
    )
    assert done.stdout == "141\n"
    assert done.stderr == ""


def test_with_stdout_closed_the_work_is_done_and_nothing_is_printed_into_the_first_file_that_is_opened(
    tmp_path: Path,
) -> None:
    done = shell(f"$program compile --target kfp --output-dir {tmp_path} >&-")
    assert (done.returncode, done.stderr) == (0, "")
    compiled = (tmp_path / "mnist-pipeline-kfp.yaml").read_text(encoding="utf-8")
    assert "wrote" not in compiled.partition("pipelineInfo")[0]


def test_with_every_stream_closed_the_exit_code_still_tells() -> None:
    assert shell("$program env list <&- >&- 2>&-").returncode == 0
    assert shell("$program env check no-such <&- >&- 2>&-").returncode == 2


def test_a_broken_stderr_does_not_change_the_exit_code() -> None:
    assert shell("$program env check no-such 2>/dev/full").returncode == 2


@pytest.mark.parametrize("variables", [ASCII, LATIN], ids=["ascii", "latin-1"])
def test_a_terminal_without_our_characters_gets_them_spelt_out(variables: dict[str, str]) -> None:
    done = shell("$program env check 'Zürich…'", **variables)
    assert done.returncode == 2
    assert done.stderr.startswith("error: --env=Z")
    assert "Traceback" not in done.stderr
