"""The notebook's four cells at full length (`make test-notebook`; some minutes)."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parent.parent
# Training accuracy of the last epoch, as the notebook printed it.
PRINTED = {"sequential-add": 0.9961, "sequential-list": 0.9823, "functional": 0.9887, "subclass": 0.9959}
TOLERANCE = 0.004


@pytest.mark.notebook
@pytest.mark.timeout(900)
@pytest.mark.parametrize("cell", PRINTED)
def test_training_accuracy_is_the_notebooks(cell: str, tmp_path: Path) -> None:
    parameters = CHECKOUT / "pipeline" / "parameters" / f"notebook-{cell}.yaml"
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", "run", "--parameters", str(parameters)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (provenance,) = tmp_path.glob("output/bucket/versions/*/model/assets.extra/model.json")
    training_accuracy = json.loads(provenance.read_text(encoding="utf-8"))["training_accuracy"]
    print(f"{cell}: training accuracy {training_accuracy:.4f}, the notebook printed {PRINTED[cell]}")
    assert training_accuracy == pytest.approx(PRINTED[cell], abs=TOLERANCE)
    (report,) = tmp_path.glob("output/runs/*/report.html")
    assert "The validation rows were training rows too" in report.read_text(encoding="utf-8")
