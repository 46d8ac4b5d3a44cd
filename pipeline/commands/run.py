"""`mnist-pipeline run`: the whole pipeline on this machine."""

import enum
from pathlib import Path
from typing import Annotated

import typer

from components.registry import signing
from pipeline.commands import options


class Runner(enum.StrEnum):
    """What runs the tasks of a local run."""

    SUBPROCESS = "subprocess"
    DOCKER = "docker"


def run(
    parameter: options.Assignments = [],  # noqa: B006  # typer reads it, nobody changes it
    parameters: options.ParameterFiles = [],  # noqa: B006
    bucket: Annotated[
        str, typer.Option(metavar="URI", callback=options.at_home, help="Where the model is published.")
    ] = "",
    from_yaml: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", callback=options.at_home, help="Run a compiled pipeline, not the checkout's DAG."
        ),
    ] = None,
    runs_dir: Annotated[
        Path,
        typer.Option(metavar="DIRECTORY", callback=options.at_home, help="A folder per run is made in it."),
    ] = Path("output/runs"),
    retries: Annotated[int, typer.Option(min=0, max=10, help="Tries again of a failed task.")] = 0,
    runner: Annotated[
        Runner, typer.Option(help="Run tasks as processes of this machine, or in the components' images.")
    ] = Runner.SUBPROCESS,
    registry: options.Registry = "",
    tag: options.Tag = "",
    digests: options.Digests = None,
    network: Annotated[str, typer.Option(help="docker: the containers' network.")] = "none",
    gpus: Annotated[str, typer.Option(help="docker: GPUs that train may use: all, or how many.")] = "",
    memory: Annotated[
        str, typer.Option(help="docker: memory of each task, as 8G; what it has on a cluster if not given.")
    ] = "",
    signing_key: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", callback=options.at_home, help="Private key (PEM) that signs what is published."
        ),
    ] = None,
    verify_key: options.VerifyKey = None,
) -> None:
    """Run the whole pipeline here, through the KFP local runner."""
    from pipeline.local.docker_options import Options
    from pipeline.local.launch import Launch, launch

    signing.set_keys(signing_key, verify_key)
    docker = Options(registry=registry, tag=tag, digests=digests, network=network, gpus=gpus, memory=memory)
    if runner is Runner.SUBPROCESS:
        docker.check_unused()
    launch(
        Launch(
            assignments=[*parameter, *([f"bucket_uri={bucket}"] if bucket else [])],
            files=parameters,
            from_yaml=from_yaml,
            runs_dir=runs_dir,
            retries=retries,
            docker=docker if runner is Runner.DOCKER else None,
        )
    )
