import contextlib
import resource
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.errors import DataError, StorageError
from components.train.checkpoints import Checkpoint, Checkpoints, run_fingerprint
from tests.sweeps.training_sweep import RETRYABLE, Training, flip_bit, interrupt, truncate

RUN = "a" * 64


def checkpoint(step: int) -> Checkpoint:
    arrays: list[np.ndarray[Any, Any]] = [
        np.arange(12, dtype=np.float32).reshape(3, 4) + step,
        np.array(step, np.int64),
    ]
    return Checkpoint({"epoch": 1, "step": step, "history": []}, arrays)


def loaded_step(checkpoints: Checkpoints) -> Any:
    found = checkpoints.load()
    return found and found.facts["step"]


@pytest.fixture
def checkpoints(tmp_path: Path) -> Checkpoints:
    return Checkpoints(str(tmp_path), RUN)


def files(directory: Path) -> list[Path]:
    return sorted(directory.rglob("*.ckpt"))


def test_what_is_saved_is_loaded_bit_for_bit(checkpoints: Checkpoints) -> None:
    assert checkpoints.load() is None
    saved = checkpoint(5)
    checkpoints.save(saved)
    found = checkpoints.load()
    assert found is not None
    assert found.facts == saved.facts
    for one, other in zip(saved.arrays, found.arrays, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


def test_the_newest_two_are_kept_and_a_finished_run_leaves_none(
    checkpoints: Checkpoints, tmp_path: Path
) -> None:
    for step in (1, 2, 3):
        checkpoints.save(checkpoint(step))
    assert len(files(tmp_path)) == 2
    assert loaded_step(checkpoints) == 3
    checkpoints.discard()
    assert files(tmp_path) == []


@pytest.mark.parametrize("damage", [truncate, flip_bit, lambda path: path.write_bytes(b"")])
def test_where_the_newest_is_damaged_the_one_before_serves(
    damage: Any, checkpoints: Checkpoints, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for step in (1, 2):
        checkpoints.save(checkpoint(step))
    damage(files(tmp_path)[-1])
    assert loaded_step(checkpoints) == 1
    assert "is damaged: not used" in capsys.readouterr().out
    checkpoints.save(checkpoint(2))  # in the damaged one's place
    assert loaded_step(checkpoints) == 2


def test_runs_do_not_see_each_others_checkpoints(checkpoints: Checkpoints, tmp_path: Path) -> None:
    checkpoints.save(checkpoint(1))
    assert Checkpoints(str(tmp_path), "b" * 64).load() is None


def test_another_runs_checkpoint_in_this_ones_place_is_refused(
    checkpoints: Checkpoints, tmp_path: Path
) -> None:
    checkpoints.save(checkpoint(1))
    (tmp_path / RUN).rename(tmp_path / ("b" * 64))
    with pytest.raises(DataError, match="is of run aaaaaaaaaaaa, not of this one, bbbbbbbbbbbb; remove it"):
        Checkpoints(str(tmp_path), "b" * 64).load()


def test_a_place_that_cannot_be_written_is_said_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(StorageError, match="file"):
        Checkpoints(str(tmp_path / "file"), RUN)


@contextlib.contextmanager
def full_beyond(size: int) -> Iterator[None]:
    """Lets no file of this process grow larger than that: a write fails as it does on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_place_that_is_full_is_an_error_and_keeps_what_it_has(
    checkpoints: Checkpoints, tmp_path: Path
) -> None:
    checkpoints.save(checkpoint(1))
    before = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    large = Checkpoint({"epoch": 1, "step": 2, "history": []}, [np.zeros(1_000_000, np.float32)])
    with full_beyond(1_000_000), pytest.raises(StorageError, match=r"cannot write .*\.ckpt: "):
        checkpoints.save(large)
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == before
    assert loaded_step(checkpoints) == 1


def test_saving_is_due_by_what_it_costs(checkpoints: Checkpoints, tmp_path: Path) -> None:
    checkpoints.save_if_due(lambda: checkpoint(1))  # the first shows the cost
    checkpoints.save_if_due(lambda: checkpoint(2))
    assert loaded_step(checkpoints) == 1


def test_saving_costs_one_percent_of_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that only saving moves: a save takes a second, so the next is due 100 seconds later."""
    now = [0.0]

    def captured(step: int) -> Checkpoint:
        now[0] += 1
        return checkpoint(step)

    monkeypatch.setattr("time.monotonic", lambda: now[0])
    checkpoints = Checkpoints(str(tmp_path), RUN)
    checkpoints.save_if_due(lambda: captured(1))
    now[0] += 99
    checkpoints.save_if_due(lambda: captured(2))
    assert loaded_step(checkpoints) == 1
    now[0] += 1
    checkpoints.save_if_due(lambda: captured(3))
    assert loaded_step(checkpoints) == 3


def test_a_runs_fingerprint_is_of_facts_and_sources(tmp_path: Path) -> None:
    source = tmp_path / "loop.py"
    source.write_text("one", encoding="utf-8")
    one = run_fingerprint({"seed": 0}, [source])
    assert one == run_fingerprint({"seed": 0}, [source])
    assert one != run_fingerprint({"seed": 1}, [source])
    source.write_text("other", encoding="utf-8")
    assert one != run_fingerprint({"seed": 0}, [source])


def test_terminated_then_killed_then_damaged_ends_with_the_bytes_of_a_calm_run(
    dataset_dir: str, tmp_path: Path
) -> None:
    """The whole sweep, over all styles, is `make test-kills`."""
    many_steps = {"epochs": 40, "batch_size": 4}
    calm, rough = (
        Training(dataset_dir, tmp_path / name, "functional", many_steps) for name in ("calm", "rough")
    )
    for training in (calm, rough):
        training.directory.mkdir()
    calm.finish()
    assert interrupt(rough, signal.SIGTERM, checkpoints=2) == RETRYABLE
    assert interrupt(rough, signal.SIGKILL, checkpoints=2) == -signal.SIGKILL
    flip_bit(rough.checkpoints()[-1])
    output = rough.finish()
    assert "is damaged: not used" in output
    assert "resumed in epoch" in output
    assert rough.model_files() == calm.model_files()
    assert rough.checkpoints() == []
