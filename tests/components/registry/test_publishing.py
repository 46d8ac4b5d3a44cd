"""Publishers that are killed, that race, and that meet a store that fails; and what readers see meanwhile."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from components.errors import PipelineError, StorageError
from components.registry import collecting
from components.registry.collecting import DAY_SECONDS, Doomed
from components.registry.files import describe, hash_model
from components.registry.publishing import ChampionMovedError, Published, promote_version, publish
from components.registry.reading import read_champion, verify_serving, verify_version
from components.storage.bucket import Bucket
from components.storage.opening import open_bucket
from tests.components.registry.test_reading import contents
from tests.fakes.gcs_fixtures import Gcs
from tests.fakes.gcs_server import FAULT_MESSAGE, Fault
from tests.sweeps.publish_sweep import Tally, model, sweep_gcs, sweep_local

PUBLISHERS = 8


def show(name: str, tally: Tally, capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        print(f"\n{name}: {tally.kills} kills, {tally}")


def test_a_kill_at_any_request_tears_nothing(
    gcs: Gcs, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", gcs.server.url)
    tally = Tally()
    sweep_gcs(tmp_path, gcs.server, gcs.proxy, tally)
    show("gs://", tally, capsys)
    assert tally.kills >= 30
    assert tally.reads > tally.kills
    assert (tally.torn, tally.converged, tally.orphans) == ([], tally.kills, 0)


def test_a_kill_at_any_file_operation_tears_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tally = Tally()
    sweep_local(tmp_path, tally, step=13)
    show("local", tally, capsys)
    assert tally.kills >= 8
    assert (tally.torn, tally.converged, tally.orphans) == ([], tally.kills, 0)


@pytest.fixture(params=["local", "gcs"])
def bucket_uri(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "local":
        return str(tmp_path / "bucket")
    uri: str = request.getfixturevalue("gcs").new_bucket()
    return uri


def whole(bucket: Bucket) -> str:
    """Verifies the champion in both its places and returns its version."""
    champion = read_champion(bucket)
    assert champion is not None
    verify_version(bucket, champion.version)
    verify_serving(bucket, champion)
    return champion.version


def test_publishers_of_one_model_make_one_version(bucket_uri: str, tmp_path: Path) -> None:
    model_dir = model(tmp_path / "model", 1)

    def run(_: int) -> Published:
        return publish(open_bucket(bucket_uri), model_dir, {}, 0)

    with ThreadPoolExecutor(PUBLISHERS) as threads:
        outcomes = list(threads.map(run, range(PUBLISHERS)))
    assert sum(outcome.promoted for outcome in outcomes) == 1
    assert len({(outcome.version, outcome.generation, outcome.serving) for outcome in outcomes}) == 1
    bucket = open_bucket(bucket_uri)
    assert whole(bucket) == hash_model(model_dir)
    assert len(contents(bucket)) == 12  # twice five files, a manifest, the pointer


def test_of_publishers_of_different_models_one_wins(bucket_uri: str, tmp_path: Path) -> None:
    def run(seed: int) -> str | None:
        try:
            return publish(open_bucket(bucket_uri), model(tmp_path / f"{seed}", seed), {}, 0).version
        except ChampionMovedError:
            return None

    with ThreadPoolExecutor(PUBLISHERS) as threads:
        winners = [version for version in threads.map(run, range(PUBLISHERS)) if version]
    assert [whole(open_bucket(bucket_uri))] == winners


def test_no_promotion_is_lost(bucket_uri: str, tmp_path: Path) -> None:
    """Losers evaluate against the new champion and try again: every one is the champion once."""

    def run(seed: int) -> str:
        bucket, model_dir = open_bucket(bucket_uri), model(tmp_path / f"{seed}", seed)
        generation = 0
        while True:
            try:
                return publish(bucket, model_dir, {}, generation).version
            except ChampionMovedError as error:
                generation = error.generation

    with ThreadPoolExecutor(PUBLISHERS) as threads:
        versions = list(threads.map(run, range(PUBLISHERS)))
    bucket = open_bucket(bucket_uri)
    champion = read_champion(bucket)
    assert champion is not None
    moves = [champion.pointer.current, *champion.pointer.history]
    assert sorted(move.version for move in moves) == sorted(versions)
    assert [move.serving for move in moves] == list(range(PUBLISHERS, 0, -1))
    for move in moves:
        verify_version(bucket, move.version)
    whole(bucket)


def planned_long_ago(bucket: Bucket, version: str) -> list[Doomed]:
    """Makes a version of a local bucket two days old; returns what a `gc` of that day has in hand for it."""
    moment = time.time() - 2 * DAY_SECONDS
    for stored in bucket.list(f"versions/{version}/"):
        os.utime(Path(bucket.uri) / stored.name, (moment, moment))
    doomed = collecting.plan(bucket, 0, now=time.time() + 2 * DAY_SECONDS)
    return [each for each in doomed if each.prefix == f"versions/{version}"]


@pytest.mark.parametrize("how", ["publish", "promote"])
def test_an_old_version_that_is_taken_up_again_escapes_a_slow_gc(tmp_path: Path, how: str) -> None:
    bucket = open_bucket(str(tmp_path / "bucket"))
    model_dir = model(tmp_path / "one", 1)
    first = publish(bucket, model_dir, {}, 0)
    second = publish(bucket, model(tmp_path / "two", 2), {}, first.generation)
    doomed = planned_long_ago(bucket, first.version)
    if how == "publish":
        publish(bucket, model_dir, {}, second.generation)
    else:
        promote_version(bucket, verify_version(bucket, first.version))
    assert (len(doomed), collecting.collect(bucket, doomed)) == (1, [])
    assert whole(bucket) == first.version


def test_what_a_publisher_left_that_was_killed_long_ago_is_written_anew(tmp_path: Path) -> None:
    bucket = open_bucket(str(tmp_path / "bucket"))
    model_dir = model(tmp_path / "one", 1)
    version = hash_model(model_dir)
    for file in describe(model_dir):
        bucket.upload(f"versions/{version}/model/{file.path}", model_dir / file.path, file.digest)
    doomed = planned_long_ago(bucket, version)
    publish(bucket, model_dir, {}, 0)
    assert (len(doomed), collecting.collect(bucket, doomed)) == (1, [])
    assert whole(bucket) == version


@pytest.mark.parametrize("kind", ["503", "429", "reset", "lost_ack"])
def test_one_fault_on_every_request_in_turn_changes_nothing(gcs: Gcs, tmp_path: Path, kind: str) -> None:
    """Each request of a publish fails once; the outcome is that of a publish without faults."""
    model_dir = model(tmp_path / "model", 1)
    uri = gcs.new_bucket()
    publish(open_bucket(uri), model_dir, {}, 0)
    expected = set(contents(open_bucket(uri)))
    count = len(gcs.proxy.requests) - 1  # the listing
    for skip in range(count):
        bucket = open_bucket(gcs.new_bucket(), deadline=20)
        gcs.proxy.faults[:] = [Fault(kind, "", skip=skip)]
        outcome = publish(bucket, model_dir, {}, 0)
        assert gcs.proxy.faults[0].times == 0, skip
        gcs.proxy.faults.clear()
        assert outcome.version == whole(bucket)
        assert set(contents(bucket)) == expected


def test_a_refusal_of_one_file_publishes_nothing(gcs: Gcs, tmp_path: Path) -> None:
    bucket = open_bucket(gcs.new_bucket(), deadline=20)
    first = publish(bucket, model(tmp_path / "one", 1), {}, 0)
    before = contents(bucket)
    names = ["variables.index", "saved_model.pb", "manifest.json", "champion.json"]
    for match in names:
        gcs.proxy.faults[:] = [Fault("403", match, times=-1)]
        with pytest.raises(StorageError, match="HTTP 403"):
            publish(bucket, model(tmp_path / "two", 2), {}, first.generation)
        gcs.proxy.faults.clear()
        now = contents(bucket)
        assert {name: now[name] for name in before} == before
        assert whole(bucket) == first.version


def test_a_refused_serving_copy_is_an_error_that_a_rerun_mends(gcs: Gcs, tmp_path: Path) -> None:
    bucket = open_bucket(gcs.new_bucket(), deadline=20)
    gcs.proxy.faults[:] = [Fault("403", "rewriteTo", times=-1)]
    with pytest.raises(StorageError, match=r"cannot write serving/1/.*: HTTP 403"):
        publish(bucket, model(tmp_path / "one", 1), {}, 0)
    gcs.proxy.faults.clear()
    again = publish(bucket, model(tmp_path / "one", 1), {}, 0)
    assert (again.created, again.promoted, again.serving) == (False, False, 1)
    whole(bucket)


def test_no_error_or_log_shows_what_servers_and_files_say(
    gcs: Gcs, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    canary = os.urandom(8).hex()
    model_dir = model(tmp_path / "model", 1)
    caplog.set_level("INFO")
    for kind in ("400", "401", "403", "500", "503", "reset", "truncate"):
        gcs.proxy.faults[:] = [Fault(kind, "", times=-1)]
        with pytest.raises(PipelineError) as error:
            publish(open_bucket(gcs.new_bucket(), deadline=0.6), model_dir, {"secret": canary}, 0)
        gcs.proxy.faults.clear()
        assert "\n" not in str(error.value)
        shown = f"{error.value} {error.value.__cause__} {caplog.text} {capfd.readouterr()}"
        assert canary not in shown
        assert FAULT_MESSAGE not in shown
