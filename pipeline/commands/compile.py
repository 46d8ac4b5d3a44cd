"""`mnist-pipeline compile`: the DAG as YAML files."""

from pathlib import Path
from typing import Annotated

import typer

from components.errors import UsageError
from pipeline import files
from pipeline.commands import options
from pipeline.compile.target import Target


def compile_(
    target: Annotated[
        list[Target],
        typer.Option(help="What to compile for; repeatable.", default_factory=lambda: list(Target)),
    ],
    output_dir: Annotated[
        Path, typer.Option(metavar="DIRECTORY", callback=options.at_home, help="Where the YAML files go.")
    ] = Path("output/compiled"),
    registry: options.Registry = "",
    tag: options.Tag = "",
    digests: options.Digests = None,
    accelerator_type: Annotated[
        str, typer.Option(help="Of train's node, in the target's own terms; none for a CPU node.")
    ] = "",
    accelerator_count: Annotated[int, typer.Option(help="Accelerators of train's node.")] = 1,
    node_selector: Annotated[
        list[str], typer.Option(metavar="LABEL=VALUE", help="KFP: label that train's node must carry.")
    ] = [],  # noqa: B006
) -> None:
    """Compile the DAG to YAML, checked against the pipeline-spec schema."""
    from pipeline.compile.documents import to_documents, to_yaml
    from pipeline.compile.nodes import Placement, nodes_for
    from pipeline.images import references

    pinned = references.resolve(registry=registry, tag=tag, digests_path=digests)
    selector = dict(_label(text) for text in node_selector)
    nodes = {each: nodes_for(each, accelerator_type, accelerator_count, selector) for each in target}
    compiled = {each: to_yaml(to_documents(pinned, Placement(nodes[each]))) for each in target}
    for each, text in compiled.items():
        path = output_dir / f"mnist-pipeline-{each}.yaml"
        files.write_text(path, text, "--output-dir")
        typer.echo(f"wrote {path}")


def _label(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise UsageError(f"--node-selector={text!r}: must be LABEL=VALUE")
    return name, value
