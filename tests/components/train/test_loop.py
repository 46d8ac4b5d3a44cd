"""The compiled loop against plain Keras `fit`, batch by batch."""

from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pytest

from components.dataset import Dataset
from components.model.normalisation import normalise
from components.train import loop
from components.train.cluster import Cluster
from components.train.settings import Settings
from tests.conftest import untrained

ROWS, BATCH_SIZE, SEED = 1_000, 64, 5


@pytest.fixture(scope="module")
def rows(dataset_dir: str) -> tuple[npt.NDArray[np.float32], npt.NDArray[Any]]:
    images, labels = Dataset.open(dataset_dir).train()
    assert len(labels) == ROWS
    return images, labels


def trainer_for(
    model: keras.Model, rows: Any, resident_bytes: int = 10**9, batch_size: int = BATCH_SIZE
) -> loop.Trainer:
    return loop.Trainer(
        model,
        *rows,
        settings=Settings(batch_size=batch_size, learning_rate=0.001, seed=SEED),
        resident_bytes=resident_bytes,
        cluster=Cluster(None, is_chief=True),
    )


def test_same_updates_and_same_weights_as_fit(rows: Any) -> None:
    images, labels = rows
    ours, plain = (untrained("sequential_add", [48, 24], seed=1) for _ in range(2))
    trainer = trainer_for(ours, rows)
    plain_model(plain)
    for epoch in (1, 2):
        *_, progress = trainer.run_epoch(loop.Progress(epoch))
        order = loop.epoch_order(ROWS, SEED, epoch)
        history = plain.fit(
            images[order], labels[order], batch_size=BATCH_SIZE, shuffle=False, verbose=0
        ).history
        scores = trainer.epoch_scores(progress)
        assert progress.step == 16  # 15 full batches and one of 40 rows
        assert scores.loss == pytest.approx(history["loss"][0], rel=1e-4)
        assert scores.accuracy == pytest.approx(history["sparse_categorical_accuracy"][0], abs=1e-6)
    assert int(trainer.optimizer.iterations) == int(plain.optimizer.iterations) == 32
    for one, other in zip(ours.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=2e-5)


def plain_model(model: keras.Model) -> keras.Model:
    model.compile(
        optimizer=keras.optimizers.RMSprop(learning_rate=0.001),
        loss=keras.losses.SparseCategoricalCrossentropy(),
        metrics=[keras.metrics.SparseCategoricalAccuracy()],
    )
    return model


def test_the_first_epochs_loss_curve_is_keras_own_step_by_step(
    rows: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "CHUNK_STEPS", 1)
    images, labels = rows
    ours, plain = untrained("functional", [], seed=1), plain_model(untrained("functional", [], seed=1))
    trainer = trainer_for(ours, rows, batch_size=10)
    order = loop.epoch_order(ROWS, SEED, 1)
    sums = [0.0] + [progress.loss_sum for progress in trainer.run_epoch(loop.Progress())]
    steps = [order[first : first + 10] for first in range(0, ROWS, 10)]
    losses = []
    for batch in steps:
        plain.reset_metrics()
        losses.append(plain.train_on_batch(images[batch], labels[batch])[0])
    assert len(losses) == 100
    np.testing.assert_allclose(np.diff(sums) / 10, losses, rtol=1e-3)
    for one, other in zip(ours.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


def test_over_five_seeds_the_test_accuracies_are_not_distinguishable(rows: Any, dataset_dir: str) -> None:
    images, labels = rows
    test_images, test_labels = Dataset.open(dataset_dir).test()
    test_rows = normalise(test_images.reshape(-1, 784).astype(np.float32), 255.0)
    differences = []
    for seed in range(5):
        ours, plain = untrained("functional", [], seed), plain_model(untrained("functional", [], seed))
        trainer = trainer_for(ours, rows)
        for epoch in (1, 2, 3):
            list(trainer.run_epoch(loop.Progress(epoch)))
            order = loop.epoch_order(ROWS, SEED, epoch)
            plain.fit(images[order], labels[order], batch_size=BATCH_SIZE, shuffle=False, verbose=0)
        accuracies = [loop.score(model, test_rows, test_labels).accuracy for model in (ours, plain)]
        assert accuracies[0] > 0.7
        differences.append(accuracies[0] - accuracies[1])
    assert max(map(abs, differences)) <= 0.001  # 10 of 10,000 rows


def test_streamed_rows_give_the_same_weights(rows: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    resident, streamed = (untrained("subclass", [24], seed=1) for _ in range(2))
    monkeypatch.setattr(loop, "CHUNK_STEPS", 3)  # 16 steps: five chunks and one that is not full
    trainers = trainer_for(resident, rows), trainer_for(streamed, rows, resident_bytes=10**6)
    for trainer in trainers:
        for epoch in (1, 2):
            *chunks, progress = trainer.run_epoch(loop.Progress(epoch))
            assert [chunk.step for chunk in chunks] == [3, 6, 9, 12, 15]
    for one, other in zip(resident.get_weights(), streamed.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert trainers[0].epoch_scores(progress) == trainers[1].epoch_scores(progress)


def test_state_is_all_that_a_run_needs_to_go_on(rows: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "CHUNK_STEPS", 5)
    whole, first, second = (untrained("sequential_list", [24], seed=1) for _ in range(3))
    *_, finished = trainer_for(whole, rows).run_epoch(loop.Progress())
    interrupted = trainer_for(first, rows)
    chunks = interrupted.run_epoch(loop.Progress())
    progress = [next(chunks), next(chunks)][1]
    resumed = trainer_for(second, rows)
    resumed.restore(interrupted.state())
    *_, ended = resumed.run_epoch(progress)
    assert ended == finished
    for one, other in zip(whole.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_half_precision_learns_and_keeps_float32_weights(precision: str, rows: Any) -> None:
    model = untrained("functional", [24], seed=1, precision=precision)
    trainer = trainer_for(model, rows)
    losses = []
    for epoch in (1, 2, 3):
        *_, progress = trainer.run_epoch(loop.Progress(epoch))
        losses.append(trainer.epoch_scores(progress).loss)
    assert losses[2] < 0.8 * losses[0]
    assert {weights.dtype for weights in model.get_weights()} == {np.dtype("float32")}


@pytest.mark.parametrize(
    ("precision", "scales"), [("float32", False), ("mixed_bfloat16", False), ("mixed_float16", True)]
)
def test_only_float16_has_its_loss_scaled(precision: str, scales: bool, rows: Any) -> None:
    """Its smallest gradients would become 0; the others have float32's exponents."""
    trainer = trainer_for(untrained("functional", [8], precision=precision), rows)
    assert isinstance(trainer.optimizer, keras.optimizers.LossScaleOptimizer) is scales


def test_rows_stay_on_the_device_up_to_resident_bytes(rows: Any) -> None:
    images, labels = rows
    on_device = loop.fitting_rows(images, labels, images.nbytes)
    assert on_device is not None
    np.testing.assert_array_equal(on_device[0], images)
    np.testing.assert_array_equal(on_device[1], labels)
    assert loop.fitting_rows(images, labels, images.nbytes - 1) is None


def test_scores_are_keras_evaluates(rows: Any) -> None:
    model = untrained("functional", [16], seed=0)
    model.compile(loss="sparse_categorical_crossentropy", metrics=["sparse_categorical_accuracy"])
    loss, accuracy = model.evaluate(*rows, verbose=0)
    scores = loop.score(model, *rows)
    assert scores.loss == pytest.approx(loss, rel=1e-5)
    assert scores.accuracy == pytest.approx(accuracy)


def test_scoring_in_blocks_counts_every_row(rows: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model = untrained("functional", [16], seed=0)
    whole = loop.score(model, *rows)
    monkeypatch.setattr(loop, "SCORE_ROWS", 300)
    blocks = loop.score(model, *rows)
    assert blocks.accuracy == whole.accuracy
    assert blocks.loss == pytest.approx(whole.loss, rel=1e-5)


def test_an_epochs_order_is_a_permutation_and_a_function_of_seed_and_epoch() -> None:
    order = loop.epoch_order(ROWS, seed=1, epoch=2)
    assert sorted(order) == list(range(ROWS))
    np.testing.assert_array_equal(order, loop.epoch_order(ROWS, seed=1, epoch=2))
    assert not np.array_equal(order, loop.epoch_order(ROWS, seed=1, epoch=3))
    assert not np.array_equal(order, loop.epoch_order(ROWS, seed=2, epoch=2))
