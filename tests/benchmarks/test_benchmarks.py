import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.benchmarks import __main__ as bench
from tests.benchmarks.bench_training import steady_seconds, training_flops
from tests.benchmarks.rows import Row, skipped, spread


def test_a_quick_run_prints_a_table_and_writes_every_figure(tmp_path: Path) -> None:
    output = tmp_path / "deep" / "bench.json"
    only = ["training", "start_up"]
    done = CliRunner().invoke(
        bench.app, ["--quick", "--output", str(output), *(f"--only={name}" for name in only)]
    )
    assert done.exit_code == 0, done.output
    figures = json.loads(output.read_text(encoding="utf-8"))
    assert figures["machine"]["cores"] >= 1
    assert list(figures["rows"]) == only
    rows = [row for found in figures["rows"].values() for row in found]
    assert len(rows) >= 7
    for row in rows:
        assert row["what"][:20] in done.stdout
        if not row["note"].startswith("skipped: "):
            assert all(value >= 0 for value in row["values"])
            assert len(row["values"]) == 1
            assert len(row["ratios"]) == (1 if row["against"] else 0)


def test_an_unknown_section_is_refused_before_anything_runs(tmp_path: Path) -> None:
    done = CliRunner().invoke(bench.app, ["--only", "nope", "--output", str(tmp_path / "bench.json")])
    assert done.exit_code == 2
    assert not list(tmp_path.iterdir())


def test_ratios_are_of_the_same_round_and_goals_are_of_their_median() -> None:
    faster = Row(
        what="x", values=[1.0, 2.0, 1.0], against="y", baseline=[4.0, 4.0, 3.0], is_speed=True, at_least=3
    )
    assert faster.ratios == [4.0, 2.0, 3.0]
    assert (faster.goal, faster.is_met) == ("≥ 3", True)
    cost = Row(what="x", values=[1.0, 3.0], against="y", baseline=[2.0, 2.0], at_most=0.9)
    assert cost.ratios == [0.5, 1.5]
    assert (cost.goal, cost.is_met) == ("≤ 0.9", False)
    assert Row(what="peak", values=[1.5], at_most=1.4).is_met is False
    (missing,) = skipped("x", "torch is not installed")
    assert (missing.is_met, missing.ratios, missing.note) == (None, [], "skipped: torch is not installed")


def test_a_spread_has_the_median_and_the_extremes() -> None:
    assert spread([3.0, 1.0, 2.0], "s") == "2 s (1 to 3)"
    assert spread([0.12345]) == "0.123"


def test_arithmetic_of_an_epoch() -> None:
    # 784-64-10: every weight is used three times but for those of the first layer, used twice.
    assert training_flops((784, 64), 1) == 2 * (2 * 784 * 784 + 3 * (784 * 64 + 64 * 10))


def test_a_steady_epoch_is_one_after_the_first() -> None:
    assert steady_seconds({"epochs": [5.0, 6.0, 8.0, 9.0]}) == pytest.approx(1.0)


def test_every_section_is_found() -> None:
    assert {"training", "pipeline", "scale", "start_up"} <= bench.sections().keys()
