"""`mnist-pipeline data add|list|check|remove`: labelled batches that scheduled runs learn from."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from components.errors import DataError
from components.storage import opening
from components.storage import uri as uri_forms
from pipeline.commands import tables

if TYPE_CHECKING:
    from components.batches.drift import Statistics
    from components.batches.manifest import Manifest
    from components.storage.bucket import Bucket

data_app = typer.Typer(no_args_is_help=True, help="Labelled batches to learn from: add, list, check, remove.")

Files = Annotated[
    list[Path],
    typer.Argument(metavar="FILES…", help="An IDX pair, folders 0 to 9 of PNG, or one .npz."),
]
_PLACE = "The batches_uri: gs://bucket/prefix or a directory."
To = Annotated[str, typer.Option("--to", metavar="URI", help=_PLACE)]
From = Annotated[str, typer.Option("--from", metavar="URI", help=_PLACE)]
Name = Annotated[str, typer.Option("--name", metavar="NAME", help="What the batch is called, for good.")]


@data_app.command()
def add(
    files: Files,
    to: To,
    name: Name,
    synthetic: Annotated[bool, typer.Option("--synthetic", help="Mark it as made by a program.")] = False,
    as_json: tables.Json = False,
) -> None:
    """Check labelled digits and store them as a batch: all of it or nothing, and never changed."""
    from components.batches import checks, formats, listing, store

    listing.check_name(name)
    bucket = _opened(to, "--to", must_exist=False)
    rows = formats.read(files)
    manifest = store.add(bucket, name, rows, synthetic=synthetic)
    tables.print_facts(_record(manifest) | {"findings": checks.findings(rows)}, as_json=as_json)


@data_app.command()
def check(
    files: Files,
    against: Annotated[
        str, typer.Option("--against", metavar="URI", help="A batches_uri: is --name free there?")
    ] = "",
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="The name that it would get.")] = "",
    max_drift: Annotated[
        float, typer.Option(min=0, help="Exit code 3 if drift is above it, as ingest; 0 reports only.")
    ] = 0.0,
    as_json: tables.Json = False,
) -> None:
    """Say what ingest would say of labelled digits, before anything is stored."""
    from components.batches import checks, drift, formats, listing

    if name:
        listing.check_name(name)
    rows = formats.read(files)
    moved = drift.psi(_bundled(), drift.measure(rows.images, rows.labels))
    feature, worst = drift.worst(moved)
    record: dict[str, Any] = {
        "rows": len(rows),
        "drift": {each: round(index, 3) for each, index in moved.items()},
        "verdict": f"{drift.in_words(worst)} ({feature} {worst:.2f})",
        "findings": checks.findings(rows),
    }
    tables.print_facts(record, as_json=as_json)
    if against and name:
        taken = [entry for entry in listing.entries(_opened(against, "--against")) if entry.name == name]
        if taken:
            raise DataError(f"--name={name}: {against} has or had such a batch; a batch is never changed")
    if max_drift and worst > max_drift:
        raise DataError(f"drift {worst:.2f} of {feature} is above --max-drift={max_drift:g}")


@data_app.command(name="list")
def list_(place: From, as_json: tables.Json = False) -> None:
    """List every batch, those that were removed too."""
    from components.batches import listing, store

    bucket = _opened(place, "--from")
    records = [
        _record(store.read_manifest(bucket, entry.name)) | {"removed": entry.removed}
        for entry in listing.entries(bucket)
    ]
    tables.print_list(records, ("name", "rows", "created", "synthetic", "removed"), as_json=as_json)


@data_app.command()
def remove(name: Annotated[str, typer.Argument(metavar="NAME", help="A batch.")], place: From) -> None:
    """Take a batch away from the next run on; its rows and its history stay."""
    from components.batches import listing

    was_there = listing.remove(_opened(place, "--from"), name)
    typer.echo(f"{name} {'removed' if was_there else 'was removed already'}")


def _opened(uri: str, flag: str, *, must_exist: bool = True) -> "Bucket":
    """Opens a place of batches; a directory that is to be read must be there."""
    parsed = uri_forms.parse(uri, flag)
    if must_exist and parsed.is_local and not Path(parsed.path).is_dir():
        raise DataError(f"{flag}={uri}: no such directory")
    return opening.open_bucket(uri)


def _record(manifest: "Manifest") -> dict[str, Any]:
    facts = dataclasses.asdict(manifest)
    kept = ("name", "rows", "class_counts", "created", "synthetic")
    return {key: facts[key] for key in kept}


def _bundled() -> "Statistics":
    """The statistics of MNIST's training rows, which ship with the project."""
    from components.batches import drift, formats
    from pipeline.images.references import CHECKOUT

    archives = CHECKOUT / "components" / "ingest" / "bundled" / "mnist"
    rows = formats.read(sorted(archives.glob("train-*")))
    return drift.measure(rows.images, rows.labels)
