"""`mnist-pipeline data add|list|check|remove`: labelled batches that scheduled runs learn from."""

import dataclasses
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from components.errors import DataError
from components.storage import opening
from components.storage import uri as uri_forms
from pipeline.commands import options, tables

if TYPE_CHECKING:
    from components.batches.admission import Addition
    from components.batches.labelled import Labelled
    from components.batches.manifest import Manifest
    from components.storage.bucket import Bucket

data_app = typer.Typer(no_args_is_help=True, help="Labelled batches to learn from: add, list, check, remove.")

Files = Annotated[
    list[Path],
    typer.Argument(
        metavar="FILES…", callback=options.at_home, help="An IDX pair, folders 0 to 9 of PNG, or one .npz."
    ),
]
_PLACE = "The batches_uri: gs://bucket/prefix or a directory."
To = Annotated[str, typer.Option("--to", metavar="URI", callback=options.at_home, help=_PLACE)]
From = Annotated[str, typer.Option("--from", metavar="URI", callback=options.at_home, help=_PLACE)]
_UNNAMED = "these files"
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
        str,
        typer.Option(
            "--against",
            metavar="URI",
            callback=options.at_home,
            help="A batches_uri whose batches ingest would read too; fetches them all.",
        ),
    ] = "",
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="The name that it would get.")] = "",
    max_drift: Annotated[
        float, typer.Option(min=0, help="Exit code 3 if drift is above it, as ingest; 0 reports only.")
    ] = 0.0,
    as_json: tables.Json = False,
) -> None:
    """Say what ingest, with the bundled MNIST, would say of labelled digits; nothing is stored."""
    from components.batches import admission, formats, listing, store

    if name:
        listing.check_name(name)
    bucket = _opened(against, "--against") if against else None
    new = admission.Candidate(name or _UNNAMED, formats.read(files))
    if bucket is not None and name:
        store.find_same(bucket, store.describe(name, new.rows))
    with tempfile.TemporaryDirectory(prefix="batches-") as scratch:
        found = store.download_all(bucket, listing.entries(bucket), Path(scratch)) if bucket else []
        others = [each for each in found if each.name != name]
        ordered = sorted([*others, new], key=lambda each: (each.name == _UNNAMED, each.name))
        additions = admission.admit(_bundled("train-*"), _bundled("t10k-*").images, ordered)
        [addition] = [each for each in additions if each.candidate is new]
    tables.print_facts(_foreseen(addition), as_json=as_json)
    admission.refuse_drifted([addition], max_drift)


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


def _foreseen(addition: "Addition") -> dict[str, Any]:
    into = addition.into
    return {
        "rows": len(addition.rows),
        "train": len(into.train),
        "validation": len(into.validation),
        "test": len(into.test),
        **addition.dropped,
        "drift": {name: round(index, 3) for name, index in addition.drift.items()},
        "verdict": addition.verdict,
        "findings": addition.findings,
    }


def _bundled(names: str) -> "Labelled":
    """Rows of MNIST, which ships with the project."""
    from components.batches import formats
    from pipeline.images.references import CHECKOUT

    archives = CHECKOUT / "components" / "ingest" / "bundled" / "mnist"
    return formats.read(sorted(archives.glob(names)))
