"""`make bench`: measures in turns, prints a table, writes output/bench.json.

A section is a module bench_*.py of this package with `run(rounds, quick) -> list[Row]`; --only chooses some.
"""

import importlib
import json
import os
import pkgutil
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from tests import benchmarks
from tests.benchmarks.rows import Row, spread

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
PREFIX = "bench_"
MET = {True: "yes", False: "no", None: ""}


def sections() -> dict[str, Callable[[int, bool], list[Row]]]:
    """Returns every section by its name."""
    names = [each.name for each in pkgutil.iter_modules(benchmarks.__path__) if each.name.startswith(PREFIX)]
    modules = {name: importlib.import_module(f"{benchmarks.__name__}.{name}") for name in names}
    return {
        name.removeprefix(PREFIX): module.run for name, module in modules.items() if hasattr(module, "run")
    }


@app.command()
def main(
    only: Annotated[list[str], typer.Option(help="A section; repeatable. All if not given.")] = [],  # noqa: B006
    rounds: Annotated[int, typer.Option(min=1, help="How often each contestant has its turn.")] = 5,
    quick: Annotated[
        bool, typer.Option("--quick", help="Tiny sizes, one process: whether it runs, not how fast.")
    ] = False,
    output: Annotated[Path, typer.Option(help="Where the figures go as JSON.")] = Path("output/bench.json"),
) -> None:
    """Measure the pipeline against its yardsticks."""
    known = sections()
    if unknown := [name for name in only if name not in known]:
        raise typer.BadParameter(f"{unknown[0]}: must be one of {', '.join(known)}", param_hint="--only")
    machine = _machine()
    rows = {}
    for name in only or known:
        rows[name] = known[name](1 if quick else rounds, quick)
        _show(name, rows[name])
    facts = {
        "machine": machine,
        "load_at_end": os.getloadavg(),
        "rounds": rounds,
        "quick": quick,
        "rows": {name: [row.to_json() for row in found] for name, found in rows.items()},
    }
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    print(f"wrote {output}")


def _machine() -> dict[str, Any]:
    processors = {
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        if line.startswith("model name")
    }
    return {
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "cores": os.cpu_count(),
        "processor": sorted(processors),
        "python": platform.python_version(),
        "load_at_start": os.getloadavg(),
    }


def _show(name: str, rows: list[Row]) -> None:
    table = Table(title=name.replace("_", " "), title_justify="left")
    for column in ("what", "median (min to max)", "against", "median (min to max)", "ratio", "goal", "met"):
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(
            f"{row.what}\n{row.note}".strip() if row.values else row.what,
            spread(row.values, row.unit) or row.note,
            row.against,
            spread(row.baseline, row.unit),
            spread(row.ratios, "times" if row.is_speed else ""),
            row.goal,
            MET[row.is_met],
        )
    Console(width=None if sys.stdout.isatty() else 180).print(table)


if __name__ == "__main__":
    app()
