import dataclasses

import numpy as np
import pytest

from components.judging import gate
from components.judging.scores import Scores
from components.judging.thresholds import Thresholds

ROWS = 10_000


def scores(right: int, recall: float = 0.95) -> Scores:
    return Scores(ROWS, right / ROWS, 0.1, [recall] * 10, [recall] * 10, [[0] * 10] * 10)


@pytest.mark.parametrize(("right", "passed"), [(9_699, False), (9_700, True)])
def test_the_accuracy_floor_itself_passes(right: int, passed: bool) -> None:
    rules = gate.floor_rules(scores(right), min_accuracy=0.97, min_digit_recall=0.0)
    assert [rule.passed for rule in rules] == [passed, True]


def test_the_weakest_digit_decides_and_is_named() -> None:
    weak = dataclasses.replace(scores(9_900), recall=[0.99] * 7 + [0.5] + [0.99] * 2)
    rule = gate.floor_rules(weak, min_accuracy=0.0, min_digit_recall=0.9)[1]
    assert not rule.passed
    assert rule.text == "recall of digit 7 0.5000 must be at least 0.9 (min_digit_recall)"


@pytest.mark.parametrize(
    ("challenger", "min_improvement", "passed"),
    [
        (9_800, 0.0, False),  # a tie keeps the champion
        (9_801, 0.0, True),
        (9_799, 0.0, False),
        (9_809, 0.001, False),
        (9_810, 0.001, True),  # exactly the improvement that is asked for
        (10_000, 0.02, True),
        (10_000, 0.0201, False),
    ],
)
def test_the_champion_must_be_beaten_by_min_improvement(
    challenger: int, min_improvement: float, passed: bool
) -> None:
    rule = gate.champion_rule(scores(challenger), scores(9_800), min_improvement=min_improvement)
    assert rule.passed is passed


@pytest.mark.parametrize("champion", [None, scores(9_000)])
def test_the_floors_hold_with_and_without_a_champion(champion: Scores | None) -> None:
    """A challenger that beats a weak champion must still reach them."""
    thresholds = Thresholds(min_accuracy=0.97, min_digit_recall=0.9, min_improvement=0.0)
    rules = gate.rules(scores(9_500, recall=0.8), champion, thresholds)
    failed = [rule.text for rule in rules if not rule.passed]
    assert failed == [
        "accuracy 0.9500 must be at least 0.97 (min_accuracy)",
        "recall of digit 0 0.8000 must be at least 0.9 (min_digit_recall)",
    ]


def test_compare_counts_the_rows_that_only_one_has_right() -> None:
    challenger = np.array([True, True, True, False, False])
    champion = np.array([True, False, False, True, False])
    assert gate.compare(challenger, champion) == gate.Comparison(won=2, lost=1, p_value=1.0)


# Exact two-sided binomial p-values, as scipy.stats.binomtest(min, n, 0.5) gives them.
@pytest.mark.parametrize(
    ("won", "lost", "p_value"),
    [(0, 0, 1.0), (5, 5, 1.0), (10, 2, 0.03857421875), (0, 6, 0.03125), (60, 40, 0.056887933640980784)],
)
def test_mcnemars_exact_p_value(won: int, lost: int, p_value: float) -> None:
    assert gate.mcnemar_p_value(won, lost) == pytest.approx(p_value, rel=1e-12)
    assert gate.mcnemar_p_value(lost, won) == gate.mcnemar_p_value(won, lost)


def test_mcnemar_stays_finite_for_every_row() -> None:
    assert gate.mcnemar_p_value(ROWS, 0) == 0.0  # 2**-9999 is below the smallest float
    assert gate.mcnemar_p_value(1_000, 1_000) == 1.0  # 2**2000 is above the largest
