import numpy as np
import pytest

from components.judging.scores import predicted_digits, score


def one_hot(digits: list[int], certainty: float = 0.91) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    probabilities = np.full((len(digits), 10), (1 - certainty) / 9, np.float32)
    probabilities[np.arange(len(digits)), digits] = certainty
    return probabilities


def test_accuracy_loss_recall_precision_and_confusion() -> None:
    labels = np.array([0, 0, 1, 1, 2])
    scores = score(one_hot([0, 1, 1, 1, 2]), labels)
    assert scores.rows == 5
    assert scores.accuracy == pytest.approx(0.8)
    assert scores.loss == pytest.approx(-(4 * np.log(0.91) + np.log(0.01)) / 5, rel=1e-4)
    assert scores.recall[:3] == [0.5, 1.0, 1.0]
    assert scores.precision[:3] == [1.0, pytest.approx(2 / 3), 1.0]
    assert scores.confusion[0][:2] == [1, 1]
    assert sum(map(sum, scores.confusion)) == 5


def test_a_digit_that_is_absent_or_never_predicted_scores_zero() -> None:
    scores = score(one_hot([1, 1]), np.array([1, 2]))
    assert scores.recall[2] == 0
    assert scores.precision[2] == 0
    assert scores.recall[7] == 0


def test_one_certain_mistake_does_not_cost_infinity() -> None:
    assert score(one_hot([1], certainty=1.0), np.array([2])).loss == pytest.approx(-np.log(1e-7))


def test_a_tie_goes_to_the_smaller_digit() -> None:
    assert predicted_digits(np.full((1, 10), 0.1, np.float32)).tolist() == [0]
