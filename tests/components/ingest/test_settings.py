import math
from typing import Any

import pytest

from components.errors import UsageError
from components.ingest.settings import Settings

GOOD: dict[str, Any] = {
    "dataset": "mnist",
    "mirror": "",
    "pixel_scale": 255.0,
    "validation_rows": 10_000,
    "holdout": True,
    "augment_factor": 100,
}


@pytest.mark.parametrize("dataset", ["mnist", "fashion_mnist", "kmnist"])
@pytest.mark.parametrize(
    "mirror",
    [
        "",
        "data",
        "/data/mnist",
        "./a b",
        "gs://bucket",
        "gs://bucket/a/b",
        "http://h:8000",
        "https://h/a/",
        "file:///a",
    ],
)
def test_what_is_allowed_passes(dataset: str, mirror: str) -> None:
    Settings(**GOOD | {"dataset": dataset, "mirror": mirror})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("dataset", "emnist"),
        ("dataset", ""),
        ("mirror", "s3://bucket"),
        ("mirror", "ftp://host/x"),
        ("mirror", "gs://"),
        ("mirror", "gs://-b-/x"),
        ("mirror", "https://"),
        ("mirror", "http://host:port/"),
        ("mirror", "http://[::1/"),
        ("mirror", "https://host/a?b=c"),
        ("mirror", "https://user:secret@host/a"),
        ("mirror", " /data"),
        ("mirror", "/da\nta"),
        ("pixel_scale", 0.0),
        ("pixel_scale", -255.0),
        ("pixel_scale", math.nan),
        ("pixel_scale", math.inf),
        ("pixel_scale", 1e-300),
        ("validation_rows", 0),
        ("validation_rows", -1),
        ("validation_rows", 1_000_000_001),
        ("max_drift", -0.1),
        ("validation_rows", 1.5),
        ("augment_factor", 0),
        ("augment_factor", -1),
        ("augment_factor", 101),
        ("augment_factor", 1.5),
        ("augment_factor", True),
    ],
)
def test_what_is_not_allowed_is_named_in_one_line(field: str, value: object) -> None:
    with pytest.raises(UsageError, match=f"^{field}") as error:
        Settings(**GOOD | {field: value})
    assert "\n" not in str(error.value)
    assert "secret" not in str(error.value)
