"""`mnist-pipeline data`: what a person types, and the one line that a mistake is."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from components.batches.labelled import Labelled
from components.errors import DataError, UsageError
from components.scan.core import scan
from pipeline.commands.data import data_app
from tests.components.batches.digits import idx_pair, mnist, noise
from tests.components.ingest.test_additions import INVERTED, ingest

TEST = mnist("t10k")


def run(*arguments: object) -> Any:
    """Runs a command; returns its JSON."""
    result = CliRunner().invoke(data_app, [*map(str, arguments), "--json"])
    if result.exception:
        raise result.exception
    return json.loads(result.stdout)


def said(*arguments: object) -> str:
    result = CliRunner().invoke(data_app, list(map(str, arguments)))
    if result.exception:
        raise result.exception
    return result.stdout


@pytest.fixture(params=["local", "gcs"])
def uri(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "local":
        return str(tmp_path / "batches")
    uri: str = request.getfixturevalue("gcs").new_bucket()
    return uri


def test_add_list_remove(uri: str, tmp_path: Path) -> None:
    files = idx_pair(tmp_path / "files", INVERTED)
    added = run("add", *files, "--to", uri, "--name", "one", "--synthetic")
    assert (added["name"], added["rows"], added["synthetic"]) == ("one", 300, True)
    assert added["findings"] == ["300 of 300 images have a bright border: dark digits on light paper"]
    assert sum(added["class_counts"]) == 300
    [listed] = run("list", "--from", uri)
    assert listed == {key: value for key, value in added.items() if key != "findings"} | {"removed": False}
    assert said("remove", "one", "--from", uri) == "one removed\n"
    assert said("remove", "one", "--from", uri) == "one was removed already\n"
    assert run("list", "--from", uri)[0]["removed"] is True
    assert said("list", "--from", uri).splitlines()[1].startswith("one\t300\t")


def test_check_says_what_ingest_says(tmp_path: Path) -> None:
    uri = str(tmp_path / "batches")
    run("add", *idx_pair(tmp_path / "first", INVERTED), "--to", uri, "--name", "b")
    some = Labelled(
        np.concatenate([INVERTED.images[:40], TEST.images[:20], 255 - TEST.images[400:700]]),
        np.concatenate([INVERTED.labels[:40], TEST.labels[:20], TEST.labels[400:700]]),
    )
    files = idx_pair(tmp_path / "second", some)
    for name in ("a", "c"):  # before and after the batch that is there: the first of two equal rows counts
        checked = run("check", *files, "--against", uri, "--name", name)
        place = tmp_path / f"place-{name}"
        run("add", *idx_pair(tmp_path / "first", INVERTED), "--to", place, "--name", "b")
        run("add", *files, "--to", place, "--name", name)
        told = {each["name"]: each for each in ingest(tmp_path / "data", str(place))["slices"]}[name]
        assert checked["findings"] == told["findings"]
        assert checked["drift"] == {key: round(value, 3) for key, value in told["drift"].items()}
        assert {key: checked[key] for key in told["dropped"]} == told["dropped"]
        assert (checked["train"], checked["validation"]) == (told["train_rows"], told["validation_rows"])
    assert run("check", *files)["duplicates"] == 0  # nothing is known of other batches
    before = scan(uri)
    with pytest.raises(DataError, match=r"these files: drift .* above max_drift=0\.2"):
        run("check", *files, "--max-drift", "0.2")
    with pytest.raises(UsageError, match="has another batch of that name"):
        run("check", *files, "--against", uri, "--name", "b")
    assert scan(uri) == before


@pytest.mark.parametrize(
    ("arguments", "exit_code", "message"),
    [
        (["add", "none", "--to", "TO", "--name", "a"], 2, "none does not exist"),
        (["add", "digits.npz", "--to", "TO", "--name", "../a"], 2, "no batch can be called so"),
        (["add", "ten.npz", "--to", "TO", "--name", "a"], 3, "labels: 10 is among them, must be from 0 to 9"),
        (["add", "digits.npz", "--to", "s3://x", "--name", "a"], 2, "--to='s3://x': unknown scheme"),
        (["list", "--from", "TO"], 3, "no such directory"),
        (["remove", "a", "--from", "TO"], 3, "no such directory"),
        (["check", "ten.npz"], 3, "labels: 10 is among them"),
        (["check", "digits.npz", "--max-drift", "0.01"], 3, "above max_drift=0.01"),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_written(
    tmp_path: Path, arguments: list[str], exit_code: int, message: str
) -> None:
    rows = noise(1, 20)
    np.savez(tmp_path / "digits.npz", images=rows.images, labels=rows.labels)
    np.savez(tmp_path / "ten.npz", images=rows.images, labels=np.full(20, 10))
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", "data", *arguments],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=60,
    )
    assert (done.returncode, len(done.stderr.splitlines())) == (exit_code, 1), done.stderr
    assert message in done.stderr
    assert not (tmp_path / "TO").exists()
