import os
import shutil
import subprocess
from pathlib import Path

import pytest

from components import revision
from components.errors import UsageError


def make_repository(folder: Path, *files: str) -> str:
    """Commits the files, each with its name as content; returns the commit."""
    folder.mkdir(parents=True)
    for name in files:
        (folder / name).write_text(name, encoding="utf-8")
    git = ["git", "-C", str(folder), "-c", "user.name=test", "-c", "user.email=test@example.invalid"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", str(folder)]):
        subprocess.run([*git, *command], env=revision.git_environment(), check=True)
    shown = subprocess.run(
        [*git, "rev-parse", "HEAD"],
        env=revision.git_environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    return shown.stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    make_repository(tmp_path / "checkout", "dag.py")
    return tmp_path / "checkout"


def commit_of(checkout: Path) -> str:
    found = revision.of_checkout(checkout)
    assert found
    return found.removesuffix("-dirty")


def test_a_clean_checkout_is_its_commit(checkout: Path) -> None:
    found = revision.of_checkout(checkout)
    assert found
    assert len(found) == 40
    assert not found.endswith("-dirty")


@pytest.mark.parametrize("name", ["dag.py", "new.py"])
def test_a_changed_file_and_an_untracked_one_are_both_dirty(checkout: Path, name: str) -> None:
    (checkout / name).write_text("changed", encoding="utf-8")
    assert revision.of_checkout(checkout) == f"{commit_of(checkout)}-dirty"


def test_a_persons_own_git_status_does_not_decide_what_is_dirty(checkout: Path) -> None:
    setting = ["config", "status.showUntrackedFiles", "no"]
    subprocess.run(["git", "-C", checkout, *setting], env=revision.git_environment(), check=True)
    (checkout / "new.py").touch()
    assert str(revision.of_checkout(checkout)).endswith("-dirty")


def test_a_hook_of_another_repository_does_not_lend_its_commit(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = commit_of(checkout)
    other = make_repository(tmp_path / "other", "other.txt")
    assert own != other
    for name, value in {
        "GIT_DIR": ".git",
        "GIT_INDEX_FILE": ".git/index",
        "GIT_WORK_TREE": ".",
        "GIT_PREFIX": "",
        "GIT_OBJECT_DIRECTORY": ".git/objects",
    }.items():
        monkeypatch.setenv(name, str(tmp_path / "other" / value))
    assert revision.of_checkout(checkout) == own


def test_what_says_whose_checkouts_may_be_read_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = {"GIT_CONFIG_COUNT": "0", "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_KEY_0": "safe.directory"}
    for name, value in {**kept, "GIT_DIR": "/x", "GIT_CONFIG": "/x", "GIT_CONFIG_PARAMETERS": "x"}.items():
        monkeypatch.setenv(name, value)
    assert {name: value for name, value in revision.git_environment().items() if name in kept} == kept
    assert not {"GIT_DIR", "GIT_CONFIG", "GIT_CONFIG_PARAMETERS"} & set(revision.git_environment())


def test_a_folder_inside_another_repository_has_no_revision_of_its_own(checkout: Path) -> None:
    (checkout / "vendored").mkdir()
    assert revision.of_checkout(checkout / "vendored") is None


def test_git_that_refuses_is_quoted_and_a_model_goes_without_its_revision_not_unsaid(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")  # git's own switch for its own tests
    monkeypatch.setattr(revision, "git_environment", lambda: dict(os.environ))
    with pytest.raises(
        UsageError, match=r"git says: detected dubious ownership in repository at .*safe\.dir"
    ):
        revision.of_checkout(checkout)
    monkeypatch.delenv(revision.VARIABLE, raising=False)
    monkeypatch.setattr(revision, "_CHECKOUT", checkout)
    assert revision.current() is None
    warning = capsys.readouterr().err
    assert warning.startswith("warning: the code's revision is unknown: ")
    assert "dubious ownership" in warning
    assert warning.count("\n") == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_checkout_of_another_user_is_refused_in_gits_words(checkout: Path) -> None:
    for path in (checkout, checkout / ".git"):
        shutil.chown(path, user="nobody")
    with pytest.raises(UsageError, match="dubious ownership"):
        revision.of_checkout(checkout)


def test_without_git_it_is_said(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(checkout))
    with pytest.raises(UsageError, match="git cannot be run: No such file"):
        revision.of_checkout(checkout)


@pytest.mark.parametrize(
    ("carried", "expected"), [("abc", "abc"), ("abc-dirty", "abc-dirty"), ("unknown", None)]
)
def test_an_image_says_what_it_was_built_from(
    monkeypatch: pytest.MonkeyPatch, carried: str, expected: str | None
) -> None:
    """`unknown` is what an image says that was built by hand: two of those are not the same code."""
    monkeypatch.setenv(revision.VARIABLE, carried)
    assert revision.current() == expected
