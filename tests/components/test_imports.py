"""What a machine says to Keras, against what train imports. Each test is a process: Keras reads it once."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
SHOW = """
import json, os, sys
from components.imports import pinned_keras, uncollected
said = lambda: {name: value for name, value in os.environ.items() if "KERAS" in name}
before = said()
with pinned_keras(), uncollected():
    from components.train import core
assert said() == before
from components.train import models
from components.train.settings import Settings
model = models.build(Settings(hidden_units=[4]).resolved())
from keras import config
shown = [config.backend(), config.floatx(), config.epsilon(), config.image_data_format()]
print(json.dumps([*shown, sorted({weights.dtype.name for weights in model.get_weights()}), str(model.dtype)]))
"""


@pytest.mark.parametrize(
    "file",
    [
        json.dumps(
            {"backend": "jax", "floatx": "float64", "epsilon": 0.5, "image_data_format": "channels_first"}
        ),
        json.dumps({"floatx": "int7"}),  # TensorFlow asserts, Keras raises
        "[]",
    ],
    ids=["other", "wrong", "damaged"],
)
def test_a_tasks_keras_is_the_same_on_every_machine(tmp_path: Path, file: str) -> None:
    path = tmp_path / ".keras" / "keras.json"
    path.parent.mkdir()
    path.write_text(file, encoding="utf-8")
    variables = {
        "HOME": str(tmp_path),
        "KERAS_BACKEND": "jax",
        "KERAS_MAX_EPOCHS": "few",
        "KERAS_NNX_ENABLED": "yes",
        "TF_USE_LEGACY_KERAS": "1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    done = subprocess.run(
        [sys.executable, "-c", SHOW],
        cwd=CHECKOUT,
        env=os.environ | variables,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [
        "tensorflow",
        "float32",
        1e-07,
        "channels_last",
        ["float32"],
        "float32",
    ]
    assert [entry.name for entry in tmp_path.rglob("*")] == [".keras", "keras.json"]
    assert path.read_text(encoding="utf-8") == file
