"""Schedule files: refused with file and key before anything is sent; previewed in zone and UTC."""

import dataclasses
import datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from components.errors import UsageError
from pipeline.cli import app
from pipeline.schedules import files
from tests.fakes import remotes

GOOD = """\
environment: test
cron: "30 2 * * *"
time_zone: UTC
parameters: {epochs: 2}
"""


def written(directory: Path, text: str, name: str = "nightly") -> Path:
    path = directory / f"{name}.yaml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (('"30 2 * * *"', '"* * *"'), "nightly.yaml: cron='* * *': must have five fields"),
        (
            ('"30 2 * * *"', '"61 2 * * *"'),
            "nightly.yaml: cron='61 2 * * *': minute '61' must be from 0 to 59",
        ),
        (('"30 2 * * *"', '"0 0 30 2 *"'), "nightly.yaml: cron='0 0 30 2 *': never fires"),
        (('"30 2 * * *"', '"0 30 2 * * *"'), "nightly.yaml: cron='0 30 2 * * *': must have five fields"),
        (('"30 2 * * *"', '"0 2 * * 7"'), "weekday '7' must be from 0 to 6 (Sunday is 0)"),
        (('"30 2 * * *"', '"*/10 * * * *"'), "set allow_frequent: true if that is meant"),
        (("UTC", "Europe/Berln"), "nightly.yaml: time_zone='Europe/Berln': not an IANA time zone"),
        (("parameters: {epochs: 2}", "max_concurrency: -1"), "nightly.yaml: max_concurrency: "),
        (("parameters: {epochs: 2}", "max_concurrency: 11"), "nightly.yaml: max_concurrency: "),
        (("parameters: {epochs: 2}", "catchup: true"), "nightly.yaml: catchup: no such key"),
        (("parameters: {epochs: 2}", "enabled: sometimes"), "nightly.yaml: enabled: "),
        (("parameters: {epochs: 2}", "name: other"), "nightly.yaml: name: no such key"),
        (("environment: test\n", ""), "nightly.yaml: environment: is required"),
        (("environment", "cron: x\nenvironment"), "cron is given twice"),
    ],
)
def test_refused_with_file_and_key(tmp_path: Path, change: tuple[str, str], expected: str) -> None:
    path = written(tmp_path, GOOD.replace(*change))
    with pytest.raises(UsageError) as error:
        files.load(path)
    assert expected in str(error.value)
    assert "\n" not in str(error.value)


def test_a_name_that_no_platform_takes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="name must be of a-z 0-9 -"):
        files.load(written(tmp_path, GOOD, "Nightly run"))


def test_five_fields_become_the_targets_own(tmp_path: Path) -> None:
    schedule = files.load(written(tmp_path, GOOD))
    for kind, cron in (("kfp", "0 30 2 * * *"), ("vertex", "TZ=UTC 30 2 * * *")):
        environment = remotes.environment_at(kind, "http://127.0.0.1:9")
        declared = files.declare(schedule, environment, remotes.submission())
        assert (declared.cron, declared.enabled, declared.max_concurrency) == (cron, True, 1)


@pytest.mark.parametrize("kind", remotes.KINDS)
def test_what_a_file_says_beside_its_cron_is_declared(tmp_path: Path, kind: str) -> None:
    text = f"{GOOD}max_concurrency: 2\ncatch_up: true\nenabled: false\n"
    environment = remotes.environment_at(kind, "http://127.0.0.1:9")
    declared = files.declare(files.load(written(tmp_path, text)), environment, remotes.submission())
    assert (declared.max_concurrency, declared.catch_up, declared.enabled) == (2, True, False)


def test_a_zone_that_is_not_the_clusters_is_an_error_on_kubeflow_only(tmp_path: Path) -> None:
    schedule = files.load(written(tmp_path, GOOD.replace("UTC", "Europe/Paris")))
    vertex = remotes.environment_at("vertex", "http://127.0.0.1:9")
    declared = files.declare(schedule, vertex, remotes.submission())
    assert declared.cron == "TZ=Europe/Paris 30 2 * * *"
    kfp = remotes.environment_at("kfp", "http://127.0.0.1:9")
    with pytest.raises(UsageError, match=r"nightly\.yaml: time_zone=Europe/Paris: the cluster of test reads"):
        files.declare(schedule, kfp, remotes.submission())


def test_the_digest_follows_everything_that_is_sent_and_not_the_switch(tmp_path: Path) -> None:
    environment = remotes.environment_at("vertex", "http://127.0.0.1:9")

    def digest(text: str = GOOD, epochs: int = 1) -> str:
        schedule = files.load(written(tmp_path, text))
        return files.declare(schedule, environment, remotes.submission(epochs)).digest

    same = digest(GOOD + "enabled: false\n")
    assert digest() == digest() == same
    others = [
        digest(GOOD.replace("30 2", "31 2")),
        digest(GOOD.replace("UTC", "Etc/UTC")),
        digest(GOOD + "max_concurrency: 2\n"),
        digest(GOOD + "catch_up: true\n"),
        digest(epochs=2),
    ]
    assert len({digest(), *others}) == 6


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        *((kind, {"pipeline_root": "gs://example/elsewhere"}) for kind in remotes.KINDS),
        ("kfp", {"service_account": "another-runner"}),
        ("kfp", {"experiment": "another"}),
        ("vertex", {"service_account": "another@example.iam.gserviceaccount.com"}),
        ("vertex", {"network": "projects/1/global/networks/another"}),
    ],
)
def test_the_digest_follows_the_place_of_the_runs(tmp_path: Path, kind: str, change: dict[str, str]) -> None:
    """A schedule whose runs would start elsewhere, or as somebody else, is another schedule."""
    schedule = files.load(written(tmp_path, GOOD))
    here = remotes.environment_at(kind, "http://127.0.0.1:9")
    there = here.model_copy(update=change)
    one, other = (files.declare(schedule, each, remotes.submission()).digest for each in (here, there))
    assert one != other


def test_the_digest_follows_the_compiled_pipeline(tmp_path: Path) -> None:
    schedule = files.load(written(tmp_path, GOOD))
    environment = remotes.environment_at("kfp", "http://127.0.0.1:9")
    sent = remotes.submission()
    package = dataclasses.replace(sent.package, text=f"{sent.package.text}# another image\n")
    one, other = (
        files.declare(schedule, environment, each).digest
        for each in (sent, dataclasses.replace(sent, package=package))
    )
    assert one != other


def test_the_latest_fire_time_is_the_one_before_now(tmp_path: Path) -> None:
    now = datetime.datetime(2026, 11, 24, 12, tzinfo=datetime.UTC)
    for cron, expected in (
        ("30 2 * * *", "2026-11-24T02:30:00+00:00"),
        ("0 13 * * *", "2026-11-23T13:00:00+00:00"),
        ("0 0 1 1 *", "2026-01-01T00:00:00+00:00"),
        ("0 0 29 2 *", "2024-02-29T00:00:00+00:00"),
    ):
        schedule = files.load(written(tmp_path, GOOD.replace("30 2 * * *", cron)))
        assert files.latest_fire_time(schedule, now).isoformat() == expected


def test_preview_shows_zone_and_utc_over_a_clock_change(tmp_path: Path) -> None:
    schedule = files.load(written(tmp_path, GOOD.replace("UTC", "Europe/Paris")))
    start = datetime.datetime(2026, 10, 24, 12, tzinfo=datetime.UTC)
    fired = files.fire_times(schedule, start, 3)
    assert [f"{t:%d %H:%M %z}" for t in fired] == ["25 02:30 +0200", "25 02:30 +0100", "26 02:30 +0100"]
    shown = CliRunner().invoke(app, ["schedule", "preview", "weekly-vertex-example", "-n", "2"])
    assert shown.exit_code == 0
    assert shown.stdout.count("Europe/Paris") == shown.stdout.count("UTC") == 2


def test_shipped_schedules_name_shipped_environments() -> None:
    from pipeline import environments

    for schedule in files.load_all().values():
        assert schedule.environment in environments.names()
