"""The closed loop, with a small model and few rows to train on beside the batches."""

from pathlib import Path

from pipeline.local import retraining_demo
from pipeline.local.retraining_demo import Night


def test_new_digits_are_learned_from_old_ones_are_not_and_wrong_labels_are_refused(tmp_path: Path) -> None:
    told: list[Night] = []
    changes = {"validation_rows": 40_000, "min_accuracy": 0.8, "min_digit_recall": 0.6}
    nights = retraining_demo.nights(tmp_path / "demo", retraining_demo.base_rows(), told.append, **changes)
    assert told == nights
    first, learned, idle, refused = nights

    assert (first.exit_code, list(first.slices)) == (0, ["mnist"])
    assert first.decision == "training, for there is no champion"

    assert learned.exit_code == 0
    assert "new training rows of 500 (min_new_rows); drift" in learned.decision
    accuracy, before = learned.slices["inverted"]
    assert before is not None
    assert accuracy > before + 0.2
    assert learned.verdict.startswith("blessed: beats the champion's accuracy")

    assert (idle.exit_code, idle.slices, idle.verdict) == (0, {}, "")
    assert idle.decision.startswith("unchanged, published as ")

    assert refused.exit_code == 4
    assert set(refused.slices) == {"mnist", "inverted", "shuffled"}
    assert refused.verdict.startswith("not blessed: ")
    assert len(list((tmp_path / "demo" / "bucket" / "versions").iterdir())) == 2
