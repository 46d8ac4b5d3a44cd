"""What the gate asks for, each parameter once."""

import dataclasses

from components.parameters import Fraction, Parameters, parameter


@dataclasses.dataclass(frozen=True, kw_only=True)
class Thresholds(Parameters):
    """What the gate asks for; fractions, 0..1, of the test rows."""

    min_accuracy: float = parameter(Fraction(), "Floor for the test accuracy.", 0.97)
    min_digit_recall: float = parameter(Fraction(), "Floor for the recall of the weakest digit.", 0.93)
    min_improvement: float = parameter(
        Fraction(), "By how much the champion's accuracy must be beaten; a tie keeps the champion.", 0.0
    )
