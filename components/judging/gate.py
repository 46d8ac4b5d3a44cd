"""The gate: may the challenger be published? Pure; every rule is kept in words for the report."""

import dataclasses
import fractions
import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from components.judging.scores import Scores
from components.judging.thresholds import Thresholds

PART_P_VALUE = 0.01


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


@dataclasses.dataclass(frozen=True)
class Part:
    """Challenger against champion on some of the rows: those of one digit, or of one slice of the data.

    Attributes:
      name: `digit 8`, or `slice` and where the rows came from.
      accuracy: the challenger's, a fraction of `rows`.
      champion_accuracy: the champion's.
    """

    name: str
    rows: int
    accuracy: float
    champion_accuracy: float
    comparison: Comparison


@dataclasses.dataclass(frozen=True)
class Match:
    """Everything that is known of challenger against champion on the test rows."""

    champion: Scores
    comparison: Comparison
    parts: Sequence[Part]


def rules(challenger: Scores, match: Match | None, thresholds: Thresholds) -> list[Rule]:
    """Every rule for this challenger; without a champion only the floors."""
    floors = floor_rules(
        challenger, min_accuracy=thresholds.min_accuracy, min_digit_recall=thresholds.min_digit_recall
    )
    if match is None:
        return floors
    return [
        *floors,
        champion_rule(challenger, match.champion, min_improvement=thresholds.min_improvement),
        chance_rule(match.comparison, max_p_value=thresholds.max_p_value),
        *part_rules(match.parts, max_slice_loss=thresholds.max_slice_loss),
    ]


def floor_rules(challenger: Scores, *, min_accuracy: float, min_digit_recall: float) -> list[Rule]:
    """The rules that need no champion; every digit below its floor is named, or the weakest if none is."""
    recall = challenger.recall
    failing = [digit for digit, value in enumerate(recall) if value < min_digit_recall]
    named = failing or [min(range(len(recall)), key=recall.__getitem__)]
    return [
        _at_least("accuracy", challenger.accuracy, "min_accuracy", min_accuracy),
        *(
            _at_least(f"recall of digit {digit}", recall[digit], "min_digit_recall", min_digit_recall)
            for digit in named
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


def chance_rule(comparison: Comparison, *, max_p_value: float) -> Rule:
    """The difference must be one that two equally good models would hardly show."""
    text = (
        f"{comparison.won} rows won and {comparison.lost} lost against the champion: equally good models "
        f"differ so much with p={comparison.p_value:.3g}, which must be at most {max_p_value:g} (max_p_value)"
    )
    return Rule(text, comparison.p_value <= max_p_value)


def part_rules(parts: Sequence[Part], *, max_slice_loss: float) -> list[Rule]:
    """No digit and no slice may lose more than `max_slice_loss` of its rows beyond what chance makes likely.

    All parts are tested, so each is tested more strictly (Bonferroni): PART_P_VALUE is the chance that any of
    them fails between equally good models.
    """
    limit = PART_P_VALUE / max(1, len(parts))
    chances = [(loss_p_value(part, max_slice_loss), part) for part in parts]
    failed = [
        Rule(
            f"{part.name}: {part.accuracy:.4f} of {part.rows} rows, the champion "
            f"{part.champion_accuracy:.4f}; must not lose more than {max_slice_loss:g} (max_slice_loss; "
            f"by chance p={chance:.2g})",
            passed=False,
        )
        for chance, part in chances
        if chance <= limit
    ]
    if failed or not chances:
        return failed
    chance, part = min(chances, key=lambda pair: pair[0])
    text = (
        f"no digit or slice may lose more than {max_slice_loss:g} (max_slice_loss); nearest to it is "
        f"{part.name}: {part.accuracy:.4f} of {part.rows} rows, the champion {part.champion_accuracy:.4f}, "
        f"by chance p={chance:.2g}"
    )
    return [Rule(text, passed=True)]


def loss_p_value(part: Part, max_slice_loss: float) -> float:
    """How often a challenger that may lose `max_slice_loss` of the rows would lose as much as this one."""
    beyond = part.comparison.lost - math.floor(max_slice_loss * part.rows + 1e-9)
    return upper_tail(beyond, part.comparison.won + beyond) if beyond > part.comparison.won else 1.0


def upper_tail(successes: int, trials: int) -> float:
    """How often a fair coin shows heads at least `successes` times in `trials`, exactly."""
    heads = sum(math.comb(trials, k) for k in range(successes, trials + 1))
    return float(fractions.Fraction(heads, 2**trials))


def parts_of(
    labels: NDArray[np.uint8],
    slices: Mapping[str, slice],
    challenger_right: NDArray[np.bool_],
    champion_right: NDArray[np.bool_],
) -> list[Part]:
    """Compares two models on every digit and on every slice that has rows.

    Args:
      labels: uint8 [N].
      slices: name to its rows; {} where all rows came from one place.
      challenger_right: bool [N].
      champion_right: bool [N].
    """
    chosen = {f"digit {digit}": labels == digit for digit in np.unique(labels)}
    for name, rows in slices.items():
        chosen[f"slice {name}"] = np.zeros(len(labels), bool)
        chosen[f"slice {name}"][rows] = True
    return [
        Part(
            name=name,
            rows=int(rows.sum()),
            accuracy=float(challenger_right[rows].mean()),
            champion_accuracy=float(champion_right[rows].mean()),
            comparison=compare(challenger_right[rows], champion_right[rows]),
        )
        for name, rows in chosen.items()
        if rows.any()
    ]


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
    return min(1.0, 2 * upper_tail(max(won, lost), won + lost))


def _at_least(name: str, value: float, parameter: str, floor: float) -> Rule:
    return Rule(f"{name} {value:.4f} must be at least {floor:g} ({parameter})", value >= floor)
