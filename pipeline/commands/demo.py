"""`mnist-pipeline demo-retraining`: new digits come in, night after night."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline import files
from pipeline.commands import options

if TYPE_CHECKING:
    from pipeline.local.retraining_demo import Night


def demo_retraining(
    output_dir: Annotated[
        Path,
        typer.Option(
            metavar="DIRECTORY", callback=options.at_home, help="A folder for this demo is made in it."
        ),
    ] = Path("output"),
) -> None:
    """Show four scheduled nights: a first model, new digits, nothing new, and digits with wrong labels."""
    from pipeline.local import retraining_demo

    files.make_folder(output_dir, "--output-dir")
    directory = Path(tempfile.mkdtemp(prefix="demo-retraining-", dir=output_dir)).resolve()
    retraining_demo.nights(directory, retraining_demo.base_rows(), _show)
    typer.echo(f"\nmodels, batches, runs and their reports: {directory}")


def _show(night: "Night") -> None:
    typer.echo(f"\n{night.name}")
    typer.echo(f"  lookup    {night.decision}")
    for name, (accuracy, champion) in night.slices.items():
        before = "" if champion is None else f", the champion {champion:.4f}"
        typer.echo(f"  {name:<9} accuracy {accuracy:.4f}{before}")
    if night.verdict:
        typer.echo(f"  gate      {night.verdict}")
