"""`mnist-pipeline`, or `python -m pipeline`: its commands. Heavy imports are where they are used."""

import sys

import typer

from components.errors import PipelineError, one_line
from pipeline import streams
from pipeline.commands.compile import compile_
from pipeline.commands.env import env_app
from pipeline.commands.images import images_app
from pipeline.commands.models import models_app
from pipeline.commands.run import run
from pipeline.commands.runs import runs_app
from pipeline.commands.schedule import schedule_app
from pipeline.commands.submit import submit

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # half of the time that --help takes is importing rich
    help="Train, score and publish a digit classifier: locally, on Kubeflow Pipelines or on Vertex AI.",
)
app.command()(run)
app.command(name="compile")(compile_)
app.command()(submit)
app.add_typer(images_app, name="images")
app.add_typer(models_app, name="models")
app.add_typer(env_app, name="env")
app.add_typer(runs_app, name="runs")
app.add_typer(schedule_app, name="schedule")


def main() -> None:
    """Runs a command; a PipelineError becomes one line and its exit code."""
    streams.prepare()
    try:
        try:
            app()
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
