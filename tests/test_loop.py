"""The compiled loop against plain Keras `fit`, batch by batch."""

from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pytest

from components.dataset import Dataset
from components.train import loop, models

ROWS, BATCH_SIZE, SEED = 1_000, 64, 5


@pytest.fixture(scope="module")
def rows(dataset_dir: str) -> tuple[npt.NDArray[np.float32], npt.NDArray[Any]]:
    images, labels = Dataset.open(dataset_dir).train()
    assert len(labels) == ROWS
    return images, labels


def trainer_for(model: keras.Model, rows: Any) -> loop.Trainer:
    return loop.Trainer(model, *rows, batch_size=BATCH_SIZE, learning_rate=0.001, seed=SEED)


def test_same_updates_and_same_weights_as_fit(rows: Any) -> None:
    images, labels = rows
    ours, plain = (models.build("sequential_add", [48, 24], seed=1) for _ in range(2))
    trainer = trainer_for(ours, rows)
    plain.compile(
        optimizer=keras.optimizers.RMSprop(learning_rate=0.001),
        loss=keras.losses.SparseCategoricalCrossentropy(),
        metrics=[keras.metrics.SparseCategoricalAccuracy()],
    )
    for epoch in (1, 2):
        updates = list(trainer.run_epoch(epoch))
        order = loop.epoch_order(ROWS, SEED, epoch)
        history = plain.fit(
            images[order], labels[order], batch_size=BATCH_SIZE, shuffle=False, verbose=0
        ).history
        scores = trainer.epoch_scores()
        assert updates[-1] == 16  # 15 full batches and one of 40 rows
        assert scores.loss == pytest.approx(history["loss"][0], rel=1e-4)
        assert scores.accuracy == pytest.approx(history["sparse_categorical_accuracy"][0], abs=1e-6)
    assert int(trainer.optimizer.iterations) == int(plain.optimizer.iterations) == 32
    for one, other in zip(ours.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=2e-5)


def test_scores_are_keras_evaluates(rows: Any) -> None:
    model = models.build("functional", [16], seed=0)
    model.compile(loss="sparse_categorical_crossentropy", metrics=["sparse_categorical_accuracy"])
    loss, accuracy = model.evaluate(*rows, verbose=0)
    scores = loop.score(model, *rows)
    assert scores.loss == pytest.approx(loss, rel=1e-5)
    assert scores.accuracy == pytest.approx(accuracy)


def test_scoring_in_blocks_counts_every_row(rows: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model = models.build("functional", [16], seed=0)
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
