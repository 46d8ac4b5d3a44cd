"""What is not the store's answer, for every request that a verb makes."""

import contextlib

import pytest

from components.errors import PipelineError
from tests.fakes.gcs_fixtures import Gcs
from tests.sweeps import answers_sweep
from tests.sweeps.answers_sweep import Stage, Tally

# Each kind of request there is; `python -m tests.sweeps.answers_sweep` has the other verbs and all garbage.
ASKED = ["models show", "models download", "models gc", "data add, list, remove", "publish", "lookup"]
ASKED += ["checkpoints", "is it writable"]


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory, gcs_session: Gcs) -> Stage:
    root = tmp_path_factory.mktemp("answers")
    return Stage(root, gcs_session.server, gcs_session.proxy, answers_sweep.new_keys(root))


@pytest.mark.parametrize("verb", ASKED)
def test_garbage_behind_a_200_ends_each_verb_in_one_line(stage: Stage, gcs: Gcs, verb: str) -> None:
    tally = Tally()
    answers_sweep.sweep(stage, verb, tally, answers_sweep.one_kind)
    assert tally.bad == []
    assert tally.answers > 1
    assert tally.good > tally.harmless


def test_the_sweep_notices_what_is_believed(stage: Stage, gcs: Gcs, monkeypatch: pytest.MonkeyPatch) -> None:
    """A verb that makes a request and does not look at the answer."""

    def careless(scene: answers_sweep.Scene) -> None:
        with contextlib.suppress(PipelineError):
            scene.bucket.stat("champion.json")

    monkeypatch.setitem(answers_sweep.VERBS, "careless", careless)
    tally = Tally()
    answers_sweep.sweep(stage, "careless", tally, answers_sweep.one_kind)
    assert [line.split(" for ")[0] for line in tally.bad] == ["careless: answer a login page"]
