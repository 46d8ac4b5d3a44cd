"""The learning curves as one HTML page: drawn as SVG, needs nothing from outside."""

import dataclasses

import jinja2

WIDTH, HEIGHT, MARGIN = 560, 240, 48


@dataclasses.dataclass(frozen=True)
class Epoch:
    """One line of the curves. Losses in nats, accuracies as fractions 0..1, `seconds` of wall time."""

    epoch: int
    loss: float
    accuracy: float
    validation_loss: float
    validation_accuracy: float
    seconds: float


def to_html(title: str, epochs: list[Epoch]) -> str:
    """Returns a page with the loss curve, the accuracy curve and the numbers behind them."""
    losses = [e.loss for e in epochs], [e.validation_loss for e in epochs]
    accuracies = [e.accuracy for e in epochs], [e.validation_accuracy for e in epochs]
    charts = [_chart("Loss (nats)", *losses), _chart("Accuracy", *accuracies)]
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, loader=jinja2.PackageLoader("components.train", "templates")
    )
    return environment.get_template("curves.html").render(
        title=title, charts=charts, epochs=epochs, width=WIDTH, height=HEIGHT, margin=MARGIN
    )


def _chart(title: str, training: list[float], validation: list[float]) -> dict[str, object]:
    low, high = min(training + validation), max(training + validation)
    span = (high - low) or 1.0

    def place(position: int, value: float, count: int) -> tuple[float, float]:
        x = MARGIN + (WIDTH - 2 * MARGIN) * (position / max(count - 1, 1))
        y = HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * (value - low) / span
        return round(x, 1), round(y, 1)

    return {
        "title": title,
        "low": low,
        "high": high,
        "lines": [
            {"name": name, "points": [place(i, value, len(values)) for i, value in enumerate(values)]}
            for name, values in (("training", training), ("validation", validation))
        ],
    }
