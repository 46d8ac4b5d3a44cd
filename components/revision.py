"""Which code is running: the git revision that an image was built from, or that of the checkout."""

import os
import re
import subprocess
import sys
from pathlib import Path

from components.errors import UsageError

VARIABLE = "PIPELINE_GIT_REVISION"  # the images carry it
IMAGE_VARIABLE = "PIPELINE_TRAIN_IMAGE"  # a compiled pipeline tells export what trained the model
UNKNOWN = "unknown"  # what an image carries that was built without being told
_CHECKOUT = Path(__file__).parents[1]
_SECONDS = 60
# By these a machine says, among others, whose checkouts git may read. The rest of GIT_* names a repository.
_CONFIGURATION = re.compile(r"GIT_CONFIG_(GLOBAL|SYSTEM|NOSYSTEM|COUNT|KEY_\d+|VALUE_\d+)")


def current() -> str | None:
    """Returns the commit's SHA, with `-dirty` where the code differs from it; None if nothing says.

    Git's reason for not telling goes to stderr: a model without provenance must not come as a surprise.
    """
    carried = os.environ.get(VARIABLE)
    if carried:
        return None if carried == UNKNOWN else carried
    try:
        return of_checkout(_CHECKOUT)
    except UsageError as error:
        print(f"warning: the code's revision is unknown: {error}", file=sys.stderr, flush=True)
        return None


def of_checkout(checkout: Path) -> str | None:
    """Returns the checkout's whole commit SHA, with `-dirty` when a file differs or is not yet tracked.

    Returns:
      None if it is no git checkout: a folder inside another repository is none either.

    Raises:
      UsageError: git is not installed or refuses, in its own words.
    """
    if not (checkout / ".git").exists():
        return None
    sha = _git(checkout, "rev-parse", "--verify", "HEAD")
    # Whatever a person's own configuration leaves out of their `git status`.
    is_dirty = _git(checkout, "status", "--porcelain", "--untracked-files=normal", "--ignore-submodules=none")
    return f"{sha}-dirty" if is_dirty else sha


def git_environment() -> dict[str, str]:
    """Returns this process's environment without GIT_DIR and its kin: a hook's name another repository."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("GIT_") or _CONFIGURATION.fullmatch(name)
    }


def _git(checkout: Path, *arguments: str) -> str:
    command = ["git", "-C", str(checkout), *arguments]
    environment = git_environment() | {"LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0"}  # only look
    try:
        done = subprocess.run(
            command,
            env=environment,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=_SECONDS,
            check=False,
        )
    except OSError as error:
        raise UsageError(f"{checkout}: git cannot be run: {error.strerror}") from None
    except subprocess.TimeoutExpired:
        raise UsageError(f"{checkout}: git does not answer within {_SECONDS} s") from None
    if done.returncode:
        raise UsageError(f"{checkout}: git says: {_words(done.stderr)}")
    return done.stdout.strip()


def _words(stderr: str) -> str:
    """Git's own words as one line; the advice that follows them on lines of its own belongs to them."""
    return " ".join(stderr.removeprefix("fatal: ").split()) or "nothing, but fails"
