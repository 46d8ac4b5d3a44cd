"""What a confined process can still do, tried in processes of their own: there is no way back."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

PROBE = """
import sys
from components.model.confinement import confine
is_whole = confine()
try:
    {attempt}
except OSError as error:
    print(type(error).__name__)
else:
    print("done")
print(is_whole)
"""
CHANGES = {
    "write": 'open({path!r}, "w").write("x" * 5)',
    "truncate": "import os; os.truncate({path!r}, 0)",
    "remove": "import os; os.remove({path!r})",
    "rename": "import os; os.rename({path!r}, {path!r} + '2')",
    "make": 'open({path!r} + "2", "x").close()',
    "folder": "import os; os.mkdir({path!r} + '2')",
    "link": "import os; os.symlink('/', {path!r} + '2')",
}


def tried(attempt: str) -> tuple[str, bool]:
    """Returns what came of an attempt in a confined process, and whether the kernel enforces all of it."""
    done = subprocess.run(
        [sys.executable, "-c", PROBE.format(attempt=attempt)], capture_output=True, text=True, check=True
    )
    outcome, is_whole = done.stdout.split()
    return outcome, is_whole == "True"


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_files_are_left_as_they_are(tmp_path: Path, change: str) -> None:
    path = tmp_path / "file"
    path.write_text("content", encoding="utf-8")
    outcome, is_whole = tried(change.format(path=str(path)))
    if not is_whole:
        pytest.skip("this kernel has no Landlock, or an old one")
    assert outcome == "PermissionError"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]
    assert path.read_text(encoding="utf-8") == "content"


def test_no_byte_is_written_anywhere(tmp_path: Path) -> None:
    """On every kernel."""
    outcome, _ = tried(CHANGES["write"].format(path=str(tmp_path / "file")))
    assert outcome in ("OSError", "PermissionError")
    assert not any(entry.stat().st_size for entry in tmp_path.iterdir())


def test_nothing_is_connected_to() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        outcome, is_whole = tried(f"import socket; socket.create_connection({server.getsockname()})")
    if not is_whole:
        pytest.skip("this kernel has no Landlock, or an old one")
    assert outcome == "PermissionError"


@pytest.mark.parametrize(
    "harmless",
    ["open(__import__('os').devnull).read()", "import threading; threading.Thread(target=print).start()"],
)
def test_reading_and_threads_stay(harmless: str) -> None:
    outcome, _ = tried(harmless)
    assert outcome == "done"
