"""`python -m pipeline models`, on both kinds of bucket."""

import dataclasses
import json
import os
import re
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from components.errors import DataError, PipelineError, StorageError, UsageError
from components.registry import collecting
from components.registry.files import hash_model
from components.registry.publishing import publish
from components.registry.reading import read_champion, read_pointer
from components.storage.bucket import Bucket
from components.storage.opening import open_bucket
from pipeline.commands.models import models_app
from tests.components.registry.test_reading import contents, make_model, publish_seed
from tests.fakes.gcs_fixtures import Gcs
from tests.fakes.gcs_server import Fault

TWO_DAYS = 2 * 86_400.0


@pytest.fixture(params=["local", "gcs"])
def bucket(request: pytest.FixtureRequest, tmp_path: Path) -> Bucket:
    if request.param == "local":
        (tmp_path / "bucket").mkdir()
        return open_bucket(str(tmp_path / "bucket"))
    return open_bucket(request.getfixturevalue("gcs").new_bucket() + "/prefix")


def run(bucket: Bucket, *arguments: str) -> str:
    result = CliRunner().invoke(models_app, [*arguments, "--bucket", bucket.uri])
    if result.exception:
        raise result.exception
    return result.stdout


def lines(text: str) -> list[list[str]]:
    return [line.split("\t") for line in text.splitlines()]


def champion(bucket: Bucket) -> str:
    found = read_champion(bucket)
    assert found is not None
    return found.version


def overwrite(bucket: Bucket, name: str, data: bytes) -> None:
    stored = bucket.stat(name)
    bucket.write(name, data, generation=stored.generation if stored else 0)


def flip(bucket: Bucket, name: str) -> None:
    found = bucket.read(name)
    assert found is not None
    overwrite(bucket, name, found.data[:-1] + bytes([found.data[-1] ^ 1]))


def test_list_marks_the_champion(bucket: Bucket, tmp_path: Path) -> None:
    assert lines(run(bucket, "list")) == [["version", "accuracy", "created", "champion", "provenance"]]
    versions = [publish_seed(bucket, tmp_path, seed).version for seed in (1, 2, 3)]
    rows = lines(run(bucket, "list"))[1:]
    assert [row[0] for row in rows] == [version[:12] for version in reversed(versions)]
    assert [row[3] for row in rows] == ["champion", "", ""]


def test_show_has_provenance_and_files(bucket: Bucket, tmp_path: Path) -> None:
    version = publish_seed(bucket, tmp_path, 7).version
    shown = dict(lines(run(bucket, "show", version[:8]))[1:])
    assert shown["version"] == version
    assert shown["seed"] == "7"
    assert shown["file saved_model.pb"].startswith("7 bytes, sha256 ")
    assert dict(lines(run(bucket, "show"))[1:]) == shown


def test_json_has_whole_versions_and_typed_values(bucket: Bucket, tmp_path: Path) -> None:
    assert json.loads(run(bucket, "list", "--json")) == []
    first, second = (publish_seed(bucket, tmp_path, seed).version for seed in (1, 2))
    listed = json.loads(run(bucket, "list", "--json"))
    assert [(row["version"], row["champion"]) for row in listed] == [(second, True), (first, False)]
    assert [row["provenance"]["seed"] for row in listed] == [2, 1]
    shown = json.loads(run(bucket, "show", first[:8], "--json"))
    assert shown["uri"] == f"{bucket.uri}/versions/{first}/model"
    sizes = {file["path"]: file["size"] for file in shown["files"]}
    assert sizes["saved_model.pb"] == 7
    assert {name: shown[name] for name in listed[1]} == listed[1]


def test_a_refused_version_is_listed_with_its_reason_and_is_an_error(bucket: Bucket, tmp_path: Path) -> None:
    first = publish_seed(bucket, tmp_path, 1).version
    publish_seed(bucket, tmp_path, 2)
    overwrite(bucket, f"versions/{first}/manifest.json", b"{}")
    for json_ in ([], ["--json"]):
        result = CliRunner().invoke(models_app, ["list", "--bucket", bucket.uri, *json_])
        assert isinstance(result.exception, DataError)
        assert "1 of 2 versions are refused" in str(result.exception)
    refused = json.loads(result.stdout)[1]
    assert (refused["version"], "format" in refused["refused"]) == (first, True)


def test_verify_notices_one_flipped_bit_anywhere(bucket: Bucket, tmp_path: Path) -> None:
    publish_seed(bucket, tmp_path, 1)
    publish_seed(bucket, tmp_path, 2)
    assert "verified 2 of 2 versions, champion" in run(bucket, "verify")
    served = champion(bucket)
    for name in sorted(contents(bucket)):
        if name.startswith(("versions/", "serving/2/", "champion.json")):
            flip(bucket, name)
            with pytest.raises(DataError):
                run(bucket, "verify")
            if f"{served}/model" in name:
                with pytest.raises(DataError, match="altered"):
                    run(bucket, "verify", "champion")
            flip(bucket, name)
    assert "verified 2 of 2" in run(bucket, "verify")


def test_verify_of_nothing_is_not_a_success(bucket: Bucket) -> None:
    with pytest.raises(DataError, match="nothing is published"):
        run(bucket, "verify")


def test_roll_back_and_promote(bucket: Bucket, tmp_path: Path) -> None:
    first, second, third = (publish_seed(bucket, tmp_path, seed).version for seed in (1, 2, 3))
    run(bucket, "rollback")
    assert champion(bucket) == second
    run(bucket, "rollback", first[:10])
    assert champion(bucket) == first
    run(bucket, "promote", third)
    assert champion(bucket) == third
    assert "was the champion already" in run(bucket, "promote", third)
    assert "verified 3 of 3" in run(bucket, "verify")
    assert any(name.startswith("serving/6/") for name in contents(bucket))


def test_a_damaged_version_is_not_promoted(bucket: Bucket, tmp_path: Path) -> None:
    first = publish_seed(bucket, tmp_path, 1).version
    second = publish_seed(bucket, tmp_path, 2).version
    flip(bucket, f"versions/{first}/model/saved_model.pb")
    before = contents(bucket)
    for command in (("rollback",), ("promote", first)):
        with pytest.raises(DataError, match="altered"):
            run(bucket, *command)
    assert contents(bucket) == before
    assert champion(bucket) == second


def test_rolling_back_again_goes_further_back(bucket: Bucket, tmp_path: Path) -> None:
    first, second, _ = (publish_seed(bucket, tmp_path, seed).version for seed in (1, 2, 3))
    for expected in (second, first):
        run(bucket, "rollback")
        assert champion(bucket) == expected
    with pytest.raises(UsageError, match=f"no champion before {first[:12]}; name a version"):
        run(bucket, "rollback")
    assert champion(bucket) == first


def test_rollback_needs_somewhere_to_go(bucket: Bucket, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no champion yet"):
        run(bucket, "rollback")
    publish_seed(bucket, tmp_path, 1)
    with pytest.raises(UsageError, match="no champion before"):
        run(bucket, "rollback")


def test_download_is_verified_and_all_or_nothing(bucket: Bucket, tmp_path: Path) -> None:
    version = publish_seed(bucket, tmp_path, 1).version
    run(bucket, "download", str(tmp_path / "copy"))
    assert hash_model(tmp_path / "copy") == version
    flip(bucket, f"versions/{version}/model/variables/variables.index")
    with pytest.raises(DataError, match="altered"):
        run(bucket, "download", str(tmp_path / "other"))
    assert not [path for path in tmp_path.iterdir() if "other" in path.name]


def test_a_full_disk_is_said_and_leaves_nothing(bucket: Bucket, tmp_path: Path) -> None:
    """A limit on the size of files stands for the full disk: the kernel refuses in the same place."""
    publish_seed(bucket, tmp_path, 1)
    command = [sys.executable, "-m", "pipeline", "models", "download", str(tmp_path / "copy")]
    done = subprocess.run(
        ["bash", "-c", 'ulimit -f 1; exec "$@"', "bash", *command, "--bucket", bucket.uri],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 5
    assert re.search(r"(cannot be written|cannot be kept here): File too large$", done.stderr.strip())
    assert len(done.stderr.splitlines()) == 1
    assert not [path for path in tmp_path.iterdir() if "copy" in path.name]


@pytest.mark.parametrize("place", ["file/copy", "/proc/copy"])
def test_a_place_that_cannot_be_written_is_said(bucket: Bucket, tmp_path: Path, place: str) -> None:
    publish_seed(bucket, tmp_path, 1)
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(StorageError, match=r"^directory='.*copy': cannot be written: "):
        run(bucket, "download", str(tmp_path / place))


@pytest.mark.parametrize("version", ["", "abcdef", "../..", "zzzzzz", "abc"])
def test_an_unknown_version_lists_the_known_ones(bucket: Bucket, tmp_path: Path, version: str) -> None:
    known = publish_seed(bucket, tmp_path, 1).version
    with pytest.raises(UsageError, match=known[:12]):
        run(bucket, "promote", version)


def collected(bucket: Bucket, keep: int) -> list[str]:
    doomed = collecting.plan(bucket, keep, now=time.time() + TWO_DAYS)
    return [each.prefix for each in collecting.collect(bucket, doomed)]


def test_gc_spares_everything_of_the_last_day(bucket: Bucket, tmp_path: Path) -> None:
    for seed in (1, 2, 3):
        publish_seed(bucket, tmp_path, seed)
    bucket.write(f"versions/{'a' * 64}/model/saved_model.pb", b"staged", generation=0)
    before = contents(bucket)
    assert "0 of 0 gone" in run(bucket, "gc", "--keep", "0")
    assert contents(bucket) == before


def test_gc_keeps_the_champion_and_the_newest(bucket: Bucket, tmp_path: Path) -> None:
    versions = [publish_seed(bucket, tmp_path, seed).version for seed in (1, 2, 3, 4)]
    run(bucket, "rollback", versions[0])
    bucket.write(f"versions/{'a' * 64}/model/saved_model.pb", b"staged", generation=0)
    bucket.write("serving/99999/saved_model.pb", b"another tool's", generation=0)
    bucket.write("notes.txt", b"a person's", generation=0)
    assert collected(bucket, keep=1) == [
        f"versions/{version}" for version in sorted([versions[1], versions[2], "a" * 64])
    ] + [f"serving/{number}" for number in (1, 2, 3, 4)]
    kept = {name.split("/")[1] for name in contents(bucket) if "/" in name}
    assert kept == {versions[0], versions[3], "5", "99999"}
    assert "verified 2 of 2" in run(bucket, "verify")
    assert collected(bucket, keep=0) == [f"versions/{versions[3]}"]
    assert collected(bucket, keep=0) == []


def test_gc_leaves_a_version_that_was_taken_up_since(bucket: Bucket, tmp_path: Path) -> None:
    first = publish_seed(bucket, tmp_path, 1).version
    publish_seed(bucket, tmp_path, 2)
    doomed = collecting.plan(bucket, 0, now=time.time() + TWO_DAYS)
    name = f"versions/{first}/manifest.json"
    found = bucket.read(name)
    assert found is not None
    bucket.write(name, found.data, generation=found.generation)
    assert [each.prefix for each in collecting.collect(bucket, doomed)] == ["serving/1"]
    assert "verified 2 of 2" in run(bucket, "verify")


@pytest.fixture
def directory(tmp_path: Path) -> Bucket:
    """A local bucket, whose files' times a test can set."""
    (tmp_path / "bucket").mkdir()
    return open_bucket(str(tmp_path / "bucket"))


def age(bucket: Bucket, *prefixes: str, seconds: float = TWO_DAYS) -> None:
    """Makes what lies under the prefixes look as if it was written so long ago."""
    moment = time.time() - seconds
    for stored in [stored for prefix in prefixes for stored in bucket.list(prefix)]:
        os.utime(Path(bucket.uri) / stored.name, (moment, moment))


def moved_long_ago(bucket: Bucket, *, but_the_last: bool) -> None:
    """Rewrites the times of the pointer's moves as two days old, all or all but the one that made it."""
    pointer, generation = read_pointer(bucket)
    assert pointer is not None
    then = (datetime.now(UTC) - timedelta(days=2)).isoformat(timespec="microseconds")
    old = [dataclasses.replace(move, moved=then) for move in (pointer.current, *pointer.history)]
    current = pointer.current if but_the_last else old[0]
    earlier = dataclasses.replace(pointer, current=current, history=tuple(old[1:]))
    bucket.write("champion.json", earlier.encode(), generation=generation)


def planned(bucket: Bucket, keep: int = 0) -> list[str]:
    return [each.prefix for each in collecting.plan(bucket, keep)]


def test_gc_spares_what_the_pointer_named_in_the_last_day_however_old_it_is(
    directory: Bucket, tmp_path: Path
) -> None:
    first, second, third = (publish_seed(directory, tmp_path, seed).version for seed in (1, 2, 3))
    run(directory, "rollback", second)
    age(directory, "versions/", "serving/")
    moved_long_ago(directory, but_the_last=True)  # a minute ago readers still followed it to the third
    assert planned(directory) == [f"versions/{first}", "serving/1", "serving/2"]
    moved_long_ago(directory, but_the_last=False)
    assert planned(directory) == [f"versions/{name}" for name in sorted([first, third])] + [
        "serving/1",
        "serving/2",
        "serving/3",
    ]


@pytest.mark.parametrize("name", ["manifest.json", "model/saved_model.pb", "model/variables/variables.index"])
def test_gc_spares_a_version_of_which_any_object_is_young(
    directory: Bucket, tmp_path: Path, name: str
) -> None:
    """A publisher that takes an old version up writes one object anew, or is about to write the others."""
    first = publish_seed(directory, tmp_path, 1).version
    publish_seed(directory, tmp_path, 2)
    age(directory, "versions/", "serving/")
    moved_long_ago(directory, but_the_last=False)
    assert planned(directory) == [f"versions/{first}", "serving/1"]
    (Path(directory.uri) / "versions" / first / name).touch()
    assert planned(directory) == ["serving/1"]


def test_gc_spares_a_serving_copy_of_which_any_file_is_young(directory: Bucket, tmp_path: Path) -> None:
    for seed in (1, 2):
        publish_seed(directory, tmp_path, seed)
    age(directory, "serving/")
    moved_long_ago(directory, but_the_last=False)
    assert planned(directory) == ["serving/1"]
    (Path(directory.uri) / "serving/1/variables/variables.index").touch()
    assert planned(directory) == []


def test_gc_spares_a_version_whose_manifest_is_damaged_for_a_person_to_look_at(
    bucket: Bucket, tmp_path: Path
) -> None:
    first = publish_seed(bucket, tmp_path, 1).version
    publish_seed(bucket, tmp_path, 2)
    overwrite(bucket, f"versions/{first}/manifest.json", b"{}")
    assert collected(bucket, keep=0) == ["serving/1"]


def test_gc_deletes_what_makes_a_model_of_it_first(bucket: Bucket, tmp_path: Path) -> None:
    """Killed in the middle it leaves no model behind that a reader could take for a whole one."""
    first = publish_seed(bucket, tmp_path, 1).version
    publish_seed(bucket, tmp_path, 2)
    version, serving = collecting.plan(bucket, 0, now=time.time() + TWO_DAYS)
    manifest, graph, *_ = (stored.name for stored in version.objects)
    assert (manifest, graph) == (f"versions/{first}/manifest.json", f"versions/{first}/model/saved_model.pb")
    assert serving.objects[0].name == "serving/1/saved_model.pb"


def test_gc_dry_run_says_what_would_go_and_deletes_nothing(directory: Bucket, tmp_path: Path) -> None:
    publish_seed(directory, tmp_path, 1)
    abandoned = f"versions/{'a' * 64}"
    directory.write(f"{abandoned}/model/saved_model.pb", b"staged", generation=0)
    age(directory, f"{abandoned}/")
    before = contents(directory)
    said = run(directory, "gc", "--keep", "0", "--dry-run")
    assert said == f"would delete {abandoned} (never finished)\n1 of 1 would go\n"
    assert contents(directory) == before
    said = run(directory, "gc", "--keep", "0")
    assert said == f"deleted {abandoned} (never finished)\n1 of 1 gone\n"
    assert before.keys() - contents(directory) == {f"{abandoned}/model/saved_model.pb"}


@pytest.mark.parametrize("name", ["versions/{first}/manifest.json", "serving/1/saved_model.pb"])
def test_gc_goes_on_after_a_deletion_whose_answer_was_lost(gcs: Gcs, tmp_path: Path, name: str) -> None:
    """Tried again it finds nothing; the rest was left there, and the exit code was 0."""
    uri = gcs.new_bucket()
    bucket = open_bucket(uri, deadline=20)
    first = publish_seed(bucket, tmp_path, 1).version
    publish_seed(bucket, tmp_path, 2)
    path = f"/storage/v1/b/{uri.removeprefix('gs://')}/o/{name.format(first=first)}"
    gcs.proxy.faults.append(Fault("lost_ack", f"DELETE {path}"))
    assert collected(bucket, keep=0) == [f"versions/{first}", "serving/1"]
    assert gcs.proxy.faults[0].times == 0
    assert not [left for left in contents(bucket) if first in left or left.startswith("serving/1/")]


def test_gc_decides_nothing_beside_a_damaged_pointer(bucket: Bucket, tmp_path: Path) -> None:
    publish_seed(bucket, tmp_path, 1)
    overwrite(bucket, "champion.json", b"{}")
    before = contents(bucket)
    with pytest.raises(DataError, match="format"):
        run(bucket, "gc", "--keep", "0")
    assert contents(bucket) == before


def test_a_missing_directory_is_no_bucket(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no such directory"):
        CliRunner().invoke(models_app, ["list", "--bucket", str(tmp_path / "none")], catch_exceptions=False)


@pytest.mark.parametrize(
    ("arguments", "exit_code", "message"),
    [
        (["list", "--bucket", "s3://models"], 2, "--bucket='s3://models': unknown scheme 's3'"),
        (["list", "--bucket", "gs://"], 2, "bucket name ''"),
        (["verify", "--bucket", "/nowhere/at/all"], 5, "no such directory"),
        (["show", "--bucket", "gs://models", "--deadline", "-1"], 2, "deadline"),
    ],
)
def test_a_users_mistake_is_one_line(arguments: list[str], exit_code: int, message: str) -> None:
    result: Any = subprocess.run(
        [sys.executable, "-m", "pipeline", "models", *arguments], capture_output=True, text=True, timeout=60
    )
    assert result.returncode == exit_code
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert result.stdout == ""


def test_a_terminal_gets_no_escape_codes_from_a_bucket(bucket: Bucket, tmp_path: Path) -> None:
    """JSON would escape them; a table's cells and a file's name are shown as they are."""
    model_dir = make_model(tmp_path / "model")
    (model_dir / "assets.extra" / "note\u009b31m").write_text(
        "a control sequence in one character", encoding="utf-8"
    )
    provenance = {"git_revision": "\x1b[31mred", "parameters": {"model_style": "\x1b]0;title\x07"}}
    publish(bucket, model_dir, provenance, 0)
    listed, shown = run(bucket, "list"), run(bucket, "show")
    assert "git=?[31mred" in listed
    assert "style=?]0;title?" in listed
    assert "file assets.extra/note?31m" in shown
    assert not {"\x1b", "\x07", "\x9b"} & set(listed + shown)


def test_errors_are_pipeline_errors(bucket: Bucket) -> None:
    with pytest.raises(PipelineError):
        run(bucket, "show")
