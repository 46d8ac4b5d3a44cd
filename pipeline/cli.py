"""The commands of `python -m pipeline`. Thin; heavy packages are imported where they are used."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from components import registry_signing
from components.errors import GateError, PipelineError, UsageError
from pipeline import image_build, models
from pipeline.schedule_cli import schedule_app
from pipeline.submit_cli import env_app, runs_app, submit
from pipeline.targets import Runner, Target

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # half of the time that --help takes is importing rich
    help="Train, score and publish a digit classifier: locally, on Kubeflow Pipelines or on Vertex AI.",
)
app.add_typer(image_build.app, name="images")
app.add_typer(models.models_app, name="models")
app.add_typer(env_app, name="env")
app.add_typer(runs_app, name="runs")
app.add_typer(schedule_app, name="schedule")

Assignments = Annotated[
    list[str],
    typer.Option("-p", "--parameter", metavar="NAME=VALUE", help="Set a pipeline parameter; repeatable."),
]
ParameterFiles = Annotated[
    list[Path], typer.Option("--parameters", metavar="FILE", help="YAML file of parameters; -p beats it.")
]
Registry = Annotated[str, typer.Option(help="Where the images are, as registry.example/team.")]
Tag = Annotated[str, typer.Option(help="The images' tag; the checkout's git SHA if not given.")]
Digests = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Pin images by digest, from what `make push` wrote.")
]


def main() -> None:
    """Runs a command; a PipelineError becomes one line and its exit code."""
    try:
        app()
    except PipelineError as error:
        typer.secho(f"error: {error}", fg=typer.colors.RED, err=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        typer.secho("error: interrupted", fg=typer.colors.RED, err=True)
        sys.exit(130)


@app.command()
def run(
    parameter: Assignments = [],  # noqa: B006  # typer reads it, nobody changes it
    parameters: ParameterFiles = [],  # noqa: B006
    bucket: Annotated[str, typer.Option(metavar="URI", help="Where the model is published.")] = "",
    from_yaml: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Run a compiled pipeline, not the checkout's DAG.")
    ] = None,
    runs_dir: Annotated[Path, typer.Option(help="A folder per run is made in it.")] = Path("output/runs"),
    retries: Annotated[int, typer.Option(min=0, max=10, help="Tries again of a failed task.")] = 0,
    runner: Annotated[
        Runner, typer.Option(help="Run tasks as processes of this machine, or in the components' images.")
    ] = Runner.SUBPROCESS,
    registry: Registry = "",
    tag: Tag = "",
    digests: Digests = None,
    network: Annotated[str, typer.Option(help="docker: the containers' network.")] = "none",
    gpus: Annotated[str, typer.Option(help="docker: GPUs that tasks may use: all, or how many.")] = "",
    signing_key: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Private key (PEM) that signs what is published.")
    ] = None,
    verify_key: models.VerifyKey = None,
) -> None:
    """Run the whole pipeline here, through the KFP local runner."""
    from pipeline import dag, docker_runner, local, summary
    from pipeline.compile import load_documents, local_spec
    from pipeline.parameters import resolve

    registry_signing.set_keys(signing_key, verify_key)
    docker = docker_runner.Options(registry=registry, tag=tag, digests=digests, network=network, gpus=gpus)
    spec = load_documents(from_yaml)[0] if from_yaml else local_spec()
    arguments = resolve(
        spec,
        [*parameter, *([f"bucket_uri={bucket}"] if bucket else [])],
        parameters,
        fallbacks={"bucket_uri": dag.LOCAL_BUCKET, "checkpoint_uri": dag.LOCAL_CHECKPOINTS},
    )
    arguments = local.on_this_machine(arguments)
    if runner is Runner.DOCKER:
        containers = docker_runner.for_run(spec, arguments, docker, runs_dir=runs_dir, pinned=bool(from_yaml))
    else:
        registry_signing.check_installed()
        containers = docker.refused()
    with containers as kfp_runner:
        outcome = local.run(spec, arguments, runs_dir=runs_dir, retries=retries, runner=kfp_runner)
    summary.show(outcome)
    evaluation = outcome.evaluation
    if evaluation and not (evaluation["blessed"] or evaluation["unchanged"]):
        raise GateError(evaluation["reason"])


@app.command(name="compile")
def compile_(
    target: Annotated[
        list[Target],
        typer.Option(help="What to compile for; repeatable.", default_factory=lambda: list(Target)),
    ],
    output_dir: Annotated[Path, typer.Option(help="Where the YAML files go.")] = Path("output/compiled"),
    registry: Registry = "",
    tag: Tag = "",
    digests: Digests = None,
    accelerator_type: Annotated[
        str, typer.Option(help="Of train's node, in the target's own terms; none for a CPU node.")
    ] = "",
    accelerator_count: Annotated[int, typer.Option(help="Accelerators of train's node.")] = 1,
    node_selector: Annotated[
        list[str], typer.Option(metavar="LABEL=VALUE", help="KFP: label that train's node must carry.")
    ] = [],  # noqa: B006
) -> None:
    """Compile the DAG to YAML, checked against the pipeline-spec schema."""
    from pipeline import images
    from pipeline.compile import nodes_for, to_documents, to_yaml

    references = images.resolve(registry=registry, tag=tag, digests_path=digests)
    selector = dict(_label(text) for text in node_selector)
    compiled = {
        each: to_yaml(
            to_documents(each, references, nodes_for(each, accelerator_type, accelerator_count, selector))
        )
        for each in target
    }
    output_dir.mkdir(parents=True, exist_ok=True)
    for each, text in compiled.items():
        path = output_dir / f"mnist-pipeline-{each}.yaml"
        path.write_text(text, encoding="utf-8")
        typer.echo(f"wrote {path}")


app.command()(submit)


def _label(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise UsageError(f"--node-selector={text!r}: must be LABEL=VALUE")
    return name, value
