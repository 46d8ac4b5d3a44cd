"""The gate: may the challenger be published? Pure; every rule is kept in words for the report."""

import dataclasses
import fractions
import math

import numpy as np
from numpy.typing import NDArray

from components.judging.scores import Scores
from components.judging.thresholds import Thresholds


@dataclasses.dataclass(frozen=True)
class Rule:
    """One rule, in words with its numbers, and whether the challenger passes it."""

    text: str
    passed: bool


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Challenger against champion on the same rows.

    `won` rows only the challenger has right, `lost` rows only the champion; `p_value` is McNemar's.
    """

    won: int
    lost: int
    p_value: float


def rules(challenger: Scores, champion: Scores | None, thresholds: Thresholds) -> list[Rule]:
    """Every rule for this challenger; without a champion only the floors."""
    floors = floor_rules(
        challenger, min_accuracy=thresholds.min_accuracy, min_digit_recall=thresholds.min_digit_recall
    )
    if champion is None:
        return floors
    return [*floors, champion_rule(challenger, champion, min_improvement=thresholds.min_improvement)]


def floor_rules(challenger: Scores, *, min_accuracy: float, min_digit_recall: float) -> list[Rule]:
    """The rules that need no champion."""
    weakest = min(range(len(challenger.recall)), key=challenger.recall.__getitem__)
    return [
        _at_least("accuracy", challenger.accuracy, "min_accuracy", min_accuracy),
        _at_least(
            f"recall of digit {weakest}", challenger.recall[weakest], "min_digit_recall", min_digit_recall
        ),
    ]


def champion_rule(challenger: Scores, champion: Scores, *, min_improvement: float) -> Rule:
    """The challenger must beat the champion by at least `min_improvement`; a tie keeps the champion.

    Accuracies are compared as counts of right rows, so that no rounding decides.
    """
    won_rows = round((challenger.accuracy - champion.accuracy) * challenger.rows)
    needed_rows = max(1, math.ceil(min_improvement * challenger.rows - 1e-9))
    text = (
        f"accuracy {challenger.accuracy:.4f} must beat the champion's {champion.accuracy:.4f} by at least "
        f"{needed_rows} of {challenger.rows} rows "
        f"(min_improvement={min_improvement:g}; a tie keeps the champion)"
    )
    return Rule(text, won_rows >= needed_rows)


def compare(challenger_right: NDArray[np.bool_], champion_right: NDArray[np.bool_]) -> Comparison:
    """Compares two models row by row, bool [N] each.

    compare(a, a).p_value  # 1.0
    """
    won = int((challenger_right & ~champion_right).sum())
    lost = int((champion_right & ~challenger_right).sum())
    return Comparison(won, lost, mcnemar_p_value(won, lost))


def mcnemar_p_value(won: int, lost: int) -> float:
    """McNemar's exact two-sided p-value: how often two equally good models differ at least this much.

    The exact binomial tail in whole numbers; SciPy's `binomtest` gives the same and weighs 100 MB.
    """
    rows = won + lost
    tail = sum(math.comb(rows, k) for k in range(min(won, lost) + 1))
    return min(1.0, float(fractions.Fraction(2 * tail, 2**rows)))


def _at_least(name: str, value: float, parameter: str, floor: float) -> Rule:
    return Rule(f"{name} {value:.4f} must be at least {floor:g} ({parameter})", value >= floor)
