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


def test_a_digit_below_its_floor_is_named() -> None:
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
    match = gate.Match(champion, gate.Comparison(900, 400, 0.0), []) if champion else None
    rules = gate.rules(scores(9_500, recall=0.8), match, thresholds)
    failed = [rule.text for rule in rules if not rule.passed]
    assert failed == [
        "accuracy 0.9500 must be at least 0.97 (min_accuracy)",
        *(f"recall of digit {digit} 0.8000 must be at least 0.9 (min_digit_recall)" for digit in range(10)),
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


def part(won: int, lost: int, rows: int = 1_000, name: str = "digit 5") -> gate.Part:
    right = 950
    return gate.Part(
        name,
        rows,
        (right + won - lost) / rows,
        right / rows,
        gate.Comparison(won, lost, gate.mcnemar_p_value(won, lost)),
    )


def test_every_digit_below_its_floor_is_named_and_the_weakest_if_none_is() -> None:
    weak = dataclasses.replace(scores(9_900), recall=[0.99, 0.8, 0.99, 0.7] + [0.99] * 6)
    failing = gate.floor_rules(weak, min_accuracy=0.0, min_digit_recall=0.9)[1:]
    assert [(rule.text[:17], rule.passed) for rule in failing] == [
        ("recall of digit 1", False),
        ("recall of digit 3", False),
    ]
    [passing] = gate.floor_rules(weak, min_accuracy=0.0, min_digit_recall=0.5)[1:]
    assert (passing.text[:17], passing.passed) == ("recall of digit 3", True)


@pytest.mark.parametrize(
    ("won", "lost", "passed"),
    [(1, 0, False), (60, 59, False), (60, 40, False), (60, 35, True), (200, 100, True)],
)
def test_a_difference_that_chance_makes_likely_promotes_nobody(won: int, lost: int, passed: bool) -> None:
    comparison = gate.Comparison(won, lost, gate.mcnemar_p_value(won, lost))
    assert gate.chance_rule(comparison, max_p_value=0.05).passed is passed


def test_a_part_may_lose_what_chance_makes_likely_and_no_more() -> None:
    noise, loss = part(20, 28), part(5, 50, name="digit 8")
    assert [rule.passed for rule in gate.part_rules([noise], max_slice_loss=0.0)] == [True]
    rules = gate.part_rules([noise, loss, part(3, 60, name="slice b0")], max_slice_loss=0.0)
    assert [(rule.text.split(":")[0], rule.passed) for rule in rules] == [
        ("digit 8", False),
        ("slice b0", False),
    ]
    assert (
        "0.9050 of 1000 rows, the champion 0.9500; must not lose more than 0 (max_slice_loss" in rules[0].text
    )


def test_a_part_may_lose_what_it_is_allowed_to() -> None:
    [rule] = gate.part_rules([part(5, 50)], max_slice_loss=0.04)
    assert rule.passed
    [rule] = gate.part_rules([part(5, 50)], max_slice_loss=0.01)
    assert not rule.passed


def test_more_parts_are_each_tested_more_strictly() -> None:
    close = part(10, 27)
    assert not gate.part_rules([close], max_slice_loss=0.0)[0].passed
    assert gate.part_rules([close, *(part(10, 10) for _ in range(40))], max_slice_loss=0.0)[0].passed


def test_the_tail_is_binomial() -> None:
    assert gate.upper_tail(0, 5) == 1.0
    assert gate.upper_tail(5, 5) == 1 / 32
    assert gate.upper_tail(3, 4) == 5 / 16


def test_parts_are_digits_and_slices_with_rows() -> None:
    labels = np.array([0, 0, 1, 1], np.uint8)
    ours, theirs = np.array([True, True, True, False]), np.array([True, False, True, True])
    parts = gate.parts_of(
        labels, {"mnist": slice(0, 3), "b0": slice(3, 4), "none": slice(4, 4)}, ours, theirs
    )
    assert [(each.name, each.rows, each.comparison.won, each.comparison.lost) for each in parts] == [
        ("digit 0", 2, 1, 0),
        ("digit 1", 2, 0, 1),
        ("slice mnist", 3, 1, 0),
        ("slice b0", 1, 0, 1),
    ]
    assert (parts[3].accuracy, parts[3].champion_accuracy) == (0.0, 1.0)
