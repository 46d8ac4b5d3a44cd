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
    max_p_value: float = parameter(
        Fraction(),
        "How often two equally good models may differ as much as challenger and champion (McNemar's exact "
        "test); 1 for no such rule.",
        0.05,
    )
    max_slice_loss: float = parameter(
        Fraction(),
        "How much of a digit's or a slice's rows may be lost to the champion, beyond what chance explains.",
        0.0,
    )
