import json
import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from components.errors import DataError, UsageError
from components.registry import collecting
from components.registry.files import hash_model
from components.registry.manifest import MAX_SERVING
from components.registry.publishing import ChampionMovedError, Published, promote_version, publish
from components.registry.reading import download_version, read_champion, read_manifest, verify_version
from components.storage.bucket import Bucket
from components.storage.opening import open_bucket


def make_model(directory: Path, seed: int = 0) -> Path:
    """Writes a directory that is laid out as a SavedModel; nothing here loads it."""
    contents = {
        "saved_model.pb": b"graph %d" % seed,
        "fingerprint.pb": b"fingerprint",
        "variables/variables.index": b"index",
        "variables/variables.data-00000-of-00001": bytes([seed]) * 5000,
        "assets.extra/model.json": b'{"seed": %d}' % seed,
    }
    for name, data in contents.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return directory


@pytest.fixture
def bucket(tmp_path: Path) -> Bucket:
    return open_bucket(str(tmp_path / "bucket"))


@pytest.fixture
def model_dir(tmp_path: Path) -> Path:
    return make_model(tmp_path / "model")


def contents(bucket: Bucket) -> dict[str, int]:
    return {stored.name: stored.generation for stored in bucket.list("")}


def publish_seed(bucket: Bucket, tmp_path: Path, seed: int) -> Published:
    champion = read_champion(bucket)
    model_dir = make_model(tmp_path / f"model-{seed}", seed)
    return publish(bucket, model_dir, {"seed": seed}, champion.generation if champion else 0)


def test_nothing_published(bucket: Bucket) -> None:
    assert read_champion(bucket) is None


def test_a_published_model_is_the_champion(bucket: Bucket, model_dir: Path, tmp_path: Path) -> None:
    outcome = publish(bucket, model_dir, {"parent": None, "metrics": {"accuracy": 0.98}}, 0)
    assert outcome.created
    assert outcome.promoted
    champion = read_champion(bucket)
    assert champion is not None
    assert champion.version == outcome.version == hash_model(model_dir)
    assert champion.generation == outcome.generation
    assert champion.manifest.provenance == {"parent": None, "metrics": {"accuracy": 0.98}}
    assert champion.manifest == verify_version(bucket, champion.version)
    download_version(bucket, champion.version, tmp_path / "copy")
    assert hash_model(tmp_path / "copy") == hash_model(model_dir)
    assert hash_model(outcome.model_uri) == hash_model(outcome.serving_uri) == hash_model(model_dir)
    assert outcome.serving_uri.endswith("/serving/1")


def test_publishing_twice_creates_nothing_new(bucket: Bucket, model_dir: Path) -> None:
    first = publish(bucket, model_dir, {"run": 1}, 0)
    before = contents(bucket)
    again = publish(bucket, model_dir, {"run": 2}, 0)
    assert (again.created, again.promoted) == (False, False)
    assert (again.version, again.generation, again.serving) == (
        first.version,
        first.generation,
        first.serving,
    )
    assert contents(bucket) == before


def test_each_champion_gets_the_next_serving_number(bucket: Bucket, tmp_path: Path) -> None:
    outcomes = [publish_seed(bucket, tmp_path, seed) for seed in (1, 2, 3)]
    assert [outcome.serving for outcome in outcomes] == [1, 2, 3]
    back = promote_version(bucket, verify_version(bucket, outcomes[0].version))
    assert back.serving == 4
    assert hash_model(back.serving_uri) == outcomes[0].version
    champion = read_champion(bucket)
    assert champion is not None
    assert [move.serving for move in champion.pointer.history] == [3, 2, 1]


@pytest.mark.parametrize(
    ("folder", "number"),
    [
        ("9" * 20, 1),  # more than an int64: TensorFlow Serving does not see a version in it
        ("9" * 250, 1),
        ("٣", 1),
        ("-7", 1),
        ("latest", 1),
        (str(MAX_SERVING - 3), MAX_SERVING - 2),
    ],
)
def test_a_foreign_folder_makes_no_pointer_that_cannot_be_read(
    bucket: Bucket, tmp_path: Path, folder: str, number: int
) -> None:
    bucket.write(f"serving/{folder}/saved_model.pb", b"another tool's", generation=0)
    assert publish_seed(bucket, tmp_path, 1).serving == number
    champion = read_champion(bucket)
    assert champion is not None
    assert champion.pointer.current.serving == number


@pytest.mark.parametrize("folder", [str(MAX_SERVING - 1), str(MAX_SERVING), str(2**63 - 1)])
def test_a_folder_that_leaves_no_number_is_said_before_anything_is_written(
    bucket: Bucket, model_dir: Path, folder: str
) -> None:
    bucket.write(f"serving/{folder}/saved_model.pb", b"another tool's", generation=0)
    before = contents(bucket)
    with pytest.raises(DataError, match=f"serving/{folder}: TensorFlow Serving takes the highest number"):
        publish(bucket, model_dir, {}, 0)
    assert contents(bucket) == before


def test_the_last_number_is_the_last(bucket: Bucket, tmp_path: Path) -> None:
    bucket.write(f"serving/{MAX_SERVING - 2}/saved_model.pb", b"another tool's", generation=0)
    first = publish_seed(bucket, tmp_path, 1)
    assert first.serving == MAX_SERVING - 1
    with pytest.raises(DataError, match="none is left above this one"):
        publish_seed(bucket, tmp_path, 2)
    assert read_champion(bucket) is not None


def test_a_former_champion_whose_files_were_collected_is_published_again(
    bucket: Bucket, tmp_path: Path
) -> None:
    first = publish_seed(bucket, tmp_path, 1)
    publish_seed(bucket, tmp_path, 2)
    later = time.time() + 2 * collecting.DAY_SECONDS
    gone = collecting.collect(bucket, collecting.plan(bucket, 0, now=later))
    assert f"versions/{first.version}" in [target.prefix for target in gone]
    again = publish_seed(bucket, tmp_path, 1)
    assert (again.version, again.created, again.promoted, again.serving) == (first.version, True, True, 3)
    verify_version(bucket, again.version)


def test_a_file_that_is_collected_while_it_is_published_is_sent_again(
    bucket: Bucket, model_dir: Path
) -> None:
    """A publisher finds what one that died left there long ago, and `gc` deletes it before it is renewed."""
    left = Path(bucket.uri) / "versions" / hash_model(model_dir) / "model" / "variables" / "variables.index"
    left.parent.mkdir(parents=True)
    shutil.copy(model_dir / "variables" / "variables.index", left)
    os.utime(left, (1, 1))
    opened = []

    def delete_at_the_third_look(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and str(arguments[0]) == str(model_dir / "variables" / "variables.index"):
            opened.append(event)
            if len(opened) == 3:  # to digest it, to send it, to renew it
                left.unlink()

    sys.addaudithook(delete_at_the_third_look)
    outcome = publish(bucket, model_dir, {}, 0)
    assert len(opened) == 4
    verify_version(bucket, outcome.version)


def test_serving_numbers_pass_those_that_are_there(bucket: Bucket, model_dir: Path) -> None:
    bucket.write("serving/1700000000/saved_model.pb", b"another tool's", generation=0)
    assert publish(bucket, model_dir, {}, 0).serving == 1_700_000_001


def test_a_champion_that_moved_is_not_overwritten(bucket: Bucket, tmp_path: Path) -> None:
    first = publish_seed(bucket, tmp_path, 1)
    second = publish_seed(bucket, tmp_path, 2)
    before = contents(bucket)
    with pytest.raises(ChampionMovedError, match=f"generation {first.generation}: evaluate") as error:
        publish(bucket, make_model(tmp_path / "late", 3), {}, first.generation)
    assert error.value.pointer is not None
    assert error.value.pointer.current.version == second.version
    assert error.value.generation == second.generation
    assert contents(bucket) == before


def test_a_missing_serving_copy_is_completed(bucket: Bucket, model_dir: Path) -> None:
    outcome = publish(bucket, model_dir, {}, 0)
    (Path(outcome.serving_uri) / "saved_model.pb").unlink()
    publish(bucket, model_dir, {}, 0)
    assert hash_model(outcome.serving_uri) == outcome.version


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda version: flip(version / "model/variables/variables.data-00000-of-00001"), "altered"),
        (lambda version: flip(version / "model/saved_model.pb"), "altered"),
        (lambda version: (version / "model/variables/variables.index").unlink(), "missing"),
        (lambda version: (version / "model/extra.py").write_text("", encoding="utf-8"), "extra"),
        (lambda version: (version / "manifest.json").unlink(), "has no versions/|no version"),
        (lambda version: (version / "manifest.json").write_text("{", encoding="utf-8"), "altered|not JSON"),
        (lambda version: flip(version / "manifest.json"), "altered|not JSON|format"),
    ],
)
def test_damage_is_found(
    bucket: Bucket, model_dir: Path, tmp_path: Path, damage: Callable[[Path], object], message: str
) -> None:
    outcome = publish(bucket, model_dir, {}, 0)
    damage(Path(bucket.uri) / "versions" / outcome.version)
    with pytest.raises(DataError, match=message):
        verify_version(bucket, outcome.version)
    with pytest.raises(DataError, match=message):
        download_version(bucket, outcome.version, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bucket", "model"]


def edited(manifest: bytes, edit: Callable[[dict[str, Any]], object]) -> bytes:
    fields = json.loads(manifest)
    edit(fields)
    return (json.dumps(fields, indent=1, sort_keys=True) + "\n").encode()


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda m: m["files"][0].update(path="../../x"), "not allowed"),
        (lambda m: m["files"][0].update(path="/etc/x"), "empty segment"),
        (lambda m: m["files"].append(m["files"][0]), "twice"),
        (lambda m: m["files"][0].update(size=1), "hash"),
        (lambda m: m["files"][0].update(size=-1), "negative"),
        (lambda m: m["files"][0].update(size=True), "size"),
        (lambda m: m["files"][0].update(crc32c="AAAAAA=="), "altered"),
        (lambda m: m["files"].clear(), "no saved_model.pb"),
        (lambda m: m.update(files={}), "files={} must be a list"),
        (lambda m: m.update(version="x"), "version"),
        (lambda m: m.update(format="other"), "format"),
        (lambda m: m.update(created="yesterday"), "ISO 8601"),
        (lambda m: m.update(extra=1), "altered"),
    ],
)
def test_an_edited_manifest_is_refused(
    bucket: Bucket, model_dir: Path, edit: Callable[[dict[str, Any]], object], message: str
) -> None:
    version = publish(bucket, model_dir, {}, 0).version
    path = Path(bucket.uri) / "versions" / version / "manifest.json"
    path.write_bytes(edited(path.read_bytes(), edit))
    with pytest.raises(DataError, match=message) as error:
        verify_version(bucket, version)
    assert "\n" not in str(error.value)
    with pytest.raises(DataError, match="altered"):
        read_champion(bucket)


@pytest.mark.parametrize(
    ("pointer", "message"),
    [
        (b"not json", "not JSON"),
        (b"", "not JSON"),
        (b"[]", "not an object"),
        (b"{}", "format"),
        (b"[" * 100_000, "nested too deeply"),
        (b"\xff\xfe", "not JSON"),
        (b'{"format": "mnist-pipeline/champion/1", "version": "../x", "serving": 1}', "version|moved"),
    ],
)
def test_a_pointer_that_is_not_one_is_refused_and_kept(
    bucket: Bucket, model_dir: Path, pointer: bytes, message: str
) -> None:
    bucket.write("champion.json", pointer, generation=0)
    before = contents(bucket)
    with pytest.raises(DataError, match=message):
        read_champion(bucket)
    with pytest.raises(DataError, match=message):
        publish(bucket, model_dir, {}, 0)
    assert contents(bucket) == before


def test_a_champion_that_is_not_there_is_an_error_and_not_none(bucket: Bucket, model_dir: Path) -> None:
    """Taken for none, the next challenger would be blessed without a contest."""
    version = publish(bucket, model_dir, {}, 0).version
    (Path(bucket.uri) / "versions" / version / "manifest.json").unlink()
    with pytest.raises(DataError, match=rf"champion\.json: names version {version}, which has no versions/"):
        read_champion(bucket)


def test_a_damaged_version_is_not_promoted_again(bucket: Bucket, tmp_path: Path) -> None:
    first = publish_seed(bucket, tmp_path, 1)
    publish_seed(bucket, tmp_path, 2)
    flip(Path(first.model_uri) / "saved_model.pb")
    before = contents(bucket)
    with pytest.raises(DataError, match="altered"):
        publish_seed(bucket, tmp_path, 1)
    assert contents(bucket) == before


def test_download_needs_an_empty_place(bucket: Bucket, model_dir: Path, tmp_path: Path) -> None:
    version = publish(bucket, model_dir, {}, 0).version
    (tmp_path / "empty").mkdir()
    download_version(bucket, version, tmp_path / "empty")
    assert hash_model(tmp_path / "empty") == version
    with pytest.raises(UsageError, match="not an empty directory"):
        download_version(bucket, version, tmp_path / "empty")


def test_versions_are_named_in_full(bucket: Bucket) -> None:
    with pytest.raises(UsageError, match="64 hex digits"):
        read_manifest(bucket, "../x")
    with pytest.raises(DataError, match="no version"):
        read_manifest(bucket, "0" * 64)


def test_the_tree_hash_sees_names_and_contents_only(tmp_path: Path) -> None:
    one, two = make_model(tmp_path / "one"), make_model(tmp_path / "two")
    assert hash_model(one) == hash_model(two)
    (two / "fingerprint.pb").rename(two / "fingerprint2.pb")
    assert hash_model(one) != hash_model(two)


def test_only_a_savedmodel_of_plain_files_is_taken(bucket: Bucket, model_dir: Path) -> None:
    (model_dir / "link").symlink_to("/etc/hostname")
    with pytest.raises(DataError, match="link is a link"):
        publish(bucket, model_dir, {}, 0)
    (model_dir / "link").unlink()
    (model_dir / "saved_model.pb").unlink()
    with pytest.raises(DataError, match="no saved_model"):
        publish(bucket, model_dir, {}, 0)
    with pytest.raises(DataError, match="no such directory"):
        publish(bucket, model_dir / "absent", {}, 0)
    assert contents(bucket) == {}
