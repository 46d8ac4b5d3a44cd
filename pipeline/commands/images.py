"""`mnist-pipeline images list|build|push|sbom`."""

from pathlib import Path
from typing import Annotated

import typer

from pipeline.commands import options, tables
from pipeline.images import build as builder
from pipeline.images import inventory, references

images_app = typer.Typer(no_args_is_help=True, help="The components' container images.")

Registry = Annotated[
    str, typer.Option(help="Host and path to put the images below; empty for this machine only.")
]
Tag = Annotated[str, typer.Option(help="Empty for the checkout's git SHA, with -dirty when it is.")]
Variant = Annotated[str, typer.Option(help="TensorFlow of the train image: cpu or gpu.")]
Signing = Annotated[
    bool, typer.Option("--signing", help="With what signed models need, in evaluate and export.")
]


@images_app.command("list")
def list_command(
    registry: options.Registry = "",
    tag: options.Tag = "",
    digests: options.Digests = None,
    as_json: tables.Json = False,
) -> None:
    """Lists which image each task runs in, for the same options as compile and run; asks no engine."""
    named = references.resolve(registry=registry, tag=tag, digests_path=digests)
    hosts = {component: component for component in references.COMPONENTS} | references.GUESTS
    records = [{"task": task, "image": named[host]} for task, host in hosts.items()]
    tables.print_list(records, ("task", "image"), as_json=as_json)


@images_app.command("build")
def build_command(
    registry: Registry = "", tag: Tag = "", tf_variant: Variant = "cpu", signing: Signing = False
) -> None:
    """Builds the four images and prints each reference, its size and how long it took."""
    builder.build(registry=registry, tag=tag, tf_variant=tf_variant, signing=signing)


@images_app.command("push")
def push_command(
    registry: Registry = "",
    tag: Tag = "",
    digests: Annotated[Path, typer.Option(metavar="FILE", callback=options.at_home)] = builder.DIGESTS_PATH,
) -> None:
    """Pushes the four images and writes the file for `compile --digests`."""
    builder.push(registry=registry, tag=tag, digests_path=digests)


@images_app.command("sbom")
def sbom_command(
    directory: Annotated[
        Path, typer.Option(metavar="DIRECTORY", callback=options.at_home)
    ] = inventory.SBOM_DIR,
    tf_variant: Variant = "cpu",
    signing: Signing = False,
) -> None:
    """Writes one CycloneDX file an image: every locked package with its hashes."""
    inventory.sbom(directory=directory, tf_variant=tf_variant, signing=signing)
