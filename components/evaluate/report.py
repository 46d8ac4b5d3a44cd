"""The evaluation as one HTML page: the verdict in words first, the numbers behind it after."""

from collections.abc import Sequence

import jinja2

from components.dataset import Slice
from components.judging.evaluation import Evaluation


def to_html(evaluation: Evaluation, batches: Sequence[Slice] = ()) -> str:
    """Returns the report of an evaluation, and of the batches that came since."""
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, loader=jinja2.PackageLoader("components.evaluate", "templates")
    )
    most = max(max(row) for row in evaluation.scores.confusion)
    return environment.get_template("report.html").render(evaluation=evaluation, most=most, batches=batches)
