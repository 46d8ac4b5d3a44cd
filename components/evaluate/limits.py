"""What evaluate accepts; pure, so that a launcher can refuse a bad value before anything starts."""

from components import ranges


def check(*, min_accuracy: float, min_digit_recall: float, min_improvement: float) -> None:
    """Raises UsageError for the first parameter that is not a fraction from 0 to 1."""
    ranges.fraction("min_accuracy", min_accuracy)
    ranges.fraction("min_digit_recall", min_digit_recall)
    ranges.fraction("min_improvement", min_improvement)
