"""`mnist-pipeline`, or `python -m pipeline`: its commands. Heavy imports are where they are used."""

import sys
from typing import Annotated

import typer

from components.errors import PipelineError, one_line
from pipeline import streams
from pipeline.commands.compile import compile_
from pipeline.commands.data import data_app
from pipeline.commands.demo import demo_retraining
from pipeline.commands.env import env_app
from pipeline.commands.images import images_app
from pipeline.commands.models import models_app
from pipeline.commands.params import params
from pipeline.commands.run import run
from pipeline.commands.runs import runs_app
from pipeline.commands.schedule import schedule_app
from pipeline.commands.submit import submit
from pipeline.version import VERSION

NAME = "mnist-pipeline"

app = typer.Typer(
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # half of the time that --help takes is importing rich
)
app.command()(run)
app.command(name="compile")(compile_)
app.command()(submit)
app.command()(demo_retraining)
app.add_typer(data_app, name="data")
app.command()(params)
app.add_typer(images_app, name="images")
app.add_typer(models_app, name="models")
app.add_typer(env_app, name="env")
app.add_typer(runs_app, name="runs")
app.add_typer(schedule_app, name="schedule")


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"{NAME} {VERSION}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit."),
    ] = False,
) -> None:
    """Train, score and publish a digit classifier: locally, on Kubeflow Pipelines or on Vertex AI."""


def main() -> None:
    """Runs a command; a PipelineError becomes one line and its exit code."""
    streams.prepare()
    try:
        try:
            app(prog_name=NAME)  # `python -m pipeline` too: completion goes by the name
        finally:
            sys.stdout.flush()  # here, where that it is full can still be said
    except streams.ReaderGoneError as gone:
        sys.exit(gone.exit_code)
    except PipelineError as error:
        typer.secho(f"error: {one_line(error)}", fg=typer.colors.RED, err=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        typer.secho("error: interrupted", fg=typer.colors.RED, err=True)
        sys.exit(130)
