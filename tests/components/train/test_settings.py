from typing import Any

import pytest

from components.errors import UsageError
from components.train.settings import Execution, Settings


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("model_style", "nope"),
        ("hidden_units", [0]),
        ("hidden_units", [1.5]),
        ("hidden_units", ["8"]),
        ("hidden_units", [8] * 17),
        ("epochs", 0),
        ("batch_size", 0),
        ("learning_rate", 0.0),
        ("learning_rate", float("nan")),
        ("learning_rate", float("inf")),
        ("seed", -1),
        ("precision", "float64"),
        ("resident_bytes", -1),
        ("checkpoint_uri", "s3://checkpoints"),
    ],
)
def test_settings_out_of_range_cannot_be_made(field: str, value: Any) -> None:
    with pytest.raises(UsageError, match=rf"^{field}=.*must be "):
        kind = Settings if field in Settings.names() else Execution
        kind(**{field: value})


def test_sizes_that_are_not_given_are_the_styles_own() -> None:
    assert Settings(model_style="functional").resolved().hidden_units == [64, 64]
    assert Settings(model_style="subclass").resolved().hidden_units == [784, 64]
    assert Settings(model_style="subclass", hidden_units=[8]).resolved().hidden_units == [8]


def test_a_fingerprint_tells_every_parameter_apart() -> None:
    changes: dict[str, Any] = {
        "model_style": "subclass",
        "hidden_units": [1],
        "epochs": 1,
        "batch_size": 1,
        "learning_rate": 0.5,
        "seed": 1,
        "precision": "mixed_float16",
    }
    assert set(changes) == set(Settings.names())
    fingerprints = {Settings(**{name: value}).fingerprint() for name, value in changes.items()}
    assert len(fingerprints | {Settings().fingerprint()}) == len(changes) + 1
